"""The work of one build that is under way, and how it is stopped.

Invariant: once a build is stopped nothing more is taken up, and once it is closed nothing more is
sent; what was sent is waited for, unless the user asks twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from qwenbuild.events import Emit, Stopping
from qwenbuild.problems import Problem
from qwenbuild.provider import Provider, Stopped, resumable

from .interrupt import Interrupt
from .journal import StateJournal

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may do: `max_cost` as in `Spending`, `detach` to leave once everything is submitted.

    `locked`: what rendering gives must be what the lock pins; `relock`: it need not.
    """

    fail_fast: bool = False
    force: bool = False
    detach: bool = False
    locked: bool = False
    relock: bool = False
    max_cost: Decimal | None = None


class Work:
    """`problems` are all of the build's, in the order in which they were told."""

    def __init__(self, provider: Provider, interrupt: Interrupt, emit: Emit) -> None:
        self._provider, self._interrupt, self._emit = provider, interrupt, emit
        self.is_stopped = False  # nothing more is taken up
        self.is_closed = False  # nothing more is sent
        self.problems: list[Problem] = []
        self._running: set[asyncio.Task[None]] = set()
        self._under_way: dict[asyncio.Future[Any], StateJournal | None] = {}

    async def through(self, steps: deque[_T], workers: int, job: Callable[[_T], Awaitable[None]]) -> None:
        """Take steps, or batches of them, off the deque, `workers` at a time, until it is empty or the build stops."""

        async def worker() -> None:
            while steps and not self.is_stopped:
                await job(steps.popleft())

        self._running = {asyncio.create_task(worker()) for _ in range(min(workers, len(steps)))}
        results = await asyncio.gather(*self._running, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def stoppable(self, work: Coroutine[Any, Any, _T], journal: StateJournal | None = None) -> _T:
        """Return what `work` returns; raises Stopped where the build stops while `journal` has nothing open."""
        task = asyncio.ensure_future(work)
        self._under_way[task] = journal
        try:
            return await task
        except asyncio.CancelledError:
            if (journal and journal.is_open) or self._interrupt.count > 1:
                raise
            raise Stopped from None
        finally:
            del self._under_way[task]

    def stop(self, reason: str, problems: Sequence[Problem] = (), *, close: bool = True) -> None:
        """Take up nothing more, and send nothing more (`close`); `problems` are those that no output has shown."""
        if self.is_closed or (self.is_stopped and not close):
            return
        self.is_stopped, self.is_closed = True, close
        self.problems += problems
        in_flight = len(self._under_way)
        if close and resumable(self._provider):  # others never tell what is only waiting for its turn
            for task, journal in self._under_way.items():
                if journal is None or not journal.is_open:
                    in_flight -= task.cancel()
        self._emit(Stopping(reason, in_flight, problems))
