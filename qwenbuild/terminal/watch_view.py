"""The views of `watch`, and the keys that control it.

On a terminal one status changes in place. In a pipe each reading of the files, and each image that
was made, has a line. `--json` prints one event a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

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

from . import keyboard, style
from .build_view import JsonView, LineView

if TYPE_CHECKING:
    from qwenbuild.engine.engine import Engine

_MOST_FAILURES = 3  # shown on the terminal; the page shows all
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of `watch`; `port` 0 takes any free port."""

    auto: bool = False
    preview: bool = True
    open_page: bool = False
    port: int = 0
    as_json: bool = False


async def watch(engine: Engine, choices: Choices) -> int:
    """Watch until the user leaves; return the exit code, 0 after `q` and 130 after Ctrl-C.

    Raises UsageError, and OSError if standard output can no longer be written.
    """
    return await _Session(engine, choices).run()


class _Session:
    """One watch with its view, its keyboard and its preview page."""

    def __init__(self, engine: Engine, choices: Choices) -> None:
        self._choices = choices
        self._watch = Watch(engine, self._emit, auto=choices.auto)
        self._live = self._watch.live
        on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._view = JsonView() if choices.as_json else None if on_terminal else _Lines()
        self._status = _Status(self._watch)
        self._broken: OSError | None = None
        self._code = 0
        self._opening: asyncio.Task[bool] | None = None

    async def run(self) -> int:
        helpers: list[asyncio.Task[None]] = []
        with contextlib.ExitStack() as stack:
            stack.enter_context(_signals(self._interrupted))
            if self._view is None:
                self._status.has_keys = stack.enter_context(keyboard.listening(self._pressed))
                helpers.append(asyncio.create_task(self._status.show(stack)))
            if self._choices.preview:
                from qwenbuild.pages.preview import serve

                helpers.append(asyncio.create_task(serve(self._live, self._choices.port, self._served)))
            watching = asyncio.create_task(self._watch.run())
            try:
                # A helper that ends before the watch has failed.
                await asyncio.wait({watching, *helpers}, return_when=asyncio.FIRST_COMPLETED)
                if not watching.done():
                    self._watch.leave()
                await watching
            finally:
                for helper in helpers:
                    helper.cancel()
                ended = await asyncio.gather(*helpers, return_exceptions=True)
        for result in (self._broken, *ended):
            if isinstance(result, Exception):
                raise result
        if self._view is None and any(self._live.spent.values()):  # the status is no longer on the screen
            click.echo(f"{'spent':>10}  {style.money(self._live.spent)}", err=True)
        return self._code

    def _emit(self, event: Event) -> None:
        if isinstance(event, Replanned):
            self._status.changed = event.changed or self._status.changed
        if self._view is None or self._broken:
            return
        try:
            self._view.emit(event)
        except OSError as error:  # the reader closed the pipe
            self._broken = error
            self._watch.leave()

    def _served(self, address: str) -> None:
        self._status.address = address
        self._emit(Serving(address))
        self._live.changed()
        if self._choices.open_page:
            self._open()

    def _open(self) -> None:
        if self._status.address:
            self._opening = asyncio.create_task(asyncio.to_thread(webbrowser.open, self._status.address))

    def _interrupted(self) -> None:
        self._code = 130
        self._status.is_leaving = True
        self._watch.leave()
        self._live.changed()

    def _pressed(self, key: str) -> None:
        match key:
            case "q":
                self._status.is_leaving = True
                self._watch.leave()
                self._live.changed()
            case "r" if not self._live.is_faulty:
                self._live.wish(self._status.stale)
            case "o":
                self._open()


@contextlib.contextmanager
def _signals(act: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    added = []
    for number in _SIGNALS:
        # If the loop can't handle signals, KeyboardInterrupt ends the watch.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, act)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)


class _Lines(LineView):
    """Prints a line for each reading of the files and each image, on standard error."""

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
            case Stopping(reason="interrupted") | Finished():
                return
            case Started():
                self._done = 0
                super().emit(event)
            case _:
                super().emit(event)


class _Status:
    """The status on a terminal: the files that changed, the plan, its cost, and the keys."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._live = watch, watch.live
        self.has_keys = self.is_leaving = False
        self.changed: Sequence[str] = ()
        self.address = ""

    @property
    def stale(self) -> list[str]:
        """The names of the cells that `r` builds: those to make, and those to look up at the service."""
        made = (Verdict.RENDER, Verdict.RESTORE, Verdict.REATTACH, Verdict.UNKNOWN)
        steps = self._live.plan.steps if self._live.plan else ()
        return [step.action.name for step in steps if step.verdict in made]

    async def show(self, stack: contextlib.ExitStack) -> None:
        """Show the status until this task is cancelled; `stack` then restores the terminal."""
        from rich.console import Console
        from rich.live import Live as Display
        from rich.text import Text

        terminal = Console(stderr=True, highlight=False, no_color=not style.coloured(sys.stderr))
        display = stack.enter_context(Display(console=terminal, auto_refresh=False, transient=True))
        revisions = self._live.subscribe()
        if hasattr(signal, "SIGWINCH"):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGWINCH, self._live.changed)
            stack.callback(loop.remove_signal_handler, signal.SIGWINCH)
        while True:
            lines = list(self._lines(terminal.height))
            text = Text("\n", no_wrap=True, overflow="ellipsis").join(Text(line, style) for style, line in lines)
            display.update(text, refresh=True)
            await anext(revisions)

    def _lines(self, height: int) -> Iterator[tuple[str, str]]:
        """Yield (style, line) for each line of the status, at most `height` in all."""
        live, plan = self._live, self._live.plan
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
        room = max(1, height - 2 - len(above) - len(below))
        yield from frames[:room]
        if len(frames) > room:
            yield "dim", f"{'':>10}  and {len(frames) - room} more line{'s' * (len(frames) - room != 1)}"
        yield from below

    def _happening(self) -> Iterator[tuple[str, str]]:
        live = self._live
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
        if left := self._watch.drafting.left:
            yield "cyan", f"{'drafting':>10}  {left:,} left"

    def _progress(self) -> str:
        """Return how many images of the build are done, and an estimate of the time left; "" for a single image."""
        build = self._live.under_way
        if build is None or build.total < 2:
            return ""
        left = len(build.left)
        done, time_left = build.total - left, ""
        if done:
            time_left = f", {style.duration((time.monotonic() - build.since_s) / done * left)} left"
        return f"{done:,} of {build.total:,}{time_left}  "

    def _foot(self) -> Iterator[tuple[str, str]]:
        live = self._live
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


_STYLES = {"error": "bold red", "place": "blue", "gutter": "blue", "caret": "bold red", "hint": "cyan"}


def _frame(problem: Problem) -> list[tuple[str, str]]:
    return [(_STYLES.get(role, ""), line) for role, line in problem.lines()]


def _files(paths: Sequence[str]) -> str:
    """Return at most three paths and the number of the others, with a colon; "" if there are none."""
    shown = ", ".join(visible(path) for path in paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{shown}{more}: " if shown else ""
