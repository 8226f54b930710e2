"""Reconciliation: finds the task that a submission with a lost answer made, if this is certain.

A match is certain if all of these hold:
- Exactly one unclaimed task was created in the submission's time and reports the submission's prompt.
- No task of that time hides its prompt.
- No open submission of another request could have made this task.

A list of tasks shows no prompt, size or seed, and a finished task shows only its prompt. So two lost
submissions with one prompt can't be distinguished.

Source: Model Studio "Asynchronous task management API" of 2026-03-15.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, Protocol

from qwenbuild.request import Submission

from .wire import WAITING, Task

_SLACK_S: Final = 5.0  # the clocks are compared by the Date header, which has whole seconds
_UNDER_WAY_S: Final = 120.0  # longest time from the intent until a create reaches the service


class Account(Protocol):
    """The queries that a match needs; `Tasks` answers them."""

    async def listed(self, model: str) -> tuple[Iterable[Task], float] | None:
        """Return the model's tasks of the last 24 hours, and the seconds that the service's clock is ahead.

        Returns None if the list is not complete.
        """

    async def finished(self, task_id: str) -> Task | None:
        """Wait for the end of a task and return the task; None if it takes too long or can't be queried."""


async def match(
    account: Account,
    wanted: Collection[Submission],
    rivals: Callable[[], Iterable[Submission]],
    claimed: Collection[str],
) -> dict[int, str]:
    """Return task ids by `Submission.id`, for the submissions of `wanted` with a certain match.

    `rivals` returns all open submissions that may have made a task; it is called when matches are decided.
    `claimed` are ids of tasks that belong to other submissions; it may grow meanwhile. Raises ProviderError.
    """
    found: dict[int, str] = {}
    for model in sorted({one.request.model for one in wanted}):
        listing = await account.listed(model)
        if listing is None:
            continue
        tasks, ahead_s = listing
        lost = [one for one in wanted if one.request.model == model]
        near = [task for task in tasks if task.id not in claimed and any(_is_near(task, one, ahead_s) for one in lost)]
        ended = await asyncio.gather(*(_ended(account.finished, task) for task in near))
        open_ones = {one.id: one for one in (*lost, *rivals()) if one.request.model == model}
        for one in lost:
            task = _certain(one, near, ended, open_ones, claimed, ahead_s)
            if task and task.id not in found.values():
                found[one.id] = task.id
    return found


def _certain(
    lost: Submission, near: list[Task], ended: list[Task | None], open_ones: Mapping[int, Submission],
    claimed: Collection[str], ahead_s: float,
) -> Task | None:  # fmt: skip
    candidates = []
    for listed, task in zip(near, ended, strict=True):
        if listed.id in claimed or not _is_near(listed, lost, ahead_s):
            continue
        if task is None:  # the prompt is hidden, so this may be the task
            return None
        if _is_same_prompt(task.prompt, lost.request.prompt):
            candidates.append((listed, task))
    if len(candidates) != 1:
        return None
    listed, task = candidates[0]
    for other in open_ones.values():
        if (
            other.key != lost.key
            and _is_same_prompt(other.request.prompt, task.prompt)
            and _is_near(listed, other, ahead_s)
        ):
            return None
    return task


def _is_near(task: Task, lost: Submission, ahead_s: float) -> bool:
    """Return True if the submission may have created the task, judged by time; also True if that time is unknown."""
    if task.created_at_s is None:
        return True
    created_at_s = task.created_at_s - ahead_s
    return lost.intended_at_s - _SLACK_S <= created_at_s <= lost.intended_at_s + _UNDER_WAY_S + _SLACK_S


def _is_same_prompt(reported: str, prompt: str) -> bool:
    return reported.strip() == prompt.strip()


async def _ended(finished: Callable[[str], Awaitable[Task | None]], task: Task) -> Task | None:
    # FAILED and CANCELED tasks report no prompt and are not billed, so they match nothing.
    return task if task.status not in (*WAITING, "SUCCEEDED") else await finished(task.id)
