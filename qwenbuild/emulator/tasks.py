"""Asynchronous tasks, and the queue that decides when each one starts and ends.

Invariant: nothing here reads a clock. A task's times follow from its submission and the queue's limits.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .exchange import Exchange
from .request_body import Order
from .results import Image
from .wire_format import new_id

STATUSES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN")


@dataclass(slots=True, eq=False)
class Task:
    """An asynchronous task. All times are in seconds since the epoch.

    `failing` is the error code with which the task will fail, `failing_item` the code that replaces
    its results; both are empty for a task that will succeed.
    """

    id: str
    account: str
    order: Order
    exchange: Exchange
    submitted_s: float
    failing: str = ""
    failing_item: str = ""
    request_id: str = field(default_factory=new_id)
    status: str = "PENDING"
    scheduled_s: float | None = None
    ended_s: float | None = None
    images: list[Image] = field(default_factory=list)


class TaskQueue:
    """The tasks of one account and model. They run in order, at most `most` at a time (0: no limit).

    A task waits at least `queue_s` seconds and then runs for `latency_s` seconds.
    """

    def __init__(self, most: int, queue_s: float, latency_s: float) -> None:
        self._most, self._queue_s, self._latency_s = most, queue_s, latency_s
        self.pending: deque[Task] = deque()
        self._running: list[tuple[float, int, Task]] = []  # a heap by end time
        self._started = 0
        self._freed_s = 0.0  # when the last running task ended

    def advance(self, now: float, finish: Callable[[Task, float], None]) -> None:
        """Start and end all tasks that are due by `now`, in order of time.

        `finish` gets each task that ends, and its end time.
        """
        while True:
            end_s = self._running[0][0] if self._running else None
            if self.pending and (not self._most or len(self._running) < self._most):
                start_s = max(self.pending[0].submitted_s + self._queue_s, self._freed_s if self._most else 0.0)
                if start_s <= now and (end_s is None or start_s <= end_s):
                    task = self.pending.popleft()
                    task.status, task.scheduled_s = "RUNNING", start_s
                    self._started += 1
                    heapq.heappush(self._running, (start_s + self._latency_s, self._started, task))
                    continue
            if end_s is None or end_s > now:
                return
            self._freed_s = end_s
            finish(heapq.heappop(self._running)[2], end_s)
