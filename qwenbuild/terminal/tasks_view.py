"""The view of `tasks`: this project's submissions in flight, and the account's tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from qwenbuild.problems import visible

from .style import local_time

if TYPE_CHECKING:
    from qwenbuild.provider import ServiceTask
    from qwenbuild.request import Submission

_MOST_PROMPT = 50  # characters of a prompt in a list


def show(in_flight: Sequence[Submission], tasks: Sequence[ServiceTask], *, list_in_flight: bool, as_json: bool) -> None:
    """Write the project's submissions if `list_in_flight`, then the account's tasks.

    Tasks that belong to `in_flight` are marked as this project's, whether or not submissions are listed.
    """
    own = {submission.handle for submission in in_flight if submission.handle}
    listed = in_flight if list_in_flight else ()
    if as_json:
        _show_json(listed, tasks, own)
        return
    for submission in listed:
        state = "to collect" if submission.handle else "unknown"
        request, prompt = submission.request, _shortened(submission.request.prompt)
        when = local_time(submission.intended_at_s)
        click.echo(f"{state:>10}  {when}  {request.size} seed {request.seed}  {visible(prompt)}")
    for task in tasks:
        when = "" if task.created_at_s is None else local_time(task.created_at_s)
        mark = "  this project's" if task.handle in own else ""
        click.echo(f"{visible(task.status):>10}  {when:<25}  {visible(task.id)}  {visible(task.model)}{mark}")
    if not listed and not tasks:
        click.echo("nothing is in flight")


def _show_json(listed: Sequence[Submission], tasks: Sequence[ServiceTask], own: set[str]) -> None:
    for submission in listed:
        table = {"event": "in_flight", "key": submission.key, "handle": submission.handle.partition(":")[0],
                 "intended_at_s": submission.intended_at_s, "prompt": submission.request.prompt}  # fmt: skip
        click.echo(json.dumps(table, ensure_ascii=False))
    for task in tasks:
        table = {"event": "task", "id": task.id, "status": task.status, "model": task.model,
                 "created_at_s": task.created_at_s, "ours": task.handle in own}  # fmt: skip
        click.echo(json.dumps(table, ensure_ascii=False))


def _shortened(prompt: str) -> str:
    return prompt if len(prompt) <= _MOST_PROMPT else f"{prompt[:_MOST_PROMPT].rstrip()}…"
