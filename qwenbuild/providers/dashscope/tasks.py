"""Tasks: waits for a task of the account, lists the account's tasks, and cancels one.

Invariant: a failed query does not end the wait for a task, unless queries fail for minutes or the error is permanent.

Sources: Qwen-Image API reference of 2026-02-10, section on querying a task by id; Model Studio
"Asynchronous task management API" of 2026-03-15 (20 queries a second for each account).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Final

from qwenbuild.errors import AnswerLost, ProviderError, Refused, ServiceFault, Throttled, Unreachable

from ..retrying import Tell, silent
from . import wire
from .client import Client
from .reconcile import Listing
from .retry import attempts, retrying

_SILENCE_S: Final = 900.0  # longest time of failing answers to polls; a later build can still collect
_OFFLINE_S: Final = 120.0  # longest time without a connection
_FIRST: Final = 0.1  # the first interval between polls, as a part of the longest
_LATE: Final = 0.15  # the next interval, as a part of the wait so far
_UNKNOWN_POLLS: Final = 3  # some of the service's machines may learn of a new task late
_MISSING: Final = 6  # longest time of answers that a task does not exist, as a multiple of the longest interval
_NOT_FOUND: Final = 404
_PAGE: Final = 50
_PAGE_S: Final = 120.0  # longest time of attempts at one page: somebody may wait for it
_MOST_PAGES: Final = 200


class Tasks:
    """The tasks of one account, through one `Client`."""

    def __init__(self, client: Client, poll_s: float, first_wait_s: float) -> None:
        """In seconds: `poll_s` is the longest interval between polls, `first_wait_s` the first wait before a retry."""
        self._client, self._poll_s, self._first_wait_s = client, poll_s, first_wait_s

    async def ended(self, task_id: str, until_s: float, tell: Tell = silent) -> wire.Task:
        """Poll until the task has ended, and return the task. `tell` is called after each failed query.

        The service keeps the task until `until_s`, in seconds since the epoch. Raises AnswerLost if the
        service does not know the task any more, another ProviderError if queries fail for minutes.
        """
        begun_s = heard_s = time.monotonic()
        failures = unknown = 0
        missing_s: float | None = None  # since when the service says that there is no such task
        while True:
            fault: ProviderError | None = None
            try:
                answer = await self._client.ask("GET", wire.task_path(task_id), may_miss=True)
                task = wire.task(answer, task_id)
                missing_s = (missing_s or time.monotonic()) if answer.status == _NOT_FOUND else None
            except (Throttled, ServiceFault, Unreachable) as error:
                task, fault = None, error
            if missing_s is not None and time.monotonic() - missing_s > self._poll_s * _MISSING:
                raise _gone(task_id, f"status {_NOT_FOUND}")
            if task is None:
                failures += 1
                patience_s = _OFFLINE_S if isinstance(fault, Unreachable) else _SILENCE_S
                is_vain = fault is not None and attempts(fault) == 1
                if is_vain or time.monotonic() - heard_s > patience_s:
                    raise _silent(fault, task_id)
            else:
                heard_s, failures = time.monotonic(), 0
                if task.url or task.status in ("SUCCEEDED", "FAILED", "CANCELED"):
                    return task
                unknown = unknown + 1 if task.status == "UNKNOWN" else 0
                # Only the service decides that a task is gone: this machine's clock may be wrong by days.
                if unknown >= _UNKNOWN_POLLS or (unknown and time.time() > until_s):
                    raise _gone(task_id, f"its status: {task.status}")
            # In proportion to the wait so far, so that the end is noticed at most 15 % too late.
            wait_s = max(self._poll_s * _FIRST, (time.monotonic() - begun_s) * _LATE) * 2 ** min(failures, 8)
            wait_s = max(min(wait_s, self._poll_s), (fault and fault.retry_after_s) or 0.0)
            if fault is not None:
                tell(fault, wait_s)
            await asyncio.sleep(wait_s * random.uniform(0.9, 1.1))  # noqa: S311

    async def list(self, *, model: str = "", status: str = "", most: int) -> tuple[wire.Task, ...]:
        """Return the account's tasks of the last 24 hours, about `most` at most. Raises ProviderError."""
        return tuple((await self._pages(model, status, most)).tasks)

    async def cancel(self, task_id: str) -> None:
        """Cancel a PENDING task. Raises Refused for any other task, ProviderError."""
        try:
            await self._client.ask("POST", wire.task_path(task_id, "/cancel"))
        except Refused as error:
            raise Refused(
                f"task {task_id} can't be cancelled",
                facts=error.facts,
                hint="only PENDING tasks can be cancelled; `qwenbuild tasks` lists the account's tasks",
                code=error.code,
                request_id=error.request_id,
                name="task-not-pending",
            ) from None

    async def listed(self) -> Listing:
        """See `reconcile.Account`.

        The list is not filtered by model: the name of a model there may be that of its dated version.
        """
        return await self._pages("", "", _MOST_PAGES * _PAGE)

    async def shown(self, task_id: str, patience_s: float) -> wire.Task | None:
        """See `reconcile.Account`."""
        try:
            if not patience_s:
                return wire.task(await self._client.ask("GET", wire.task_path(task_id)))
            async with asyncio.timeout(patience_s):
                return await self.ended(task_id, time.time() + wire.LIFE_S)
        except (ProviderError, TimeoutError):
            return None

    async def _pages(self, model: str, status: str, most: int) -> Listing:
        """Return about `most` tasks at most. Raises ProviderError if the first page can't be read.

        New tasks come first in the list, so they only move others to a later page. The list is whole if it ends:
        with an empty page, or with a short one when there are as many tasks as the service counts.
        """
        found: dict[str, wire.Task] = {}
        read_at_s, ahead_s = time.time(), None
        is_readable, is_whole = True, False
        for number in itertools.count(1):  # pragma: no branch - it has no end
            try:
                answer = await self._page(number, model, status)
            except ProviderError:
                if number == 1:
                    raise
                break
            page, before = wire.task_list(answer), len(found)
            ahead_s = answer.ahead_s if ahead_s is None else ahead_s
            found.update((task.id, task) for task in page.tasks)
            is_readable = is_readable and page.is_list and page.entries == len(page.tasks)
            is_all = page.total is None or len(found) >= page.total
            if not page.entries or (page.total is not None and is_all and page.entries < _PAGE):
                is_whole = is_readable and is_all
                break
            if len(found) == before or len(found) >= most:
                break
        return Listing(tuple(found.values()), read_at_s, ahead_s, is_whole)

    async def _page(self, page: int, model: str, status: str) -> wire.Answer:
        query = wire.list_query(page, _PAGE, model=model, status=status)
        async for attempt in retrying(self._first_wait_s, longest_s=_PAGE_S):
            with attempt:
                return await self._client.ask("GET", wire.LIST_PATH, query)
        raise AssertionError("the loop returns or raises")  # pragma: no cover - it does


def _gone(task_id: str, said: str) -> AnswerLost:
    """Return the error of a task that the service does not know any more."""
    return AnswerLost(
        "the service has forgotten a task that it accepted",
        facts=[f"task: {task_id}", said, "tasks are kept for 24 hours"],
        hint="the image is gone; `--resubmit` renders it again, and pays again",
        name="task-forgotten",
    )


def _silent(fault: ProviderError | None, task_id: str) -> ProviderError:
    """Return the error of a task that can't be queried. Its submission stays open."""
    return (Unreachable if isinstance(fault, Unreachable) else ProviderError)(
        f"{fault.claim if fault else 'the service does not show a task'}: an image in flight waits there",
        facts=[*(fault.facts if fault else ()), f"task: {task_id}"],
        hint="build again within 24 hours to collect it; nothing is paid twice",
        code=fault.code if fault else "",
    )
