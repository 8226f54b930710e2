"""The commits: writes of submissions that share one wait for the disk.

Each commit waits for the disk. If fifty answers arrived at once and each had its own commit, the last
one would wait for fifty. Writes that arrive during one commit go into the next one together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Records(Protocol):
    """Where a commit writes."""

    def durably(self) -> AbstractContextManager[None]:
        """Join the writes of the context into one commit, which is on disk when the context ends."""


class Commits:
    """Writes of submissions, in the order of the calls; used within one event loop."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None
        # A thread of its own: in the shared pool a submission would wait behind the verification of images.
        self._thread = ThreadPoolExecutor(1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Accept writes inside this context; at its end all of them are on disk."""
        try:
            yield
        finally:
            while self._task:
                await asyncio.wait([self._task])
            self._thread.shutdown()

    def enqueue(self, write: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> asyncio.Future[_T]:
        """Call one of the records' methods soon. The future gets its result once it is on disk, or the error.

        The write happens even if the future is cancelled. If one write of a commit fails, all of that
        commit fail.
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
        with self._records.durably():
            return [write() for write in writes]
