"""The tasks of a project's service: lists them, and cancels those that have not begun."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from qwenbuild.builder.lost_answers import RECENT_S, Answer, LostAnswers
from qwenbuild.errors import LedgerError, ProviderError, UsageError
from qwenbuild.provider import ServiceTask, TaskService, resumable, task_service
from qwenbuild.providers.registry import SERVICE
from qwenbuild.request import Submission

if TYPE_CHECKING:
    from .engine import Engine

_T = TypeVar("_T")


def engine_with_tasks(engine: Engine, region: str | None = None) -> Engine:
    """Return an engine of the same project whose provider has tasks.

    That is the engine's own provider if it has tasks, else the built-in one. `region` is the option
    of that name. Raises UsageError if the provider takes no region.
    """
    name = engine.provider.name if task_service(engine.provider) else SERVICE
    return engine.with_options(provider=name, region=region)


def check_detach(engine: Engine) -> None:
    """Raise UsageError if a build can't leave its images with a service, because no provider of it has one."""
    if not any(map(resumable, engine.routes.used.values())):
        raise UsageError(
            f'--detach leaves images with a service, and the provider "{engine.provider.name}" has none',
            hint=f"--provider {SERVICE} --interface async has one",
            name="option-not-taken",
        )


def account_tasks(engine: Engine, status: str = "") -> Sequence[ServiceTask]:
    """Return the account's recent tasks; if `status` is given, only the tasks in that status.

    Raises UsageError if the provider has no tasks, ProviderError.
    """
    return asyncio.run(_ask(engine, lambda service: service.list_tasks(status=status)))


def sent(engine: Engine) -> Mapping[str, Submission]:
    """Return the submissions of the last two days by handle, of all projects, also those that are collected.

    Asks nobody. If the ledger can't be read, returns none.
    """
    with suppress(LedgerError), engine.state() as state, engine.submissions(state) as submissions:
        return {it.handle: it for it in submissions.since(time.time() - RECENT_S) if it.handle}
    return {}


def lost_answers(engine: Engine) -> Sequence[Answer]:
    """Ask the service about the project's submissions with lost answers; settle and adopt what is certain.

    Returns the fate of each; see `LostAnswers.resolve`. Raises ProviderError if it stops the run, LedgerError.
    """
    name = engine.provider.name

    def lost(submissions: Sequence[Submission]) -> list[Submission]:
        return [it for it in submissions if it.provider == name and not (it.handle or it.is_held)]

    if not lost(engine.in_flight()):
        return ()

    async def ask() -> Sequence[Answer]:
        async with engine.provider.session():
            return await LostAnswers(engine.provider, submissions).resolve(lost(submissions.own()), can_wait=False)

    with engine.state(create=True) as state, engine.submissions(state) as submissions:
        submissions.prepare()
        return asyncio.run(ask())


def cancel_tasks(engine: Engine, task_ids: Sequence[str]) -> dict[str, ProviderError | None]:
    """Cancel tasks that have not begun. Return the error, or None for success, of each task that was tried.

    The project's own submissions among them are settled as not billed: the next build sends them again.
    Stops after an error that stops the run. Raises UsageError, AccountError.
    """
    in_flight = {submission.handle: submission for submission in engine.in_flight()}

    async def cancel(service: TaskService) -> dict[str, ProviderError | None]:
        results: dict[str, ProviderError | None] = {}
        for task_id in dict.fromkeys(task_ids):
            try:
                handle = await service.cancel_task(task_id)
            except ProviderError as error:
                results[task_id] = error
                if error.stops_run:
                    break
                continue
            results[task_id] = None
            if submission := in_flight.get(handle):
                with engine.state(create=True) as state, engine.submissions(state) as submissions:
                    submissions.prepare()
                    submissions.settle(submission, "refused")
        return results

    return asyncio.run(_ask(engine, cancel))


async def _ask(engine: Engine, question: Callable[[TaskService], Awaitable[_T]]) -> _T:
    service = task_service(engine.provider)
    if service is None:
        raise UsageError(
            f'the provider "{engine.provider.name}" has no tasks',
            hint=f"--provider {SERVICE} has tasks",
            name="option-not-taken",
        )
    async with engine.provider.session():
        return await question(service)
