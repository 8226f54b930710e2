"""The views of `build`: a live line on a terminal, plain lines in a pipe, JSON with `--json`.

On a terminal the live line shows counts and the time left; images that need attention stay above it.
In a pipe each image that was made has a line. `--json` prints one event a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import click

from qwenbuild.events import (
    Delayed,
    Event,
    Finished,
    ImageFinished,
    ImageStarted,
    ImageWaiting,
    LookingUp,
    NotSent,
    Outcome,
    Started,
    Stopping,
    Warned,
    as_dict,
)
from qwenbuild.noop_answers import nothing_to_do, orphaned
from qwenbuild.problems import visible

from .style import (
    OUTCOME_STYLES,
    duration,
    label,
    local_time,
    money,
    some_names,
    styled,
    waiting,
    warning_lines,
    without_ids,
)

if TYPE_CHECKING:
    from .live_line import LiveLine

_MADE = frozenset({Outcome.RENDERED, Outcome.RESTORED, Outcome.REATTACHED, Outcome.SUBMITTED})
_REPEATED_S = 60.0  # a reason for delays is shown once in this time
_ATTENTION = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.MISSING, Outcome.EDITED})


class View(Protocol):
    """Shows the events of a build."""

    def emit(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Restore the terminal."""


class JsonView:
    """Prints one event a line, for `--json`."""

    def emit(self, event: Event) -> None:
        click.echo(json.dumps(as_dict(event), ensure_ascii=False))

    def close(self) -> None:
        pass


class LineView:
    """Prints a line for each image that was made or needs attention, and a summary."""

    def __init__(self) -> None:
        self._total = 0
        self._done = 0
        self._alike: dict[tuple[Any, ...], list[str]] = {}  # the cells of each failure: the first was shown in full
        self._delays: dict[str, float] = {}  # when a reason of a delay was shown last, by `time.monotonic()`

    def emit(self, event: Event) -> None:
        match event:
            case ImageFinished():  # first: most events are of this kind
                self.finished_image(event)
            case Started(plan=plan):
                self._total = sum(plan[verdict] for verdict in ("render", "restore", "reattach", "failed"))
            case LookingUp(submissions=count):
                answers = "1 lost answer" if count == 1 else f"{count:,} lost answers"
                self.say(f"{'looking up':>10}  {answers}: asking the service what became of them")
            case ImageWaiting(project=project, since_s=since_s):
                who = f"being rendered by {visible(project)} since {local_time(since_s)}"
                self.say(f"{'waiting':>10} {visible(event.name)} ({who})")
            case Delayed():
                self.delayed(event)
            case NotSent(model=model, images=count, reason=reason):
                images = "1 more image" if count == 1 else f"{count:,} more images"
                self.say(f"{'not sent':>10}  {images} of {visible(model)}: {visible(reason)}")
            case Stopping():
                self.say(_stopping(event))
                for problem in event.problems:
                    self.say(str(problem))
            case Warned(problems=problems):
                for problem in problems:
                    for line in warning_lines(problem):
                        self.say(line)
            case Finished():
                self.close()
                self.show_alike()
                _summary(event)

    def delayed(self, event: Delayed) -> None:
        """Show that an image is tried again later: a line for each reason, and again if that lasts long."""
        now_s = time.monotonic()
        if now_s - self._delays.get(event.reason, -_REPEATED_S) >= _REPEATED_S:
            self._delays[event.reason] = now_s
            self.say(waiting([event], 0.0))

    def finished_image(self, event: ImageFinished) -> None:
        """Show the outcome of one output."""
        made = event.outcome in _MADE
        self._done += made or event.outcome is Outcome.FAILED
        if made:
            counter = f"[{self._done}/{self._total}]"
            self.say(f"{counter:>9} {event.outcome:<10} {visible(event.name)} ({visible(event.reason)})")
        elif event.outcome in _ATTENTION:
            self.attention(event)

    def attention(self, event: ImageFinished) -> None:
        """Show an output that the user must look at: failed, unknown, missing or edited.

        A failure like one that was shown before is only counted.
        """
        if event.problems:
            said = ((problem.claim, without_ids(problem.facts)) for problem in event.problems)
            cells = self._alike.setdefault((event.outcome, *said), [])
            cells.append(event.name)
            if len(cells) > 1:
                return
        self.say(f"{label(event.outcome, sys.stderr)} {visible(event.name)}")
        lines = [line for problem in event.problems for _, line in problem.lines()] or [event.reason]
        for line in lines:
            self.say(f"{'':>10} {visible(line)}")

    def show_alike(self) -> None:
        """Show how many further outputs failed like one that was shown, and some of their names."""
        for (outcome, *_), (first, *others) in self._alike.items():
            if others:
                same = f"{len(others):,} more, for the same reason as {visible(first)}"
                self.say(f"{label(outcome, sys.stderr)} {same}: {some_names(others)}")
        self._alike.clear()

    def say(self, text: str) -> None:
        """Write a line to standard error."""
        click.echo(text, err=True)

    def close(self) -> None:
        """Do nothing: plain lines change no terminal."""


class LiveView(LineView):
    """Shows one live line with counts and the time left; only what needs attention stays."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: LiveLine | None = None
        self._delayed: dict[str, Delayed] = {}  # by cell
        self._counts: Counter[str] = Counter()
        self._others: set[str] = set()  # projects that this build waits for

    def emit(self, event: Event) -> None:
        if isinstance(event, ImageStarted) and self._progress is None:
            self._open()
        if isinstance(event, ImageWaiting):
            if event.project in self._others:
                return  # one line for each project is enough
            self._others.add(event.project)
        super().emit(event)

    def finished_image(self, event: ImageFinished) -> None:
        self._counts[event.outcome] += 1
        self._delayed.pop(event.name, None)
        made = event.outcome in _MADE
        if made and self._progress is None and self._total > 50:
            self._open()
        self._done += made or event.outcome is Outcome.FAILED
        if event.outcome in _ATTENTION:
            self.attention(event)
        if self._progress is not None:
            self._progress.show(self._done, visible(event.name), self._failed())

    def delayed(self, event: Delayed) -> None:
        if self._progress is None:
            self._open()
        self._delayed[event.name] = event

    def _failed(self) -> str:
        failed = self._counts[Outcome.FAILED]
        return f" · {failed} failed" if failed else ""

    def _open(self) -> None:
        from .live_line import LiveLine  # rich loads as long as a small build takes

        self._progress = LiveLine(sys.stderr, self._total, self._delayed)
        self._progress.show(self._done, "", "")
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
    """Return the JSON view, or the view that suits standard error: live on a terminal, else lines."""
    if as_json:
        return JsonView()
    return LiveView() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else LineView()


def _stopping(event: Stopping) -> str:
    """Return the line which says that the build starts no more renders, and why."""
    if event.reason != "interrupted":
        word = styled(f"{'stopping':>10}", sys.stderr, fg="yellow", bold=True)
        return word if event.problems else f"{word}  {visible(event.reason)}"
    renders = "1 render is" if event.in_flight == 1 else f"{event.in_flight} renders are"
    waiting = f"; {renders} in flight and will be kept" if event.in_flight else ""
    return f"stopping{waiting}. Press Ctrl-C again to leave at once."


def _summary(event: Finished) -> None:
    """Write the counts of a build, its time and its cost, then what to do about images that are left."""
    counts = [
        (event.rendered, "rendered"), (event.reattached, "reattached"), (event.restored, "restored"),
        (event.submitted, "submitted"), (event.failed, "failed"), (event.unknown, "unknown"),
        (event.missing, "missing"), (event.edited, "edited"), (event.skipped, "skipped"),
    ]  # fmt: skip
    stream = sys.stderr
    parts = [styled(f"{count:,} {word}", stream, **OUTCOME_STYLES[word]) for count, word in counts if count]
    if not parts:
        click.echo(nothing_to_do(event.up_to_date, event.seconds), nl=False, err=True)
    else:
        if event.up_to_date:
            parts.append(styled(f"{event.up_to_date:,} up to date", stream, dim=True))
        cost = f", {money(event.cost)}" if event.cost else ""
        click.echo(f"{', '.join(parts)} in {duration(event.seconds)}{cost}", err=True)
    if event.interrupted:
        click.echo("interrupted: all finished images are kept; build again to continue", err=True)
    if event.unknown:
        click.echo("unknown images may have been billed; --resubmit sends them again", err=True)
    if event.edited:
        click.echo("edited files were kept; --overwrite replaces them", err=True)
    if event.strays:
        what, them = ("1 image", "it") if event.strays == 1 else (f"{event.strays:,} images", "them")
        click.echo(f"collected {what} that no spec declares any more; the store keeps {them}", err=True)
    if event.orphans:
        click.echo(orphaned(event.orphans), err=True)
