"""What a person reads: problems, progress, plans and summaries, on a terminal or in a pipe.

On a terminal a build shows one live line with counts and the time left, and keeps only what
needs attention; in a pipe it writes a line for each image that was made. Colour is off in pipes
and where NO_COLOR is set. Names and prompts are shown through `visible`.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from .errors import Problem, visible
from .events import Event, Finished, ImageFinished, ImageStarted, Outcome, Started, Stopping, as_dict
from .plan import Plan, Step, Verdict
from .snapshot import nothing_to_do

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from .collect import Collected, Collection

_PROBLEM_STYLES: dict[str, dict[str, Any]] = {
    "error": {"bold": True},
    "place": {"fg": "blue"},
    "gutter": {"fg": "blue"},
    "caret": {"fg": "red", "bold": True},
    "hint": {"fg": "cyan"},
}

_OUTCOME_STYLES: dict[str, dict[str, Any]] = {
    "rendered": {"fg": "green"},
    "render": {"fg": "green"},
    "restored": {"fg": "cyan"},
    "restore": {"fg": "cyan"},
    "reattached": {"fg": "cyan"},
    "reattach": {"fg": "cyan"},
    "submitted": {"fg": "cyan"},
    "failed": {"fg": "red", "bold": True},
    "edited": {"fg": "yellow"},
    "unknown": {"fg": "magenta", "bold": True},
    "orphan": {"fg": "yellow"},
    "skipped": {"dim": True},
    "up_to_date": {"dim": True},
}


def coloured(stream: IO[Any]) -> bool:
    """Whether `stream` shows colour."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def _style(text: str, stream: IO[Any], **styles: Any) -> str:
    return click.style(text, **styles) if styles and coloured(stream) else text


def problems(found: Iterable[Problem]) -> None:
    """Write problems to standard error as code frames, and how many they are where there are several."""
    found, stream = list(found), sys.stderr
    for problem in found:
        for role, text in problem.lines():
            if role == "error":
                head, claim = text.split(" ", 1)
                text = f"{_style(head, stream, fg='red', bold=True)} {_style(claim, stream, bold=True)}"
                click.echo(text, err=True)
            else:
                click.echo(_style(text, stream, **_PROBLEM_STYLES.get(role, {})), err=True)
        click.echo(err=True)
    if len(found) > 1:
        click.echo(_style(f"{len(found)} errors", stream, fg="red", bold=True), err=True)


def label(word: str, stream: IO[Any] | None = None, width: int = 10) -> str:
    """Return a verdict's or outcome's word, padded and coloured."""
    stream = stream or sys.stdout
    return _style(f"{word.replace('_', ' '):>{width}}", stream, **_OUTCOME_STYLES.get(word, {}))


def money(amounts: Mapping[str, Decimal | str]) -> str:
    """Return amounts such as `1.10 CNY`."""
    return " + ".join(f"{Decimal(amount):.2f} {currency}" for currency, amount in amounts.items())


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them: `0.08 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "0.01 s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


# --- views of a build ---


class View(Protocol):
    """Something that shows a build's events."""

    def emit(self, event: Event) -> None:
        """Take one event."""

    def close(self) -> None:
        """Give the terminal back."""


class JsonView:
    """One event a line, as `--json` prints them."""

    def emit(self, event: Event) -> None:
        click.echo(json.dumps(as_dict(event), ensure_ascii=False))

    def close(self) -> None:
        pass


class LineView:
    """A line for each image that was made or needs attention, and a summary."""

    def __init__(self) -> None:
        self._total = 0
        self._done = 0

    def emit(self, event: Event) -> None:
        match event:
            case Started(plan=plan):
                self._total = sum(plan[verdict] for verdict in ("render", "restore", "reattach"))
            case ImageFinished():
                self.finished_image(event)
            case Stopping():
                self.say(stopping(event))
                for problem in event.problems:
                    self.say(str(problem))
            case Finished():
                self.close()
                summary(event)

    def finished_image(self, event: ImageFinished) -> None:
        """Show one output's end."""
        made = event.outcome in (Outcome.RENDERED, Outcome.RESTORED, Outcome.REATTACHED, Outcome.SUBMITTED)
        self._done += made or event.outcome is Outcome.FAILED
        if made:
            counter = f"[{self._done}/{self._total}]"
            self.say(f"{counter:>9} {event.outcome:<9} {visible(event.name)} ({visible(event.reason)})")
        elif event.outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.EDITED):
            self.attention(event)

    def attention(self, event: ImageFinished) -> None:
        """Show an output that failed, was kept, or may have been billed."""
        self.say(f"{label(event.outcome, sys.stderr)} {visible(event.name)}")
        lines = [line for problem in event.problems for _, line in problem.lines()] or [event.reason]
        for line in lines:
            self.say(f"{'':>10} {visible(line)}")

    def say(self, text: str) -> None:
        """Write a line that stays."""
        click.echo(text, err=True)

    def close(self) -> None:
        """Nothing to give back."""


class LiveView(LineView):
    """One live line with counts and the time left; only what needs attention stays."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._counts: Counter[str] = Counter()

    def emit(self, event: Event) -> None:
        if isinstance(event, ImageStarted) and self._progress is None:
            self._open()
        super().emit(event)

    def finished_image(self, event: ImageFinished) -> None:
        self._counts[event.outcome] += 1
        made = event.outcome in (Outcome.RENDERED, Outcome.RESTORED, Outcome.REATTACHED, Outcome.SUBMITTED)
        if made and self._progress is None and self._total > 50:
            self._open()
        self._done += made or event.outcome is Outcome.FAILED
        if event.outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.EDITED):
            self.attention(event)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, name=visible(event.name), failed=self._failed())

    def _failed(self) -> str:
        failed = self._counts[Outcome.FAILED]
        return f" · {failed} failed" if failed else ""

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, highlight=False, no_color=not coloured(sys.stderr))
        self._progress = Progress(
            TextColumn("[bold green]{task.description}", justify="right"),
            BarColumn(bar_width=30, complete_style="green", finished_style="green"),
            MofNCompleteColumn(),
            TextColumn("[red]{task.fields[failed]}[/]"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[name]}", style="dim", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("   building", total=self._total, completed=self._done, name="", failed="")
        self._progress.start()

    def say(self, text: str) -> None:
        if self._progress is None:
            super().say(text)
        else:
            from rich.text import Text

            self._progress.console.print(Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def view(as_json: bool) -> View:
    """Return the view that suits the options and where standard error goes."""
    if as_json:
        return JsonView()
    return LiveView() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else LineView()


def stopping(event: Stopping) -> str:
    """Return the line that tells that a build takes up nothing more."""
    if event.reason != "interrupted":
        return f"{label('failed', sys.stderr)} stopping" + ("" if event.problems else f": {visible(event.reason)}")
    waiting = f"; {event.in_flight} renders are under way, their images will be kept" if event.in_flight else ""
    return f"stopping{waiting}. Ctrl-C again leaves at once."


def summary(event: Finished) -> None:
    """Write how a build ended: one line, and what to do next where something is left."""
    made = [
        (event.rendered, "rendered"), (event.reattached, "reattached"), (event.restored, "restored"),
        (event.submitted, "submitted"), (event.failed, "failed"), (event.unknown, "unknown"),
        (event.edited, "edited"), (event.skipped, "skipped"),
    ]  # fmt: skip
    stream = sys.stderr
    parts = [_style(f"{count:,} {word}", stream, **_OUTCOME_STYLES[word]) for count, word in made if count]
    if not parts:
        click.echo(nothing_to_do(event.up_to_date, event.seconds), nl=False, err=True)
    else:
        if event.up_to_date:
            parts.append(_style(f"{event.up_to_date:,} up to date", stream, dim=True))
        cost = f", {money(event.cost)}" if event.cost else ""
        click.echo(f"{', '.join(parts)} in {duration(event.seconds)}{cost}", err=True)
    if event.interrupted:
        click.echo("interrupted: everything that is done is kept; build again to go on", err=True)
    if event.unknown:
        click.echo("unknown images may have been billed; --resubmit sends them again", err=True)
    if event.edited:
        click.echo("edited files were kept; --overwrite replaces them", err=True)
    if event.orphans:
        click.echo(
            f"{event.orphans:,} outputs are declared no more; `qwenbuild clean --orphans` removes them", err=True
        )


# --- plans ---


def step_dict(step: Step) -> dict[str, Any]:
    """Return a step as `plan --json` prints it."""
    action = step.action
    table: dict[str, Any] = {
        "event": "step", "name": action.name, "path": action.output, "verdict": step.verdict.value,
        "reason": step.reason, "key": action.key, "cell": action.cell, "model": action.request.model,
    }  # fmt: skip
    if step.price:
        table["price"] = {"amount": str(step.price.amount), "currency": step.price.currency}
    return table


def plan_summary(plan: Plan) -> dict[str, Any]:
    """Return the last line of `plan --json`."""
    cost = {currency: str(amount) for currency, amount in plan.cost.items()}
    return {"event": "planned", **plan.counts, "cost": cost, "shortest_s": round(plan.shortest_s, 3)}


def show_plan(plan: Plan, *, every: bool) -> None:
    """Write a plan: what a build would do and why, its price, and its shortest time."""
    for step in plan.steps:
        if every or step.verdict is not Verdict.UP_TO_DATE:
            reason = _style(visible(step.reason), sys.stdout, dim=True)
            click.echo(f"{label(step.verdict)}  {visible(step.action.name)}  {reason}")
    for orphan in plan.orphans:
        why = "edited, no spec declares it" if orphan.edited else "no spec declares it"
        click.echo(f"{label('orphan')}  {visible(orphan.path)}  {_style(why, sys.stdout, dim=True)}")
    words = {"render": "to render", "restore": "to restore", "reattach": "to collect", "edited": "edited",
             "unknown": "unknown", "up_to_date": "up to date", "orphans": "orphans"}  # fmt: skip
    counts = plan.counts
    parts = [f"{counts[verdict]:,} {word}" for verdict, word in words.items() if counts[verdict]]
    click.echo(", ".join(parts) or "nothing is selected")
    by_model: dict[tuple[str, str], list[Decimal]] = {}
    for step in plan.renders:
        if step.price:
            by_model.setdefault((step.action.request.model, step.price.currency), []).append(step.price.amount)
    for (model, currency), amounts in by_model.items():
        total = money({currency: sum(amounts, Decimal(0))})
        click.echo(f"{'cost':>10}  {total}  ({model}: {len(amounts):,} at {amounts[0].normalize():f})")
    if plan.shortest_s >= 1:
        click.echo(f"{'time':>10}  {duration(plan.shortest_s)} at least, by the service's limits")


def show_status(plan: Plan, last_run: Mapping[str, Any] | None, *, as_json: bool) -> None:
    """Write each image's outputs by verdict, what needs attention, and how the last build ended."""
    images: dict[str, Counter[str]] = {}
    for step in plan.steps:
        images.setdefault(step.action.declaration.name, Counter())[step.verdict.value] += 1
    if as_json:
        for name, counts in images.items():
            click.echo(json.dumps({"event": "image", "name": name, **counts}, ensure_ascii=False))
        click.echo(json.dumps({**plan_summary(plan), "event": "status", "last_run": last_run}))
        return
    width = max((len(name) for name in images), default=0)
    for name, counts in images.items():
        parts = [
            _style(f"{count:,} {verdict.replace('_', ' ')}", sys.stdout, **_OUTCOME_STYLES[verdict])
            for verdict, count in counts.items()
        ]
        click.echo(f"{visible(name):<{width}}  {', '.join(parts)}")
    if plan.orphans:
        click.echo(f"{len(plan.orphans):,} outputs are declared no more; `qwenbuild clean --orphans` removes them")
    if last_run:
        when = datetime.fromtimestamp(last_run["started_at_s"]).astimezone().isoformat(" ", "seconds")
        ends = last_run["summary"] or {}
        ended = ", ".join(f"{ends[o]:,} {o.value.replace('_', ' ')}" for o in Outcome if ends.get(o))
        click.echo(f"last build {when}: {ended or 'did not end'}")


def show_provenance(provenance: Mapping[str, Any]) -> None:
    """Write an image's provenance as aligned facts, the prompt last."""
    request = provenance.get("request")
    fields: dict[str, Any] = dict(request) if isinstance(request, Mapping) else {}
    prompt = fields.pop("prompt", "")
    rest = {key: value for key, value in provenance.items() if key not in ("request", "generator")}
    facts = {**fields, **rest}
    width = max((len(str(name)) for name in facts), default=0)
    for name, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if text:
            shown = _style(f"{visible(str(name)).replace('_', ' '):>{width}}", sys.stdout, dim=True)
            click.echo(f"{shown}  {visible(text)}")
    click.echo()
    click.echo(visible(str(prompt), keep="\n"))


def byte_size(count: int) -> str:
    """Return a number of bytes such as `12.3 MB`."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def show_garbage(planned: Collection, done: Collected | None) -> None:
    """Write what a collection of garbage would remove, or removed, and what is left."""
    if done is None:
        for removal in planned.removals:
            what = removal.key[:12] or "stray file"
            click.echo(f"{byte_size(removal.bytes_freed):>10}  {what:<12}  {visible(removal.why)}")
        would = (
            f"would remove {planned.entries:,} images, {byte_size(planned.bytes_freed)}; " if planned.removals else ""
        )
        click.echo(f"{would}{planned.kept_entries:,} images, {byte_size(planned.kept_bytes)} are kept")
    else:
        left = planned.kept_entries + planned.entries - done.entries
        left_bytes = planned.kept_bytes + planned.bytes_freed - done.bytes_freed
        click.echo(f"removed {done.entries:,} images, {byte_size(done.bytes_freed)}")
        click.echo(f"{left:,} images, {byte_size(left_bytes)} are left")
    if planned.spared:
        click.echo(f"{planned.spared:,} that projects still use are among them; --used would remove these too")
