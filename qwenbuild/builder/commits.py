"""Writes to the state that wait for the disk together.

A commit waits for the disk; of fifty submissions whose answers come at once, the last would wait
for all the others. What is asked for while one commit is under way goes into the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from qwenbuild.storage.state import State

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Commits:
    """Writes to one state, in the order in which they were asked for; used within one event loop."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None
        # Its own thread: in the common ones a submission would wait behind images that are verified.
        self._thread = ThreadPoolExecutor(1, "commits")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Commit while the context lasts; at its end everything that was asked for is on the disk."""
        try:
            yield
        finally:
            while self._task:
                await asyncio.wait([self._task])
            self._thread.shutdown()

    def soon(self, write: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> asyncio.Future[_T]:
        """Have one of the state's methods called; the future has its result once it is on the disk, or a StateError.

        It is carried out also where the future is cancelled; where another write of the same commit
        fails, it fails too.
        """
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append((partial(write, *arguments, **named), done))
        if self._task is None:
            self._task = loop.create_task(self._commit())
        return done

    async def _commit(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            together = partial(self._together, [write for write, _ in waiting])
            try:
                results = await asyncio.get_running_loop().run_in_executor(self._thread, together)
            except Exception as error:
                for _, done in waiting:
                    if not done.done():
                        done.set_exception(error)
            else:
                for (_, done), result in zip(waiting, results, strict=True):
                    if not done.done():
                        done.set_result(result)
        self._task = None

    def _together(self, writes: Sequence[Callable[[], Any]]) -> list[Any]:
        with self._state.durably():
            return [write() for write in writes]
