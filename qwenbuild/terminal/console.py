"""What a person reads: problems, plans, status, provenance, tasks; on a terminal or in a pipe.

Colour is off in pipes and where NO_COLOR is set. Names and prompts are shown through `visible`.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import click

from qwenbuild.errors import Problem, columns, visible

if TYPE_CHECKING:
    from qwenbuild.engine.checkup import Finding
    from qwenbuild.plan.plan import Plan, Step
    from qwenbuild.providers.dashscope.wire import Task
    from qwenbuild.request import Submission
    from qwenbuild.storage.gc import Collected, Collection
    from qwenbuild.storage.verify import Mismatch

_PROBLEM_STYLES: dict[str, dict[str, Any]] = {
    "error": {"bold": True},
    "place": {"fg": "blue"},
    "gutter": {"fg": "blue"},
    "caret": {"fg": "red", "bold": True},
    "hint": {"fg": "cyan"},
}

OUTCOME_STYLES: dict[str, dict[str, Any]] = {
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
    "missing": {"fg": "magenta", "bold": True},
    "differs": {"fg": "red", "bold": True},
    "unlocked": {"dim": True},
    "added": {"fg": "green"},
    "changed": {"fg": "cyan"},
    "repinned": {"fg": "cyan"},
    "dropped": {"fg": "yellow"},
    "orphan": {"fg": "yellow"},
    "skipped": {"dim": True},
    "up_to_date": {"dim": True},
}

_WIDEST_NAME = 80  # columns; longer names push their reasons out of line

_LISTED = 1_000  # lines of a plan: more than anybody reads, and most of the time that a large plan takes
_VERDICT_WORDS = {
    "render": "to render", "restore": "to restore", "reattach": "to collect", "edited": "edited",
    "unknown": "unknown", "missing": "missing", "up_to_date": "up to date", "orphans": "orphans",
}  # fmt: skip


def coloured(stream: IO[Any]) -> bool:
    """Whether `stream` shows colour."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, stream: IO[Any], **styles: Any) -> str:
    """Return the text with click's styles, where the stream shows colour."""
    return click.style(text, **styles) if styles and coloured(stream) else text


def problems(found: Iterable[Problem]) -> None:
    """Write problems to standard error as code frames, and how many they are where there are several."""
    found, stream = list(found), sys.stderr
    for problem in found:
        for role, text in problem.lines():
            if role == "error":
                head, claim = text.split(" ", 1)
                text = f"{styled(head, stream, fg='red', bold=True)} {styled(claim, stream, bold=True)}"
                click.echo(text, err=True)
            else:
                click.echo(styled(text, stream, **_PROBLEM_STYLES.get(role, {})), err=True)
        click.echo(err=True)
    if len(found) > 1:
        click.echo(styled(f"{len(found)} errors", stream, fg="red", bold=True), err=True)


def warnings(found: Iterable[Problem]) -> None:
    """Write to standard error what is not as it should be, though nothing fails for it."""
    for problem in found:
        for line in warning_lines(problem):
            click.echo(line, err=True)


def warning_lines(problem: Problem) -> list[str]:
    """Return a problem as a warning."""
    (_, claim), *rest = problem.lines()
    head = styled("warning:", sys.stderr, fg="yellow", bold=True)
    below = [styled(text, sys.stderr, **_PROBLEM_STYLES.get(role, {})) for role, text in rest]
    return [f"{head} {claim.removeprefix('error: ')}", *below]


def label(word: str, stream: IO[Any] | None = None, width: int = 10) -> str:
    """Return a verdict's or outcome's word, padded and coloured."""
    stream = stream or sys.stdout
    return styled(f"{word.replace('_', ' '):>{width}}", stream, **OUTCOME_STYLES.get(word, {}))


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


def step_dict(step: Step) -> dict[str, Any]:
    """Return a step as `plan --json` prints it."""
    action = step.action
    table: dict[str, Any] = {
        "event": "step", "name": action.name, "path": action.output, "verdict": step.verdict.value,
        "reason": step.reason, "key": action.key, "cell": action.cell, "model": action.model.name,
    }  # fmt: skip
    if step.price:
        table["price"] = {"amount": str(step.price.amount), "currency": step.price.currency}
    return table


def plan_summary(plan: Plan) -> dict[str, Any]:
    """Return the last line of `plan --json`."""
    cost = {currency: str(amount) for currency, amount in plan.cost.items()}
    return {
        "event": "planned",
        **plan.counts,
        "strays": len(plan.strays),
        "cost": cost,
        "shortest_s": round(plan.shortest_s, 3),
    }


def counted(counts: Mapping[str, int]) -> str:
    """Return a plan's counts in words, such as `3 to render, 5 up to date`."""
    words = {**_VERDICT_WORDS, "orphans": "orphan" if counts.get("orphans") == 1 else "orphans"}
    parts = [f"{counts[verdict]:,} {word}" for verdict, word in words.items() if counts.get(verdict)]
    return ", ".join(parts) or "nothing is selected"


def outputs(count: int) -> str:
    """Return a number of outputs in words."""
    return f"{count:,} output{'s' * (count != 1)}"


def orphaned(count: int) -> str:
    """Return what is said of outputs that no spec declares any more."""
    are = "is" if count == 1 else "are"
    return (
        f"{outputs(count)} {are} declared no more; `qwenbuild clean --orphans` removes {'it' if count == 1 else 'them'}"
    )


def write(lines: Iterable[str]) -> None:
    """Write many lines to standard output, some hundred at a time."""
    rest = iter(lines)
    while some := list(islice(rest, 500)):
        click.echo("\n".join(some))


def show_plan(plan: Plan, *, every: bool) -> None:
    """Write a plan as a table, what a build would do and why, then its counts, its price, and its shortest time.

    `every` lists what is up to date, too, and all of a long plan.
    """
    labels = {verdict: label(verdict) for verdict in {step.verdict for step in plan.steps}}
    steps = [step for step in plan.steps if every or step.verdict != "up_to_date"]
    most = len(steps) if every else _LISTED
    rows = [(labels[step.verdict], visible(step.action.name), step.reason) for step in steps[:most]]
    for orphan in plan.orphans if every else plan.orphans[:_LISTED]:
        why = "edited, no spec declares it" if orphan.edited else "no spec declares it"
        rows.append((label("orphan"), visible(orphan.path), why))
    dim = partial(click.style, dim=True) if coloured(sys.stdout) else str
    widths = [columns(name) for _, name, _ in rows]
    widest = max((width for width in widths if width <= _WIDEST_NAME), default=0)
    write(
        f"{verdict}  {name}{' ' * (widest - width)}  {dim(visible(reason))}"
        for (verdict, name, reason), width in zip(rows, widths, strict=True)
    )
    if unlisted := len(steps) + len(plan.orphans) - len(rows):
        click.echo(f"{'…':>10}  {unlisted:,} more, not listed; `plan --all` lists every one")
    _show_strays(plan)
    click.echo(counted(plan.counts))
    for (model, currency), amounts in plan.prices.items():
        total = money({currency: sum(amounts, Decimal(0))})
        click.echo(f"{'cost':>10}  {total}  ({model}: {len(amounts):,} at {amounts[0].normalize():f})")
    if len(plan.prices) > 1:
        click.echo(f"{'in all':>10}  {money(plan.cost)}")
    if plan.shortest_s >= 1:
        click.echo(f"{'time':>10}  {duration(plan.shortest_s)} at least, by the service's limits")


def _show_strays(plan: Plan) -> None:
    if plan.strays:
        told = "in flight that no spec asks for any more; a build collects them into the store"
        click.echo(f"{len(plan.strays):,} {told}")


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
            styled(f"{count:,} {_VERDICT_WORDS[verdict]}", sys.stdout, **OUTCOME_STYLES[verdict])
            for verdict in _VERDICT_WORDS
            if (count := counts.get(verdict))
        ]
        click.echo(f"{visible(name):<{width}}  {', '.join(parts)}")
    _show_strays(plan)
    if plan.orphans:
        click.echo(orphaned(len(plan.orphans)))
    if last_run:
        when = datetime.fromtimestamp(last_run["started_at_s"]).astimezone().isoformat(" ", "seconds")
        ends = last_run["summary"] or {}
        from qwenbuild.events import Outcome  # here, for a shell's Tab needs none of it

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
            shown = styled(f"{visible(str(name)).replace('_', ' '):>{width}}", sys.stdout, dim=True)
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


def show_findings(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Write what `doctor` finds, as it is found, and a count; return 1 where something must be fixed, else 0."""
    counts = {"ok": 0, "warn": 0, "fail": 0}
    styles: dict[str, dict[str, Any]] = {
        "ok": {"fg": "green"},
        "warn": {"fg": "yellow"},
        "fail": OUTCOME_STYLES["failed"],
    }
    for finding in findings:
        level = finding.level.value
        counts[level] += 1
        if as_json:
            click.echo(json.dumps({"event": "finding", **asdict(finding)}, ensure_ascii=False))
            continue
        word = styled("FAIL" if level == "fail" else f"{level:>4}", sys.stdout, **styles[level])
        click.echo(f"{word}  {finding.subject:<9}  {visible(finding.claim)}")
        for fact in finding.facts:
            click.echo(f"{'':>17}{styled(visible(fact), sys.stdout, dim=True)}")
        if finding.hint:
            click.echo(f"{'':>17}{styled('hint: ' + visible(finding.hint), sys.stdout, **_PROBLEM_STYLES['hint'])}")
    if as_json:
        click.echo(json.dumps({"event": "examined", **counts}))
    else:
        warnings = f", {counts['warn']} to look at" if counts["warn"] else ""
        click.echo(f"{counts['fail'] or 'nothing'} to fix{warnings}")
    return min(1, counts["fail"])


def show_tasks(in_flight: Sequence[Submission], tasks: Iterable[Task], *, whole: bool, as_json: bool) -> None:
    """Write the account's tasks, marking those of the project's submissions in flight; where `whole`, these first."""
    mine = {submission.handle.removeprefix("task:"): submission for submission in in_flight}
    in_flight = in_flight if whole else ()
    if as_json:
        for submission in in_flight:
            table = {"event": "in_flight", "key": submission.key, "handle": submission.handle.partition(":")[0],
                     "intended_at_s": submission.intended_at_s, "prompt": submission.request.prompt}  # fmt: skip
            click.echo(json.dumps(table, ensure_ascii=False))
        for task in tasks:
            table = {"event": "task", "id": task.id, "status": task.status, "model": task.model,
                     "created_at_s": task.created_at_s, "ours": task.id in mine}  # fmt: skip
            click.echo(json.dumps(table, ensure_ascii=False))
        return
    for submission in in_flight:
        what = "to collect" if submission.handle else "unknown"
        when = datetime.fromtimestamp(submission.intended_at_s).astimezone().isoformat(" ", "seconds")
        request, most = submission.request, 50
        prompt = request.prompt if len(request.prompt) <= most else f"{request.prompt[:most].rstrip()}…"
        click.echo(f"{what:>10}  {when}  {request.size} seed {request.seed}  {visible(prompt)}")
    for task in tasks:
        when = (
            ""
            if task.created_at_s is None
            else datetime.fromtimestamp(task.created_at_s).astimezone().isoformat(" ", "seconds")
        )
        ours = "  this project's" if task.id in mine else ""
        click.echo(f"{visible(task.status):>10}  {when:<25}  {visible(task.id)}  {visible(task.model)}{ours}")
    if not in_flight and not tasks:
        click.echo("nothing is in flight")


def show_verified(pinned: int, mismatches: Sequence[Mismatch], strangers: Sequence[str], *, as_json: bool) -> None:
    """Write how the output folder differs from the lock."""
    if as_json:
        for it in mismatches:
            table = {"event": "mismatch", "path": it.pin.path, "name": it.pin.name, "fault": it.fault.value}
            click.echo(json.dumps({**table, "pinned": it.pin.image}, ensure_ascii=False))
        for path in strangers:
            click.echo(json.dumps({"event": "stranger", "path": path}, ensure_ascii=False))
        counts = {"pinned": pinned, "mismatches": len(mismatches), "strangers": len(strangers)}
        click.echo(json.dumps({"event": "verified", **counts}))
        return
    for it in mismatches:
        click.echo(f"{label(it.fault)}  {visible(it.pin.path)}")
    for path in strangers:
        click.echo(f"{label('unlocked')}  {visible(path)}")
    if mismatches:
        mend = "`qwenbuild build` brings back what is missing"
        if any(it.fault is it.fault.DIFFERS for it in mismatches):
            mend += ", `build --overwrite` also what differs"
        click.echo(f"{len(mismatches):,} of {outputs(pinned)} are not what the lock pins; {mend}")
    else:
        click.echo(f"all {pinned:,} outputs are what the lock pins")


def emulator_started(base_url: str) -> None:
    """Write how to reach an emulator."""
    from qwenbuild.emulator.server import environment

    click.echo(f"DashScope emulator at {base_url}", err=True)
    for name, value in environment(base_url).items():
        click.echo(f"export {name}={value}")
    click.echo("Ctrl-C stops it.", err=True)
    sys.stdout.flush()


def emulator_stopped(bill: Mapping[str, Any]) -> None:
    """Write what an emulator would have billed."""
    click.echo(f"billed: {json.dumps({k: v for k, v in bill.items() if k != 'records'}, ensure_ascii=False)}", err=True)
