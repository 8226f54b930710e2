"""The view of `tasks`: this project's submissions in flight, and the account's tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.builder.lost_answers import Answer, Fate
from qwenbuild.problems import visible

from .candidates_view import candidate_lines, search_dict, shortened
from .style import local_time

if TYPE_CHECKING:
    from qwenbuild.provider import ServiceTask
    from qwenbuild.request import Submission


_FATES = {
    Fate.ADOPTED: ("adopted", "the account is yours alone, and no other task fits: the next build collects it"),
    Fate.NOT_BILLED: ("not billed", "the service has no task for it: the next build renders it"),
}


def show(
    in_flight: Sequence[Submission], tasks: Sequence[ServiceTask], *, list_in_flight: bool, as_json: bool,
    answers: Sequence[Answer] = (),
) -> None:  # fmt: skip
    """Write the project's submissions if `list_in_flight`, then the account's tasks.

    Tasks that belong to `in_flight` are marked as this project's, whether or not submissions are listed.
    `answers` say what has become of lost answers; those with a new fate are written first.
    """
    own = {submission.handle for submission in in_flight if submission.handle}
    listed = in_flight if list_in_flight else ()
    settled = [answer for answer in answers if answer.fate in _FATES]
    if as_json:
        _show_json(settled, listed, tasks, own)
        return
    for answer in settled:
        word, meaning = _FATES[answer.fate]
        click.echo(f"{word:>10}  {visible(_name(answer.submission))}  {meaning}")
    for submission in listed:
        _show_submission(submission)
    for task in tasks:
        when = "" if task.created_at_s is None else local_time(task.created_at_s)
        mark = "  this project's" if task.handle in own else ""
        click.echo(f"{visible(task.status):>10}  {when:<25}  {visible(task.id)}  {visible(task.model)}{mark}")
    if not (settled or listed or tasks):
        click.echo("nothing is in flight")


def _show_submission(submission: Submission) -> None:
    state = "to collect" if submission.handle else "unknown"
    request, prompt = submission.request, shortened(submission.request.prompt)
    when = local_time(submission.intended_at_s)
    click.echo(f"{state:>10}  {when}  {request.size} seed {request.seed}  {visible(prompt)}")
    if submission.handle:
        return
    if submission.cell:
        click.echo(f"{'':>10}  {visible(submission.cell)}")
    if submission.elsewhere:
        click.echo(f"{'':>10}  it was sent to {visible(submission.elsewhere)}: only that account's list can show it")
    for line in candidate_lines(submission):
        click.echo(f"{'':>10}  {visible(line)}")


def _name(submission: Submission) -> str:
    return submission.cell or shortened(submission.request.prompt)


def _show_json(
    settled: Sequence[Answer], listed: Sequence[Submission], tasks: Sequence[ServiceTask], own: set[str]
) -> None:
    for answer in settled:
        it = answer.submission
        table: dict[str, Any] = {"event": answer.fate.value, "key": it.key, "cell": it.cell}
        click.echo(json.dumps(table, ensure_ascii=False))
    for it in listed:
        table = {"event": "in_flight", "key": it.key, "cell": it.cell, "handle": it.handle.partition(":")[0],
                 "intended_at_s": it.intended_at_s, "prompt": it.request.prompt, **search_dict(it)}  # fmt: skip
        click.echo(json.dumps(table, ensure_ascii=False))
    for task in tasks:
        table = {"event": "task", "id": task.id, "status": task.status, "model": task.model,
                 "created_at_s": task.created_at_s, "ours": task.handle in own}  # fmt: skip
        click.echo(json.dumps(table, ensure_ascii=False))
