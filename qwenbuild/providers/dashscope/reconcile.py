"""Which of the account's tasks was made of a submission whose answer was lost.

Invariants: a match is certain or it is none. It is certain when one task, and no other, that nobody
has claimed, was created while the submission was under way and reports its prompt once finished;
and when no open submission of another request could have made that task. A listing names no prompt, size or seed,
and a task's result names the prompt alone: two lost submissions of one prompt can't be told apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, Protocol

from qwenbuild.request import Submission

from .wire import WAITING, Task

_SLACK_S: Final = 5.0  # clocks are compared through a header that counts whole seconds
_UNDER_WAY_S: Final = 120.0  # from the intent, how long a create can take to reach the service


class Account(Protocol):
    """What is asked of the service."""

    async def listed(self, model: str) -> tuple[Iterable[Task], float] | None:
        """Return the model's tasks of 24 hours, and by how many seconds the service's clock is ahead; None if not all."""  # noqa: E501

    async def finished(self, task_id: str) -> Task | None:
        """Wait for a task to end and return it; None where it takes too long or can't be asked for."""


async def match(
    account: Account,
    wanted: Collection[Submission],
    rivals: Callable[[], Iterable[Submission]],
    claimed: Collection[str],
) -> dict[int, str]:
    """Return task ids by `Submission.id` for those of `wanted` that match for certain.

    `rivals` gives every open submission that may have made a task, when matches are decided;
    `claimed` are the ids of tasks known to be others', and may grow meanwhile. Raises ProviderError.
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
        if task is None:  # it may be the one, and won't tell
            return None
        if _same(task.prompt, lost.request.prompt):
            candidates.append((listed, task))
    if len(candidates) != 1:
        return None
    listed, task = candidates[0]
    for other in open_ones.values():
        if other.key != lost.key and _same(other.request.prompt, task.prompt) and _is_near(listed, other, ahead_s):
            return None
    return task


def _is_near(task: Task, lost: Submission, ahead_s: float) -> bool:
    """Return whether the task was created while the submission was under way; one without a time may have been."""
    if task.created_at_s is None:
        return True
    created_at_s = task.created_at_s - ahead_s
    return lost.intended_at_s - _SLACK_S <= created_at_s <= lost.intended_at_s + _UNDER_WAY_S + _SLACK_S


def _same(reported: str, prompt: str) -> bool:
    return reported.strip() == prompt.strip()


async def _ended(finished: Callable[[str], Awaitable[Task | None]], task: Task) -> Task | None:
    # FAILED and CANCELED tasks report no prompt and are not billed: as listed they match nothing.
    return task if task.status not in (*WAITING, "SUCCEEDED") else await finished(task.id)
