"""A running `watch`: its view, its keyboard, its preview page, and the signals that end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
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
from .watch_view import WatchLines, WatchStatus

if TYPE_CHECKING:
    from qwenbuild.engine.engine import Engine

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
        self._view = JsonView() if choices.as_json else None if on_terminal else WatchLines()
        self._status = WatchStatus(self._watch)
        self._broken: OSError | None = None
        self._code = 0
        self._opening: asyncio.Task[bool] | None = None

    async def run(self) -> int:
        helpers: list[asyncio.Task[None]] = []
        with contextlib.ExitStack() as stack:
            stack.enter_context(on_signals(_SIGNALS, self._interrupted))
            if self._view is None:
                self._status.has_keys = stack.enter_context(keyboard.listening(self._pressed))
                helpers.append(asyncio.create_task(self._status.show(stack)))
            if self._choices.preview:
                from qwenbuild.pages.preview import serve

                helpers.append(asyncio.create_task(serve(self._live, self._choices.port, self._served)))
            watching = asyncio.create_task(self._watch.run())
            try:
                # If a helper ends before the watch does, the helper has failed.
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
