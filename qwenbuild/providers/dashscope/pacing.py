"""Pacing: how fast one account may submit to one model, and how many of its tasks may run at once.

Invariants:
- Turns are given in the order in which callers asked for them, at least `1 / per_s` seconds apart.
- Nothing polls: each waiting caller is one future. A cancelled caller takes no turn.
- A throttled submit halves the pace. Submits that were throttled together halve it once.
- Each accepted submit raises the pace by a tenth of the limit (additive increase, multiplicative decrease).

The code is our own, because the pace changes while callers wait. aiolimiter can't change its rate
(mjpieters/aiolimiter issue 98).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_CATCH_UP_S: Final = 0.01  # timers wake late; without this allowance, the lateness of all turns would add up
_SLOWEST: Final = 1 / 32  # the slowest pace, as a part of the limit


class Pace:
    """The pace of one model on one account, within one event loop."""

    def __init__(self, limit_per_s: float, at_once: int = 0) -> None:
        """`limit_per_s` is the most submits a second, `at_once` the most running tasks (0: any number)."""
        if limit_per_s <= 0 or at_once < 0:
            raise ValueError("a pace needs a positive rate and no negative number of tasks")
        self.per_s = limit_per_s
        self._limit_per_s = limit_per_s
        self._queue = asyncio.Lock()  # fair: first come, first served
        self._next_s = 0.0  # loop time of the next turn
        self._slowed_s = float("-inf")  # loop time of the last slowing
        self._asking = 0  # callers that wait for their turns
        self._places = asyncio.Semaphore(at_once) if at_once else None

    @property
    def wait_s(self) -> float:
        """The seconds until somebody who asks now gets a turn, if the pace stays as it is."""
        return max(0.0, self._next_s - asyncio.get_running_loop().time()) + self._asking / self.per_s

    async def turn(self) -> float:
        """Wait for the next turn to submit. Returns the turn's loop time in seconds, which `slower` takes."""
        loop = asyncio.get_running_loop()
        self._asking += 1
        try:
            async with self._queue:
                # A loop, because `slower` may move the turn while this caller waits.
                while (wait_s := self._next_s - loop.time()) > 0:  # noqa: ASYNC110 - it waits for a time, not an event
                    await asyncio.sleep(wait_s)
                now = loop.time()
                self._next_s = max(self._next_s, now - _CATCH_UP_S) + 1 / self.per_s
                return now
        finally:
            self._asking -= 1

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a free place among the running tasks, and hold the place while the context lasts."""
        if self._places is None:
            yield
            return
        async with self._places:
            yield

    def slower(self, turn_s: float, retry_after_s: float | None = None) -> None:
        """Halve the pace, because the submit whose turn was at `turn_s` was throttled.

        All turns wait for `retry_after_s` seconds. A submit that was sent before the last slowing does
        not change the pace: it was throttled together with the submit that caused the slowing.
        """
        now = asyncio.get_running_loop().time()
        if turn_s > self._slowed_s:
            self._slowed_s = now
            self.per_s = max(self.per_s / 2, self._limit_per_s * _SLOWEST)
            self._next_s = max(self._next_s, now + 1 / self.per_s)
        if retry_after_s:
            self._next_s = max(self._next_s, now + retry_after_s)

    def faster(self) -> None:
        """Raise the pace by a tenth of the limit, up to the limit, because the service accepted a submit."""
        self.per_s = min(self.per_s + self._limit_per_s / 10, self._limit_per_s)
