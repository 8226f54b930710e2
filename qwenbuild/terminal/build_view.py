"""The views of `build`: a live block on a terminal, a line for each tenth in a pipe, JSON with `--json`.

On a terminal the block shows counts, the time left and failures; the failures stay in full when the build has ended.
In a pipe each image has a line if there are few, or if all are asked for. `--json` prints one event a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import click

from qwenbuild.events import (
    Delayed,
    Event,
    Finished,
    ImageFinished,
    ImageWaiting,
    LookingUp,
    NotSent,
    Outcome,
    Started,
    Stopping,
    Warned,
    as_dict,
)
from qwenbuild.problems import visible

from . import build_summary
from .alike import Alike, Group
from .screen import width, wrapped
from .style import (
    duration,
    label,
    local_time,
    more_about,
    some_names,
    styled,
    waiting,
    warning_lines,
)

_MADE = frozenset({Outcome.RENDERED, Outcome.RESTORED, Outcome.REATTACHED, Outcome.SUBMITTED})
_REPEATED_S = 60.0  # a reason for delays is shown once in this time
_SILENT_S = 300.0  # in a pipe; CI services end jobs that say nothing for 10 minutes
_LONGEST = 9  # lines of the terminal for one line of an explanation
_FEW = 10  # images: each is a tenth of them or more

ATTENTION = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.MISSING, Outcome.EDITED})
"""The outcomes of outputs that the user must look at."""


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
    """Prints a line for each tenth of the images, one for each image that needs attention, and a summary.

    `is_verbose`: each image that was made has a line, as always if they are few. `out` is the output folder as people
    know it; with it, the summary says where the files are and what to do next.
    """

    is_verbose = False

    def __init__(self, *, is_verbose: bool | None = None, out: str = "") -> None:
        if is_verbose is not None:
            self.is_verbose = is_verbose
        self._out = out
        self._total = 0
        self._done = 0
        self._counts: Counter[str] = Counter()
        self._begun_s = self._told_s = time.monotonic()
        self._alike = Alike()
        self._names: list[str] = []  # of the errors that stop the build
        self._delays: dict[str, float] = {}  # when a reason of a delay was shown last, by `time.monotonic()`

    def emit(self, event: Event) -> None:
        match event:
            case ImageFinished():  # first: most events are of this kind
                made = event.outcome in _MADE
                self._done += made or event.outcome is Outcome.FAILED
                self._counts[event.outcome] += 1
                self.finished_image(event, made)
            case Started(plan=plan):
                self._total = sum(plan[verdict] for verdict in ("render", "restore", "reattach", "failed"))
                self._begun_s = self._told_s = time.monotonic()
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
                    self._names.append(problem.name)
                    self.say(str(problem))
            case Warned(problems=problems):
                for problem in problems:
                    for line in warning_lines(problem):
                        self.say(line)
            case Finished():
                self.close()
                self.show_alike()
                self.summary(event)

    def summary(self, event: Finished) -> None:
        """Write what was made, what it cost, and what is left to do."""
        for line in build_summary.lines(event, self._out, is_refused=self._alike.has_refused):
            self.say(line)

    def delayed(self, event: Delayed) -> None:
        """Show that an image is tried again later: a line for each reason, and again if that lasts long."""
        now_s = time.monotonic()
        if now_s - self._delays.get(event.reason, -_REPEATED_S) >= _REPEATED_S:
            self._delays[event.reason] = now_s
            self.say(waiting([event], 0.0))

    def finished_image(self, event: ImageFinished, made: bool) -> None:
        """Show the outcome of one output, or how far the build is."""
        if event.outcome in ATTENTION:
            self.attention(event)
        if self.is_verbose or self._total <= _FEW:
            if made:
                self.one_image(event)
        elif made or event.outcome is Outcome.FAILED:
            now_s, tenth = time.monotonic(), self._done * 10 // self._total
            if tenth > (self._done - 1) * 10 // self._total or now_s - self._told_s >= _SILENT_S:
                self._told_s = now_s
                self.say(self._progress(now_s - self._begun_s))

    def one_image(self, event: ImageFinished) -> None:
        """Show an image that was made."""
        counter = f"[{self._done}/{self._total}]"
        self.say(f"{counter:>9} {event.outcome:<10} {visible(event.name)} ({visible(event.reason)})")

    def _progress(self, seconds: float) -> str:
        """Return the line that says how far the build is."""
        ends = [f"{self._counts[end]:,} {end.value}" for end in Outcome if end in _MADE | {Outcome.FAILED}]
        left = seconds / self._done * (self._total - self._done)
        counts = ", ".join(text for text in ends if not text.startswith("0 "))
        about = f", about {duration(left)} left" if self._done < self._total and left >= 1 else ""
        total = f"{self._total:,}"
        return f"[{self._done:>{len(total)},}/{total}] {counts} in {duration(seconds)}{about}"

    def attention(self, event: ImageFinished) -> None:
        """Show an output that the user must look at: failed, unknown, missing or edited.

        One like another that was shown before is only counted.
        """
        if self._alike.add(event).is_new:
            self.say_in_full(event)

    def say_in_full(self, event: ImageFinished) -> None:
        """Show an output and all that is known about what is wrong with it."""
        self._say_below(label(event.outcome, sys.stderr), visible(event.name))
        for line in [line for problem in event.problems for _, line in problem.lines()] or [event.reason]:
            self._say_below(" " * 10, visible(line))

    def show_alike(self) -> None:
        """Show how many further outputs failed like one that was shown, and some of their names."""
        groups = self._alike.taken()
        for group in groups:
            self.say_others(group)
        self.say_more_about(groups)

    def say_more_about(self, groups: Sequence[Group]) -> None:
        """Say how to learn more about the errors of the groups, and about those that stopped the build."""
        names = [*self._names, *(problem.name for group in groups for problem in group.first.problems)]
        self._names.clear()
        if line := more_about(names, sys.stderr):
            self.say(line)

    def say_others(self, group: Group) -> None:
        """Show the outputs that need attention for the same reason as the first."""
        if others := group.names[1:]:
            same = f"{len(others):,} more, for the same reason as {visible(group.first.name)}"
            self._say_below(label(group.first.outcome, sys.stderr), f"{same}: {some_names(others)}")

    def _say_below(self, word: str, text: str) -> None:
        """Write a text beside a word of 10 columns; on a terminal its further lines stand below it."""
        wide = width(sys.stderr)
        for line in wrapped(text, wide and max(wide - 11, 20), most=_LONGEST):
            self.say(f"{word} {line}")
            word = " " * 10

    def say(self, text: str) -> None:
        """Write a line to standard error."""
        click.echo(text, err=True)

    def close(self) -> None:
        """Do nothing: plain lines change no terminal."""


class QuietView(LineView):
    """Prints only what is wrong: failures, warnings, and why a build stops."""

    def emit(self, event: Event) -> None:
        if not isinstance(event, LookingUp | ImageWaiting | Delayed):
            super().emit(event)

    def finished_image(self, event: ImageFinished, made: bool) -> None:
        if event.outcome in ATTENTION:
            self.attention(event)

    def summary(self, event: Finished) -> None:
        pass


def view(as_json: bool, *, is_verbose: bool = False, is_quiet: bool = False, out: str = "") -> View:
    """Return the JSON view, or the view that suits standard error: live on a terminal, else lines.

    `out` is the output folder as people know it.
    """
    if as_json:
        return JsonView()
    if is_quiet:
        return QuietView()
    if not sys.stderr.isatty():
        return LineView(is_verbose=is_verbose)
    if os.environ.get("TERM") == "dumb":
        return LineView(is_verbose=is_verbose, out=out)
    from .live_view import LiveView

    return LiveView(is_verbose=is_verbose, out=out)


def _stopping(event: Stopping) -> str:
    """Return the line which says that the build starts no more renders, and why."""
    if event.reason != "interrupted":
        word = styled(f"{'stopping':>10}", sys.stderr, fg="yellow", bold=True)
        return word if event.problems else f"{word}  {visible(event.reason)}"
    renders = "1 render is" if event.in_flight == 1 else f"{event.in_flight} renders are"
    waiting = f"; {renders} in flight and will be kept" if event.in_flight else ""
    return f"stopping{waiting}. Press Ctrl-C again to leave at once."
