"""The views of `watch`: a status on a terminal, plain lines in a pipe.

On a terminal one status changes in place. In a pipe each reading of the files, and each image that
was made, has a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from qwenbuild.events import (
    Drafted,
    Event,
    Finished,
    ImageFinished,
    ImageStarted,
    Outcome,
    Replanned,
    Serving,
    Started,
    Stopping,
)
from qwenbuild.plan.plan import Verdict
from qwenbuild.problems import Problem, visible
from qwenbuild.watch.watcher import Watch

from . import style
from .build_view import LineView

_MOST_FAILURES = 3  # shown on the terminal; the page shows all
_STYLES = {"error": "bold red", "place": "blue", "gutter": "blue", "caret": "bold red", "hint": "cyan"}


class WatchLines(LineView):
    """Prints a line for each reading of the files and each image, on standard error."""

    is_verbose = True

    def emit(self, event: Event) -> None:
        match event:
            case Replanned():
                if event.problems:
                    style.problems(event.problems)
                cost = f", {style.money(event.cost)}" if event.cost else ""
                state = "keeping the last good plan" if event.problems else f"{style.counted(event.plan)}{cost}"
                self.say(f"{'changed' if event.changed else 'watching':>10} {_files(event.changed)}{state}")
            case Serving(address=address):
                self.say(f"{'page':>10} {address}")
            case Drafted(name=name):
                self.say(f"{'drafted':>10} {visible(name)}")
            case Stopping(reason="interrupted"):
                return
            case Finished():
                self.show_alike()
            case Started():
                self._done = 0
                super().emit(event)
            case _:
                super().emit(event)


class WatchStatus:
    """The status on a terminal: the files that changed, the plan, its cost, and the keys.

    Whoever runs the watch sets `has_keys`, `is_leaving`, `changed` and `address` (of the preview page).
    """

    def __init__(self, watch: Watch) -> None:
        self._watch, self.live = watch, watch.live
        self.has_keys = self.is_leaving = False
        self.changed: Sequence[str] = ()
        self.address = ""

    @property
    def stale(self) -> list[str]:
        """The names of the cells that `r` builds: those to make, and those to look up at the service."""
        made = (Verdict.RENDER, Verdict.RESTORE, Verdict.REATTACH, Verdict.UNKNOWN)
        steps = self.live.plan.steps if self.live.plan else ()
        return [step.action.name for step in steps if step.verdict in made]

    async def show(self, stack: contextlib.ExitStack) -> None:
        """Show the status until this task is cancelled; `stack` then restores the terminal.

        Raises OSError (EIO) if the terminal was closed.
        """
        from rich.console import Console
        from rich.live import Live as Display
        from rich.text import Text

        terminal = Console(stderr=True, highlight=False, no_color=not style.coloured(sys.stderr))
        display = stack.enter_context(Display(console=terminal, auto_refresh=False, transient=True))
        revisions = self.live.subscribe()
        if hasattr(signal, "SIGWINCH"):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGWINCH, self.live.changed)
            stack.callback(loop.remove_signal_handler, signal.SIGWINCH)
        while True:
            lines = list(self.lines(terminal.height))
            text = Text("\n", no_wrap=True, overflow="ellipsis").join(Text(line, style) for style, line in lines)
            display.update(text, refresh=True)
            if not terminal.is_terminal:  # rich then writes nothing, and says nothing
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            await anext(revisions)

    def lines(self, height: int) -> Iterator[tuple[str, str]]:
        """Yield (style, line) for each line of the status, at most `height` in all."""
        live, plan = self.live, self.live.plan
        below = [*self._happening(), *self._foot()]
        above = [("bold", f"{'watching':>10}  {visible(live.project.root.name)}")]
        if self.changed:
            above.append(("", f"{'changed':>10}  {_files(self.changed).removesuffix(': ')}"))
        if plan:
            before = ", before the error" if live.is_faulty else ""
            above.append(("", f"{'plan':>10}  {style.counted(plan.counts)}{before}"))
            if not live.is_faulty and (first := next(iter(plan.renders), None)):
                above.append(("dim", f"{'why':>10}  {visible(first.reason)}"))
            if plan.count(Verdict.UNKNOWN):
                hint = "may have been billed: r looks them up, `build --resubmit` sends them again"
                above.append(("yellow", f"{'unknown':>10}  {hint}"))
        yield from above
        frames = [line for problem in live.problems for line in _frame(problem)]
        if more := style.more_about(problem.name for problem in live.problems):
            frames.append(("dim", more))
        room = max(1, height - 2 - len(above) - len(below))
        yield from frames[:room]
        if len(frames) > room:
            yield "dim", f"{'':>10}  and {len(frames) - room} more line{'s' * (len(frames) - room != 1)}"
        yield from below

    def _happening(self) -> Iterator[tuple[str, str]]:
        live = self.live
        running = [event.name for event in live.events.values() if isinstance(event, ImageStarted)]
        failed = [
            event for event in live.events.values()
            if isinstance(event, ImageFinished) and event.outcome in (Outcome.FAILED, Outcome.UNKNOWN)
        ]  # fmt: skip
        for event in failed[:_MOST_FAILURES]:
            yield "red", f"{event.outcome.value:>10}  {visible(event.name)}  {visible(event.reason)}"
        if len(failed) > _MOST_FAILURES:
            yield "red", f"{'':>10}  and {len(failed) - _MOST_FAILURES} more"
        if live.building:
            more = f" and {len(running) - 1} more" if len(running) > 1 else ""
            yield "green", f"{'building':>10}  {self._progress()}{visible(running[0]) if running else ''}{more}"
        if line := style.waiting(list(live.delayed.values()), time.time()):
            yield "yellow", line
        if left := self._watch.drafts.left:
            yield "cyan", f"{'drafting':>10}  {left:,} left"

    def _progress(self) -> str:
        """Return how many images of the build are done, and an estimate of the time left; "" for a single image."""
        build = self.live.under_way
        if build is None or build.total < 2:
            return ""
        left = len(build.left)
        done, time_left = build.total - left, ""
        if done:
            time_left = f", {style.duration((time.monotonic() - build.since_s) / done * left)} left"
        return f"{done:,} of {build.total:,}{time_left}  "

    def _foot(self) -> Iterator[tuple[str, str]]:
        live = self.live
        if self.is_leaving:
            if live.building:
                yield "bold", "finishing what is in flight; Ctrl-C leaves it to a later build"
            return
        cost = style.money(live.plan.cost) if live.plan else ""
        spent = [f"{style.money(live.spent)} spent"] if any(live.spent.values()) else []
        left = [f"{live.cost_left:.2f} CNY left"] if live.cost_left is not None else []
        if cost or spent or left:
            yield "", f"{'cost':>10}  " + ", ".join([f"{cost or 'nothing'} to render", *spent, *left])
        if self.address:
            yield "dim", f"{'page':>10}  {self.address}"
        render = [f"r render ({cost})" if cost else "r render"] if self.stale and not live.is_faulty else []
        page = ["o open page"] if self.address else []
        if self.has_keys:
            yield "bold", f"{'':>10}  " + " · ".join([*render, *page, "q quit"])


def _frame(problem: Problem) -> list[tuple[str, str]]:
    return [(_STYLES.get(role, ""), line) for role, line in problem.lines()]


def _files(paths: Sequence[str]) -> str:
    """Return at most three paths and the number of the others, with a colon; "" if there are none."""
    shown = ", ".join(visible(path) for path in paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{shown}{more}: " if shown else ""
