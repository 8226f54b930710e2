"""Reconciliation: which tasks of the account a submission with a lost answer may have made.

A task is a candidate if all of these hold:
- It is of the submission's model, and was created in the submission's time.
- No submission on record owns it.
- It has not failed and was not cancelled: such a task is not billed.

A list of tasks shows no prompt, size or seed, and a finished task shows only its prompt.

Source: Model Studio "Asynchronous task management API" of 2026-03-15.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from qwenbuild.candidates import Candidate, Likeness, Search, likeness
from qwenbuild.errors import AnswerLost
from qwenbuild.files import png
from qwenbuild.provider import Rendered
from qwenbuild.request import Request, Submission

from .wire import LIFE_S, WAITING, Task

PREFIX: Final = "task:"  # of the handles of tasks
SETTLED_S: Final = 600.0  # a list that is read so long after the loss shows each task that the service accepted
_SLACK_S: Final = 60.0  # the service's machines have clocks of their own; the Date header is of only one of them
_UNDER_WAY_S: Final = 120.0  # longest time from the intent until a create reaches the service
_BESIDE_S: Final = 3600.0  # the list must show the tasks on record that are as near to a lost submission as this
_MOST_QUERIES: Final = 200  # at 20 a second; the prompts of further tasks stay hidden
_AT_ONCE: Final = 5
_OTHERS: Final = "`qwenbuild tasks` lists the other candidates; `--resubmit` sends the request again"
_UNBILLED: Final = ("FAILED", "CANCELED")
_PLACE: Final = ("account", "region", "host")  # of a submission's context
_SNAPSHOT: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")  # the end of the name of a model's dated version


@dataclass(frozen=True, slots=True)
class Listing:
    """The account's tasks of the last 24 hours.

    Reading began at `read_at_s`, in seconds since the epoch by this machine's clock. `ahead_s` is how far the
    service's clock is ahead, None if unknown. `is_whole`: no task is missing.
    """

    tasks: Sequence[Task]
    read_at_s: float
    ahead_s: float | None
    is_whole: bool


class Account(Protocol):
    """The queries that a search needs; `Tasks` answers them."""

    async def listed(self) -> Listing:
        """Return the account's tasks. Raises ProviderError if none can be listed."""

    async def shown(self, task_id: str, patience_s: float) -> Task | None:
        """Return a task, which has ended unless this takes longer than `patience_s`; None if it can't be queried."""


async def search(
    account: Account,
    lost: Sequence[Submission],
    others: Callable[[], Sequence[Submission]],
    *,
    lost_within_s: float,
    patience_s: float = 0.0,
) -> dict[int, Search]:
    """Return what the account's list says about each submission of `lost`, by `Submission.id`.

    All of them belong to the account. `others` returns the submissions on record that may have been billed, with
    those of `lost`; it is called after the list was read, so that it knows the owner of each listed task.
    `lost_within_s` is the longest time from an intent until its answer counts as lost. Tasks that have not finished
    are waited for until `patience_s`. Raises ProviderError.
    """
    listing = await account.listed()
    known = await asyncio.to_thread(others)
    owned = {it.handle.removeprefix(PREFIX) for it in known if it.handle.startswith(PREFIX)}
    free = [task for task in listing.tasks if task.id not in owned and task.status not in _UNBILLED]
    near = {it.id: [task for task in free if _may_have_made(it, task, listing.ahead_s)] for it in lost}
    shown = await _shown(account, {task.id: task for tasks in near.values() for task in tasks}, patience_s)
    found = {}
    for it in lost:
        rivals = [one for one in known if _is_rival(one, it)]
        candidates = [
            _candidate(shown.get(task.id, task), task, it, rivals, listing.ahead_s)
            for task in near[it.id]
            if (now := shown.get(task.id)) is None or not _is_unbilled(now)
        ]
        found[it.id] = Search(
            listing.read_at_s, it.intended_at_s + lost_within_s + SETTLED_S,
            _is_whole(listing, it, known), tuple(candidates),
        )  # fmt: skip
    return found


def _is_unbilled(task: Task) -> bool:
    """Return whether a task that was queried certainly costs nothing: it failed, or its only result did."""
    return task.status in _UNBILLED or bool(task.code and not task.url)


def _may_have_made(it: Submission, task: Task, ahead_s: float | None) -> bool:
    """Return whether the submission may have made the task, by model and time; also True if these are unknown."""
    if not _is_of_model(task, it) or task.created_at_s is None:
        return _is_of_model(task, it)
    created_at_s = task.created_at_s - (ahead_s or 0.0)
    return it.intended_at_s - _SLACK_S <= created_at_s <= it.intended_at_s + _UNDER_WAY_S + _SLACK_S


def _is_of_model(task: Task, it: Submission) -> bool:
    """Return whether a task is of the submission's model, or of its dated version; also True if that is unknown."""
    return not task.model or _SNAPSHOT.sub("", task.model) == _SNAPSHOT.sub("", it.request.model)


def _is_rival(one: Submission, it: Submission) -> bool:
    """Return whether another submission lost its answer, too, at the same account."""
    is_beside = all(one.context.get(name) == it.context.get(name) for name in (*_PLACE, "interface"))
    return is_beside and not one.handle and one.key != it.key


def _candidate(
    now: Task, listed: Task, it: Submission, rivals: Sequence[Submission], ahead_s: float | None
) -> Candidate:
    """Return a listed task as a candidate; `now` is the task as a later query showed it."""
    created_at_s = None if listed.created_at_s is None else listed.created_at_s - (ahead_s or 0.0)
    possible = [one for one in rivals if _may_have_made(one, listed, ahead_s)]
    return Candidate(
        PREFIX + listed.id, listed.id, now.status or listed.status, created_at_s, now.prompt,
        likeness(now.prompt, it.request.prompt),
        sum(likeness(now.prompt, one.request.prompt) is not Likeness.DIFFERENT for one in possible),
    )  # fmt: skip


async def _shown(account: Account, tasks: Mapping[str, Task], patience_s: float) -> dict[str, Task]:
    """Return the tasks that could be queried. Those that have not finished are queried only if there is patience."""
    wanted = [task.id for task in tasks.values() if patience_s or task.status not in WAITING]
    slots = asyncio.Semaphore(_AT_ONCE)

    async def show(task_id: str) -> Task | None:
        async with slots:
            return await account.shown(task_id, patience_s)

    answers = await asyncio.gather(*(show(task_id) for task_id in wanted[:_MOST_QUERIES]))
    return {task.id: task for task in answers if task is not None}


def _is_whole(listing: Listing, it: Submission, known: Sequence[Submission]) -> bool:
    """Return whether the list has every task that the submission can have made, with its model's name.

    A list that lacks a task on record from about the same time, or shows it under another model, is not whole,
    whatever the service says of it.
    """
    age_s = listing.read_at_s - it.intended_at_s
    if not listing.is_whole or listing.ahead_s is None or not 0 <= age_s <= LIFE_S - SETTLED_S:
        return False
    listed = {task.id: task for task in listing.tasks}
    beside = [
        one
        for one in known
        if one.handle.startswith(PREFIX)
        and abs(one.intended_at_s - it.intended_at_s) <= _BESIDE_S
        and listing.read_at_s - one.intended_at_s <= LIFE_S - SETTLED_S
        and all(one.context.get(name) == it.context.get(name) for name in _PLACE)
    ]
    tasks = [listed.get(one.handle.removeprefix(PREFIX)) for one in beside]
    return all(task and _is_of_model(task, one) for one, task in zip(beside, tasks, strict=True))


def check_adopted(task: Task, request: Request) -> None:
    """Raise AnswerLost if an adopted task that has ended is not the request's own, or has no image.

    If it failed, this says nothing about the bill: another task may be the request's own.
    """
    if not task.url:
        raise AnswerLost(
            f"the adopted task is {task.status}", facts=[f"task: {task.id}"], hint=_OTHERS, name="task-mismatch"
        )
    if likeness(task.prompt, request.prompt) is Likeness.DIFFERENT:
        raise AnswerLost(
            "the adopted task has another prompt: it is another one's",
            facts=[f"task: {task.id}", f"its prompt: {task.prompt}", f"wanted: {request.prompt}"],
            hint=_OTHERS,
            name="task-mismatch",
        )


def check_size(rendered: Rendered, task: Task, request: Request) -> None:
    """Raise AnswerLost if the image of an adopted task has another size than the request's."""
    if (got := png.size_of(rendered.png)) != request.size:
        raise AnswerLost(
            "the adopted task's image has another size: it is another one's",
            facts=[f"task: {task.id}", f"wanted: {request.size}", f"got: {got}"],
            hint=_OTHERS,
            name="task-mismatch",
        )
