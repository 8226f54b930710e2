"""The account's tasks as the service tells of them: waiting for one, listing them all, cancelling.

Invariants: no failure to ask about a task ends the wait for it, unless it goes on for long or can't
pass; what has ended has ended, whoever asks and however often.

Sources: reference of 2026-02-10, "query by task id"; Model Studio "Asynchronous task management API"
of 2026-03-15 (20 queries a second for each account).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Final

from qwenbuild.errors import AnswerLost, ProviderError, Refused, ServiceFault, Throttled, Unreachable

from . import wire
from .client import Client
from .retry import attempts, retrying

LIFE_S: Final = 24 * 3600.0  # how long the service keeps tasks and results
_SILENCE_S: Final = 900.0  # a task is polled through failing answers for so long; it stays collectable
_OFFLINE_S: Final = 120.0  # and without any connection for so long
_MATCH_S: Final = 300.0  # longest wait for a task to end whose prompt is to be compared
_LEAST: Final = 0.1  # of the longest interval: the first one
_LATE: Final = 0.15
_UNKNOWN_POLLS: Final = 3  # a new task may not be known everywhere at once
_PAGE: Final = 50
_MOST_PAGES: Final = 200


class Tasks:
    """The tasks of one account."""

    def __init__(self, client: Client, poll_s: float, first_wait_s: float) -> None:
        """`poll_s` is the longest interval between polls of one task, `first_wait_s` the first retry's wait."""
        self._client, self._poll_s, self._first_wait_s = client, poll_s, first_wait_s

    async def ended(self, task_id: str, until_s: float) -> wire.Task:
        """Poll until the task has ended one way or the other; `until_s` is when the service forgets it.

        Raises AnswerLost where the service knows it no longer, another ProviderError where it does
        not answer for long.
        """
        begun_s = heard_s = time.monotonic()
        failures = unknown = 0
        while True:
            fault: ProviderError | None = None
            try:
                task = wire.task(await self._client.ask("GET", wire.task_path(task_id)))
            except (Throttled, ServiceFault, Unreachable) as error:
                task, fault = None, error
            if task is None:
                failures += 1
                patience_s = _OFFLINE_S if isinstance(fault, Unreachable) else _SILENCE_S
                is_vain = fault is not None and attempts(fault) == 1
                if is_vain or time.monotonic() - heard_s > patience_s:
                    raise _silent(fault, task_id)
            else:
                heard_s, failures = time.monotonic(), 0
                if task.status in ("SUCCEEDED", "FAILED", "CANCELED"):
                    return task
                unknown = unknown + 1 if task.status == "UNKNOWN" else 0
                # By the service's word alone: this machine's clock may be days off.
                if unknown >= _UNKNOWN_POLLS or (unknown and time.time() > until_s):
                    raise AnswerLost(
                        "the service has forgotten a task that it accepted",
                        facts=[f"task: {task_id}", f"its status: {task.status}", "tasks are kept for 24 hours"],
                        hint="its image can't be had any more; `--resubmit` renders it anew, and pays again",
                    )
            # In proportion to the wait so far: a task's end is noticed at most that much too late.
            wait_s = max(self._poll_s * _LEAST, (time.monotonic() - begun_s) * _LATE) * 2 ** min(failures, 8)
            wait_s = max(min(wait_s, self._poll_s), (fault and fault.retry_after_s) or 0.0)
            await asyncio.sleep(wait_s * random.uniform(0.9, 1.1))  # noqa: S311

    async def list(self, *, model: str = "", status: str = "", most: int) -> tuple[wire.Task, ...]:
        """Return the account's tasks of 24 hours, at most about `most`. Raises ProviderError."""
        found, _, _ = await self._pages(model, status, most)
        return found

    async def cancel(self, task_id: str) -> None:
        """Cancel a PENDING task; raises Refused for any other, ProviderError."""
        try:
            await self._client.ask("POST", wire.task_path(task_id, "/cancel"))
        except Refused as error:
            raise Refused(
                f"task {task_id} can't be cancelled",
                facts=error.facts,
                hint="only tasks that are still PENDING can be; `qwenbuild tasks` lists the account's",
                code=error.code,
                request_id=error.request_id,
            ) from None

    async def listed(self, model: str) -> tuple[tuple[wire.Task, ...], float] | None:
        """`reconcile.Account`."""
        tasks, ahead_s, is_whole = await self._pages(model, "", _MOST_PAGES * _PAGE)
        return (tasks, ahead_s) if is_whole else None

    async def finished(self, task_id: str) -> wire.Task | None:
        """`reconcile.Account`."""
        try:
            async with asyncio.timeout(_MATCH_S):
                return await self.ended(task_id, time.time() + LIFE_S)
        except (ProviderError, TimeoutError):
            return None

    async def _pages(self, model: str, status: str, most: int) -> tuple[tuple[wire.Task, ...], float, bool]:
        """Return tasks, by how many seconds the service's clock is ahead, and whether these are all tasks."""
        found: dict[str, wire.Task] = {}
        ahead_s = 0.0
        for page in itertools.count(1):
            answer = await self._page(page, model, status)
            ahead_s = ahead_s if answer.ahead_s is None else answer.ahead_s
            tasks, total = wire.task_list(answer)
            before = len(found)
            found.update((task.id, task) for task in tasks)
            if len(found) == before or (total is not None and len(found) >= total):
                return tuple(found.values()), ahead_s, True
            if len(found) >= most:
                break
        return tuple(found.values()), ahead_s, False

    async def _page(self, page: int, model: str, status: str) -> wire.Answer:
        query = wire.list_query(page, _PAGE, model=model, status=status)
        async for attempt in retrying(self._first_wait_s):
            with attempt:
                return await self._client.ask("GET", wire.LIST_PATH, query)
        raise AssertionError("the loop returns or raises")


def _silent(fault: ProviderError | None, task_id: str) -> ProviderError:
    """Return the error of a task that can't be asked for; it stays in the journal."""
    return (Unreachable if isinstance(fault, Unreachable) else ProviderError)(
        f"{fault.claim if fault else 'the service does not tell about a task'}: an image in flight waits there",
        facts=[*(fault.facts if fault else ()), f"task: {task_id}"],
        hint="build again within 24 hours to collect it; nothing is paid twice",
        code=fault.code if fault else "",
    )
