"""The view of `tasks`: this project's submissions in flight, and the account's tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.builder.lost_answers import Answer, Fate
from qwenbuild.problems import visible

from .style import local_time
from .submission_view import lifetime, shortened, submission_dict, submission_lines

if TYPE_CHECKING:
    from qwenbuild.provider import ServiceTask
    from qwenbuild.request import Submission


_FATES = {
    Fate.ADOPTED: ("adopted", "the account is yours alone, and no other task fits: the next build collects it"),
    Fate.NOT_BILLED: ("not billed", "the service has no task for it: the next build renders it"),
}


def show(
    in_flight: Sequence[Submission], tasks: Sequence[ServiceTask], *, list_in_flight: bool, as_json: bool,
    answers: Sequence[Answer] = (), sent: Mapping[str, Submission] | None = None,
) -> None:  # fmt: skip
    """Write the project's submissions if `list_in_flight`, then the account's other tasks.

    A task has a line: its state, id, cell (or model, if qwenbuild has not sent it), age, and when its result expires.
    `sent` are submissions of all projects by handle, also those that are not in flight any more. `answers` say what has
    become of lost answers; those with a new fate are written first.
    """
    own = {submission.handle: submission for submission in in_flight if submission.handle}
    known = {**(sent or {}), **own}
    states = {task.handle: task.status for task in tasks}
    listed = in_flight if list_in_flight else ()
    settled = [answer for answer in answers if answer.fate in _FATES]
    if as_json:
        _show_json(settled, listed, tasks, known)
        return
    for answer in settled:
        word, meaning = _FATES[answer.fate]
        click.echo(f"{word:>10}  {visible(_name(answer.submission))}  {meaning}")
    for submission in listed:
        if submission.handle:
            _show_task(submission, states.get(submission.handle, "to collect"))
        else:
            _show_lost(submission)
    for task in tasks:
        if mine := own.get(task.handle):
            if not list_in_flight:
                _show_task(mine, task.status)
            continue
        when = "" if task.created_at_s is None else lifetime(task.created_at_s, task.expires_at_s)
        click.echo(f"{visible(task.status):>10}  {visible(task.id)}  {visible(_origin(task, known))}  {when}")
    if not (settled or listed or tasks):
        click.echo("nothing is in flight")


def _show_task(submission: Submission, state: str) -> None:
    when = lifetime(submission.intended_at_s, submission.expires_at_s)
    name = submission.task_id or "a result without a task"
    click.echo(f"{visible(state):>10}  {visible(name)}  {visible(_name(submission))}  {when}")


def _origin(task: ServiceTask, known: Mapping[str, Submission]) -> str:
    """Return where a task that is not in flight here comes from."""
    if (found := known.get(task.handle)) is None:
        return f"{task.model}  not sent by qwenbuild here"
    return f"{_name(found)}  {f'of {found.project}' if found.project else 'collected'}"


def _show_lost(submission: Submission) -> None:
    request, prompt = submission.request, shortened(submission.request.prompt)
    when = local_time(submission.intended_at_s)
    click.echo(f"{'unknown':>10}  {when}  {request.size} seed {request.seed}  {visible(prompt)}")
    if submission.cell:
        click.echo(f"{'':>10}  {visible(submission.cell)}")
    if submission.elsewhere:
        click.echo(f"{'':>10}  it was sent to {visible(submission.elsewhere)}: only that account's list can show it")
    for line in submission_lines(submission):
        click.echo(f"{'':>10}  {visible(line)}")


def _name(submission: Submission) -> str:
    return submission.cell or shortened(submission.request.prompt)


def _show_json(
    settled: Sequence[Answer], listed: Sequence[Submission], tasks: Sequence[ServiceTask],
    known: Mapping[str, Submission],
) -> None:  # fmt: skip
    for answer in settled:
        it = answer.submission
        table: dict[str, Any] = {"event": answer.fate.value, "key": it.key, "cell": it.cell}
        click.echo(json.dumps(table, ensure_ascii=False))
    for it in listed:
        table = {"event": "in_flight", "key": it.key, "cell": it.cell, "handle": it.handle.partition(":")[0],
                 "intended_at_s": it.intended_at_s, "prompt": it.request.prompt, **submission_dict(it)}  # fmt: skip
        click.echo(json.dumps(table, ensure_ascii=False))
    for task in tasks:
        mine = known.get(task.handle)
        table = {"event": "task", "id": task.id, "status": task.status, "model": task.model,
                 "created_at_s": task.created_at_s, "expires_at_s": task.expires_at_s,
                 "ours": mine is not None and not mine.project, "cell": mine.cell if mine else ""}  # fmt: skip
        click.echo(json.dumps(table, ensure_ascii=False))
