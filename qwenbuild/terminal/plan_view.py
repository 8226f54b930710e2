"""The views of `plan` and `status`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.noop_answers import last_build, orphaned
from qwenbuild.problems import columns, visible

from .style import (
    OUTCOME_STYLES,
    VERDICT_WORDS,
    coloured,
    counted,
    duration,
    label,
    local_time,
    money,
    some_names,
    styled,
    without_ids,
    write,
)
from .submission_view import expiry, submission_dict, submission_lines

if TYPE_CHECKING:
    from qwenbuild.plan.plan import Plan, Step
    from qwenbuild.storage.records import Failure

_WIDEST_NAME = 80  # columns; a longer name moves only its own reason
_SOON_S = 6 * 3600  # a result that expires sooner is shown in colour
_LISTED = 1_000  # steps, and orphans: nobody reads more, and printing takes most of a large plan's time


def step_dict(step: Step) -> dict[str, Any]:
    """Return a step as `plan --json` prints it."""
    action = step.action
    table: dict[str, Any] = {
        "event": "step", "name": action.name, "path": action.output, "verdict": step.verdict.value,
        "reason": step.reason, "key": action.key, "cell": action.cell, "model": action.model.name,
    }  # fmt: skip
    if action.emulated:
        table["emulated_by"] = action.emulated_by
    if step.price:
        table["price"] = {"amount": str(step.price.amount), "currency": step.price.currency}
        if step.price.is_assumed:
            table["price"]["assumed"] = True
    if step.submission:
        table |= submission_dict(step.submission)
    if step.failure:
        table["failure"] = step.failure.as_dict()
    return table


def show_plan(plan: Plan, *, every: bool) -> None:
    """Write what a build would do and why, then the counts, the price and the shortest time.

    `every` also lists what is up to date, and all steps of a long plan.
    """
    labels = {verdict: label(verdict) for verdict in {step.verdict for step in plan.steps}}
    steps = [step for step in plan.steps if every or step.verdict != "up_to_date"]
    most = len(steps) if every else _LISTED
    told: set[str] = set()
    rows: list[tuple[str, str, str, Sequence[str]]] = [
        (labels[step.verdict], visible(step.action.name), step.reason,
         (*(submission_lines(step.submission) if step.submission else ()), *failure_lines(step, told)))
        for step in steps[:most]
    ]  # fmt: skip
    for orphan in plan.orphans if every else plan.orphans[:_LISTED]:
        state = "a Git LFS pointer; " if orphan.is_pointer else "edited; " if orphan.edited else ""
        why = f"{state}no spec declares it"
        rows.append((label("orphan"), visible(orphan.path), why, ()))
    dim = partial(click.style, dim=True) if coloured(sys.stdout) else str
    widths = [columns(name) for _, name, *_ in rows]
    widest = max((width for width in widths if width <= _WIDEST_NAME), default=0)
    write(
        "\n".join([
            f"{verdict}  {name}{' ' * (widest - width)}  {dim(visible(reason))}",
            *(f"{'':>10}  {dim(visible(line))}" for line in below),
        ])
        for (verdict, name, reason, below), width in zip(rows, widths, strict=True)
    )  # fmt: skip
    if unlisted := len(steps) + len(plan.orphans) - len(rows):
        click.echo(f"{'…':>10}  {unlisted:,} more; `plan --all` lists all")
    _show_in_flight(plan)
    for word, value in given_lines(plan):
        click.echo(f"{word:>10}  {visible(value)}")
    click.echo(counted(plan.counts))
    if plan.counts["unknown"]:
        click.echo(f"{'unknown':>10}  `qwenbuild tasks` asks the service; `build --resubmit` sends them again")
    bill = plan.bill
    for line in bill:
        total = money({line.total.currency: line.total.amount})
        each = f"{line.each.amount.normalize():f}{' assumed, for want of a price' * line.each.is_assumed}"
        click.echo(f"{'cost':>10}  {total}  ({line.model}: {line.renders:,} at {each})")
    if len(bill) > 1:
        click.echo(f"{'in all':>10}  {money(plan.cost)}")
    if plan.shortest_s >= 1:
        click.echo(f"{'time':>10}  at least {duration(plan.shortest_s)}, because of the service's rate limits")


def given_lines(plan: Plan) -> list[tuple[str, str]]:
    """Return (word, value) for what the command line gives: the profile, and each variable."""
    profile = plan.uses.given.profile
    return [*([("profile", profile)] if profile else []), *(("--var", text) for text in plan.uses.variables)]


def failure_lines(step: Step, told: set[str]) -> list[str]:
    """Return the lines below a step: when and why it failed last, or what to do if it is not sent again.

    What to do is said once: `told` holds what was said before.
    """
    failure = step.failure
    if failure is None or (step.entry and step.entry.other_size):  # the reason tells of the other size
        return []
    if step.verdict == "failed":  # its reason says why
        hints = {failure.hint} - {""} - told
        told |= hints
        return [*hints]
    return [f"last failed {local_time(failure.at_s)}: {failure.reason}"]


def _failed(plan: Plan) -> list[tuple[Failure, list[str]]]:
    """Return the last failures of a plan's steps, each with the names of the cells that failed like it."""
    groups: dict[object, tuple[Failure, list[str]]] = {}
    for step in plan.steps:
        if failure := step.failure:
            group = groups.setdefault((failure.claim, without_ids(failure.facts)), (failure, []))
            group[1].append(step.action.name)
    return list(groups.values())


def _show_in_flight(plan: Plan) -> None:
    """Write how many results the service keeps for this project and for how long, and what no spec declares."""
    if waiting := plan.uncollected:
        count, first = len(waiting), waiting[0]
        what = f"{count:,} result{'s' * (count > 1)} at the service; {'the first' if count > 1 else 'it'} "
        now_s, expires_at_s = time.time(), first.expires_at_s or 0.0
        style = {"fg": "yellow", "bold": True} if expires_at_s - now_s < _SOON_S else {}
        word = styled(f"{'in flight':>10}", sys.stdout, **style)
        click.echo(f"{word}  {what}{expiry(expires_at_s, now_s)}: `qwenbuild build` collects what is there")
    if plan.strays:
        what = "in flight that no spec declares any more; a build collects them into the store"
        click.echo(f"{len(plan.strays):,} {what}")


def show_status(plan: Plan, last_run: Mapping[str, Any] | None, *, as_json: bool) -> None:
    """Write each image's outputs by verdict, strays and orphans, and the result of the last build."""
    images: dict[str, Counter[str]] = {}
    for step in plan.steps:
        images.setdefault(step.action.declaration.name, Counter())[step.verdict.value] += 1
    if as_json:
        for name, counts in images.items():
            click.echo(json.dumps({"event": "image", "name": name, **counts}, ensure_ascii=False))
        for failure, names in _failed(plan):
            table = {"event": "failure", "names": names, **failure.as_dict()}
            click.echo(json.dumps(table, ensure_ascii=False))
        click.echo(json.dumps({**plan.summary, "event": "status", "last_run": last_run}))
        return
    width = max((len(name) for name in images), default=0)
    for name, counts in images.items():
        parts = [
            styled(f"{count:,} {VERDICT_WORDS[verdict]}", sys.stdout, **OUTCOME_STYLES[verdict])
            for verdict in VERDICT_WORDS
            if (count := counts.get(verdict))
        ]
        click.echo(f"{visible(name):<{width}}  {', '.join(parts)}")
    for word, value in given_lines(plan):
        click.echo(f"{word:>10}  {visible(value)}")
    for failure, names in _failed(plan):
        click.echo(f"{label('failed')}  {some_names(names)}: {visible(failure.reason)}")
    _show_in_flight(plan)
    if plan.orphans:
        click.echo(orphaned(len(plan.orphans)))
    if last_run:
        from qwenbuild.events import in_words  # imported here to keep shell completion quick

        click.echo(last_build(last_run["started_at_s"], in_words(last_run["summary"])))
