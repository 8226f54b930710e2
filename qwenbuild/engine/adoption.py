"""Adoption: the user decides that a task of the account is the one that a cell's lost answer was about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from qwenbuild.builder.lost_answers import LostAnswers
from qwenbuild.candidates import Candidate, Likeness
from qwenbuild.errors import UsageError
from qwenbuild.noop_answers import local_time
from qwenbuild.options import Options
from qwenbuild.problems import did_you_mean, listing
from qwenbuild.provider import ServiceTask, task_service
from qwenbuild.request import Submission
from qwenbuild.specs import selection

from .planning import make_plan

if TYPE_CHECKING:
    from qwenbuild.storage.submissions import Submissions

    from .engine import Engine

_MOST_LISTED = 5  # names in a message


def adopt(engine: Engine, task_id: str, cell: str) -> Submission:
    """Record that a task belongs to the UNKNOWN submission of a cell; return the submission with its handle.

    The task must be a candidate: of the cell's model, created in the submission's time, owned by no
    submission on record, and not finished with another prompt. Raises UsageError, ProviderError, LedgerError.
    """
    wanted = _submission_of(engine, cell)
    _check_open(wanted, cell)
    with engine.state(create=True) as state, engine.submissions(state) as submissions:
        submissions.prepare()
        lost = next((it for it in submissions.own() if it.key == wanted.key), wanted)
        _check_open(lost, cell)
        candidate = asyncio.run(_candidate(engine, submissions, lost, task_id, cell))
        adopted = submissions.adopt(lost, candidate.handle)
        if adopted is None:
            raise UsageError(
                f"{cell} is not unknown any more: another process has dealt with it meanwhile",
                hint="`qwenbuild plan` shows what a build would do",
                name="not-unknown",
            )
        if adopted.uid != lost.uid:
            _refuse_owned(task_id, adopted)
        return adopted


def _submission_of(engine: Engine, cell: str) -> Submission:
    """Return the open submission of a cell, which may be named as on the command line. Raises UsageError."""
    own = [it for it in engine.in_flight() if it.provider == engine.provider.name]
    if named := [it for it in own if it.cell == cell]:
        return named[0]
    unknown = [it.cell for it in own if it.cell and not it.handle]
    with engine.state() as state:
        chosen = selection.select(engine.declared(state)[0], Options(select=[cell]), engine.project)
        keys = {action.request_key for action in chosen}
        step = make_plan(engine, state, keys={action.key for action in chosen}).steps[0]
    if len(keys) > 1:
        raise UsageError(
            f'"{cell}" names {len(keys):,} cells with different requests',
            facts=[f"unknown: {listing(unknown, most=_MOST_LISTED) or 'none'}"],
            hint="name one cell, as `qwenbuild plan` shows it",
            name="too-many-cells",
        )
    if found := [it for it in own if it.key in keys]:
        return found[0]
    raise UsageError(
        f"{cell} has no lost answer: a build would find it {step.verdict.value.replace('_', ' ')}",
        facts=[f"reason:  {step.reason}", f"unknown: {listing(unknown, most=_MOST_LISTED) or 'none'}"],
        hint=did_you_mean(cell, unknown) or "only the task of a lost answer can be adopted",
        name="not-unknown",
    )


def _check_open(lost: Submission, cell: str) -> None:
    """Raise UsageError unless the submission lost its answer, at the present account."""
    if lost.handle:
        raise UsageError(
            f"{cell} is not unknown: it has its task already",
            facts=[f"task: {lost.handle.partition(':')[2]}"],
            hint="the next build collects it",
            name="not-unknown",
        )
    if lost.is_held:
        raise UsageError(
            f"{cell} is not unknown: a build works on it now", hint="wait for the end of that build", name="not-unknown"
        )
    if lost.elsewhere:
        raise UsageError(
            f"{cell} was sent with another account, whose tasks can't be seen with this one",
            facts=[f"it was sent to {lost.elsewhere}"],
            hint="set the key and the region that it was sent with",
            name="other-account",
        )


async def _candidate(engine: Engine, submissions: Submissions, lost: Submission, task_id: str, cell: str) -> Candidate:
    """Return the candidate with this id. Raises UsageError if the task can't be adopted, ProviderError."""
    service = task_service(engine.provider)
    assert service is not None, "`engine_with_tasks` comes first"
    async with engine.provider.session():
        answers = LostAnswers(engine.provider, submissions)
        (searched,) = await answers.searched([lost])
        search = searched.search
        if search is None:
            raise UsageError(
                f"no task can be adopted for {cell}: the service's list of tasks does not show requests like this one",
                hint="requests of the sync interface make no tasks; `qwenbuild build --resubmit` sends it again",
                name="no-candidates",
            )
        found = next((it for it in search.candidates if it.id == task_id), None)
        if found is None:
            listed = {task.id: task for task in await service.list_tasks()}
            known = [it.id for it in search.unexplained]
            _refuse(task_id, listed, known, lost, cell, answers.recent())
    if found.likeness is Likeness.DIFFERENT:
        raise UsageError(
            f"task {task_id} has another prompt than {cell}: its image is another one's",
            facts=[f"the task: {found.prompt}", f"the cell: {lost.request.prompt}"],
            hint="`qwenbuild tasks` lists the candidates of each cell",
            name="task-mismatch",
        )
    return found


def _refuse(
    task_id: str, listed: dict[str, ServiceTask], candidates: Sequence[str], lost: Submission, cell: str,
    recent: Sequence[Submission],
) -> NoReturn:  # fmt: skip
    """Raise UsageError: say why a task is no candidate of the submission."""
    task = listed.get(task_id)
    if task is None:
        raise UsageError(
            f"the account has no task {task_id}",
            facts=[f"candidates of {cell}: {listing(candidates, most=_MOST_LISTED) or 'none'}"],
            hint=did_you_mean(task_id, [*candidates, *listed]) or "`qwenbuild tasks` lists the account's tasks",
            name="unknown-task",
        )
    if owner := next((it for it in recent if it.handle == task.handle), None):
        _refuse_owned(task_id, owner)

    def clock(at_s: float | None) -> str:
        return "unknown" if at_s is None else local_time(at_s)

    raise UsageError(
        f"task {task_id} can't belong to {cell}",
        facts=[
            f"the task:  {task.status}, model {task.model or 'unknown'}, created {clock(task.created_at_s)}",
            f"the cell:  model {lost.request.model}, sent {clock(lost.intended_at_s)}",
            f"candidates: {listing(candidates, most=_MOST_LISTED) or 'none'}",
        ],
        hint="a candidate has the cell's model, did not fail, and was created within minutes after the cell was sent",
        name="task-mismatch",
    )


def _refuse_owned(task_id: str, owner: Submission) -> NoReturn:
    raise UsageError(
        f"task {task_id} belongs to another cell",
        facts=[f"cell:    {owner.cell or owner.request.prompt}", f"project: {owner.project or 'this one'}"],
        hint="`qwenbuild tasks` lists the candidates of each cell",
        name="task-mismatch",
    )
