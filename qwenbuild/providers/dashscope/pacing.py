"""How fast one account may submit to one model, and how many of its tasks may run at once.

Invariants: turns are given in the order in which they were asked for, at least `1 / per_s` apart;
nothing polls, a waiting caller is one future; a cancelled caller takes no turn. The pace halves
when the service throttles, once for each time that it saw too much, and climbs back by a tenth of
the limit for each submit that it takes (additive increase, multiplicative decrease).

Own code, because the pace changes while callers wait, which aiolimiter can't do (mjpieters/aiolimiter
issue 98).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

_CATCH_UP_S: Final = 0.01  # timers wake late; without this, each turn's lateness would add up
_SLOWEST: Final = 1 / 32  # of the limit: the pace never falls below this


class Pace:
    """The pace of one model on one account, used within one event loop."""

    def __init__(self, limit_per_s: float, at_once: int = 0) -> None:
        """`limit_per_s` submits a second at most; `at_once` tasks at once, 0 for any number."""
        if limit_per_s <= 0 or at_once < 0:
            raise ValueError("a pace needs a positive rate and no negative number of tasks")
        self.per_s = limit_per_s
        self._limit_per_s = limit_per_s
        self._queue = asyncio.Lock()  # fair: first come, first served
        self._next_s = 0.0  # loop time of the next turn
        self._slowed_s = float("-inf")  # loop time of the last slowing
        self._places = asyncio.Semaphore(at_once) if at_once else None

    async def turn(self) -> float:
        """Wait for the next turn to submit and return its loop time, to be given back to `slower`."""
        loop = asyncio.get_running_loop()
        async with self._queue:
            # A loop, because `slower` may move the turn while it is being waited for.
            while (wait_s := self._next_s - loop.time()) > 0:  # noqa: ASYNC110 - what it waits for is a time
                await asyncio.sleep(wait_s)
            now = loop.time()
            self._next_s = max(self._next_s, now - _CATCH_UP_S) + 1 / self.per_s
            return now

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places for running tasks, waiting until one is free."""
        if self._places is None:
            yield
            return
        async with self._places:
            yield

    def slower(self, turn_s: float, retry_after_s: float | None = None) -> None:
        """Halve the pace because the submit of `turn_s` was throttled; hold all turns for `retry_after_s` seconds.

        Submits that were under way together are throttled together: they slow the pace once.
        """
        now = asyncio.get_running_loop().time()
        if turn_s > self._slowed_s:
            self._slowed_s = now
            self.per_s = max(self.per_s / 2, self._limit_per_s * _SLOWEST)
            self._next_s = max(self._next_s, now + 1 / self.per_s)
        if retry_after_s:
            self._next_s = max(self._next_s, now + retry_after_s)

    def faster(self) -> None:
        """Raise the pace a little, up to the limit, because the service took a submit."""
        self.per_s = min(self.per_s + self._limit_per_s / 10, self._limit_per_s)


_LONGEST_S: Final = 0.25  # that a download gives way: where requests never cease, images come all the same


class Outgoing:
    """The requests that are on their way out, within one event loop."""

    def __init__(self, longest_s: float = _LONGEST_S) -> None:
        """`longest_s` is how long a download gives way at most."""
        self._longest_s = longest_s
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def request(self) -> Iterator[Callable[[], None]]:
        """Count a request as on its way while the context lasts, or until what it gives is called, once it is sent."""
        is_sent = False

        def sent() -> None:
            nonlocal is_sent
            if not is_sent:
                is_sent = True
                self._count -= 1
                if not self._count:
                    self._none.set()

        self._count += 1
        self._none.clear()
        try:
            yield sent
        finally:
            sent()

    async def give_way(self) -> None:
        """Return once no request is on its way, or soon all the same."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_s):
                await self._none.wait()
