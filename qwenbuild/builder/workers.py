"""The workers of one build: they take steps from queues until the build stops.

Invariant: a stopped build begins no step, and a closed build also sends no request. Both wait for every
request that was sent, unless the user interrupts twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from qwenbuild.events import Stopping, Warned
from qwenbuild.problems import Problem
from qwenbuild.provider import Provider, Stopped

from .run import Run

if TYPE_CHECKING:
    from .journal import RunJournal

_T = TypeVar("_T")


class Workers:
    """Runs the build's jobs, and stops them. `problems` are all problems of the build, in order."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.parts = 1  # the number of providers that render in this build
        self._given_up: set[int] = set()  # the identities of providers
        self.is_stopped = False  # no step is begun any more
        self.is_closed = False  # no request is sent any more
        self.problems: list[Problem] = []
        self._calls: dict[asyncio.Future[Any], RunJournal | None] = {}  # calls of the provider that are running

    async def drain(
        self, queue: deque[_T], count: int, job: Callable[[_T], Awaitable[None]], provider: Provider | None = None
    ) -> None:
        """Run `job` for each item, `count` at a time, until the queue is empty, or the build or `provider` is stopped.

        Raises the first exception of a job after all workers have ended.
        """
        await self.drain_all([(queue, count)], job, provider)

    async def drain_all(
        self, queues: Sequence[tuple[deque[_T], int]], job: Callable[[_T], Awaitable[None]], provider: Provider | None
    ) -> None:
        """Do what `drain` does for several queues at the same time; each has a count of its own."""

        async def worker(queue: deque[_T]) -> None:
            while queue and not (self.is_stopped or id(provider) in self._given_up):
                await job(queue.popleft())

        workers = [asyncio.create_task(worker(queue)) for queue, count in queues for _ in range(min(count, len(queue)))]
        results = await asyncio.gather(*workers, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def until_stopped(self, call: Coroutine[Any, Any, _T], journal: RunJournal | None = None) -> _T:
        """Return what a call of the provider returns; raises Stopped if the build stops before the request is sent."""
        task = asyncio.ensure_future(call)
        self._calls[task] = journal
        try:
            return await task
        except asyncio.CancelledError:
            if (journal and journal.is_open) or self._run.interrupt.count > 1:
                raise
            raise Stopped from None
        finally:
            del self._calls[task]

    def stop(self, reason: str, problems: Sequence[Problem] = (), *, close: bool = True) -> None:
        """Begin no further step; with `close`, send no further request either.

        `problems` are those that no output's event has reported.
        """
        if self.is_closed or (self.is_stopped and not close):
            return
        self.is_stopped, self.is_closed = True, close
        self.problems += problems
        in_flight = len(self._calls)
        if close:
            in_flight -= self._cancel(lambda journal: True)
        self._run.emit(Stopping(reason, in_flight, problems))

    def give_up(self, provider: Provider, reason: str, problems: Sequence[Problem] = ()) -> None:
        """Begin none of a provider's steps any more, and send none of its requests; the other providers go on.

        `problems` are those that no output's event has reported.
        """
        if self.parts == 1:
            self.stop(reason, problems)
        elif id(provider) not in self._given_up:
            self._given_up.add(id(provider))
            self._cancel(lambda it: it is not None and it.provider is provider)
            self.problems += problems
            if problems:
                self._run.emit(Warned(problems))

    def is_given_up(self, provider: Provider) -> bool:
        """Whether no request is sent to a provider any more."""
        return self.is_closed or id(provider) in self._given_up

    def stop_model(self, provider: Provider, model: str) -> None:
        """End the calls that have not sent their requests of this model; `until_stopped` raises Stopped for them."""
        self._cancel(lambda it: it is not None and it.provider is provider and it.model == model)

    def _cancel(self, is_meant: Callable[[RunJournal | None], bool]) -> int:
        """Cancel the calls whose requests are not sent and whose journals are meant; return their number."""
        waiting = [task for task, it in self._calls.items() if is_meant(it) and (it is None or it.is_waiting)]
        return sum(task.cancel() for task in waiting)
