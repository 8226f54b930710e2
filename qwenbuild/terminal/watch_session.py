"""A running `watch`: its view, its keyboard, its preview page, and the signals that end it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from qwenbuild.builder.interrupt import on_signals
from qwenbuild.events import Event, Replanned, Serving
from qwenbuild.watch.watcher import Watch

from . import keyboard, style
from .build_view import JsonView
from .outlet import Outlet
from .watch_view import WatchLines, WatchStatus

if TYPE_CHECKING:
    from qwenbuild.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of `watch`; `port` None is the project's own, 0 any free one."""

    auto: bool = False
    preview: bool = True
    open_page: bool = False
    port: int | None = None
    as_json: bool = False


async def watch(engine: Engine, choices: Choices) -> int:
    """Watch until the user leaves; return the exit code, 0 after `q`, 128 and the number of a signal after the signal.

    Raises UsageError, and OSError if the output can no longer be written.
    """
    return await _Session(engine, choices).run()


class _Session:
    """One watch with its view, its keyboard and its preview page."""

    def __init__(self, engine: Engine, choices: Choices) -> None:
        self._choices = choices
        self._watch = Watch(engine, self._emit, auto=choices.auto)
        self._live = self._watch.live
        on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._view = JsonView() if choices.as_json else None if on_terminal else WatchLines()
        self._outlet = Outlet(self._view, lambda error: self._leave_once())
        self._status = WatchStatus(self._watch)
        self._signal = 0  # the number of the first signal
        self._opening: asyncio.Task[bool] | None = None

    async def run(self) -> int:
        with self._outlet.guarded(), contextlib.ExitStack() as stack:
            stack.enter_context(on_signals(self._signalled))
            await self._watch_until_end(stack)
        if self._outlet.error and not self._signal:
            raise self._outlet.error
        if self._view is None and any(self._live.spent.values()):  # the status is no longer on the screen
            with self._outlet.guarded():
                click.echo(f"{'spent':>10}  {style.money(self._live.spent)}", err=True)
        return 128 + self._signal if self._signal else 0

    async def _watch_until_end(self, stack: contextlib.ExitStack) -> None:
        helpers: list[asyncio.Task[None]] = []
        if self._view is None:
            self._status.has_keys = stack.enter_context(keyboard.listening(self._pressed, self._closed))
            helpers.append(asyncio.create_task(self._show_status(stack)))
        if self._choices.preview:
            from qwenbuild.pages.preview import serve

            helpers.append(asyncio.create_task(serve(self._live, self._choices.port, self._served)))
        watching = asyncio.create_task(self._watch.run())
        try:
            # If a helper ends before the watch does, the helper has failed.
            await asyncio.wait({watching, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            if not watching.done():
                self._leave_once()
            await watching
        finally:
            for helper in helpers:
                helper.cancel()
            ended = await asyncio.gather(*helpers, return_exceptions=True)
        for result in ended:
            if isinstance(result, Exception):
                raise result

    async def _show_status(self, stack: contextlib.ExitStack) -> None:
        with self._outlet.guarded():
            await self._status.show(stack)

    def _emit(self, event: Event) -> None:
        if isinstance(event, Replanned):
            self._status.changed = event.changed or self._status.changed
        self._outlet.emit(event)

    def _served(self, address: str) -> None:
        self._status.address = address
        self._emit(Serving(address))
        self._live.changed()
        if self._choices.open_page:
            self._open()

    def _open(self) -> None:
        if self._status.address:
            self._opening = asyncio.create_task(asyncio.to_thread(webbrowser.open, self._status.address))

    def _signalled(self, number: int) -> None:
        is_first, self._signal = not self._signal, self._signal or number
        # If the output failed before, the watch is leaving, and the user may not know that.
        if is_first and self._outlet.error:
            return
        self._leave()

    def _leave_once(self) -> None:
        """Leave, unless the watch is leaving already: a second call would leave images in flight behind."""
        if not self._status.is_leaving:
            self._leave()

    def _leave(self) -> None:
        self._status.is_leaving = True
        self._watch.leave()
        self._live.changed()

    def _closed(self) -> None:
        with self._outlet.guarded():
            raise OSError(errno.EIO, os.strerror(errno.EIO))  # as the next write would

    def _pressed(self, key: str) -> None:
        match key:
            case "q":
                self._leave()
            case "r" if not self._live.is_faulty:
                self._live.wish(self._status.stale)
            case "o":
                self._open()
