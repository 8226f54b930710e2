"""The views of `plan` and `status`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.noop_answers import last_build, orphaned
from qwenbuild.problems import columns, visible

from .screen import hanging, padded, shortened, size, width, wrapped
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
    from qwenbuild.plan.plan import Orphan, Plan, Step
    from qwenbuild.plan.review import Change
    from qwenbuild.storage.records import Failure

_WIDEST_NAME = 80  # columns in a pipe; a longer name moves only its own reason
_SOON_S = 6 * 3600  # a result that expires sooner is shown in colour
_LINES = 25  # of a plan, unless the terminal has fewer or all is asked for
_FEWEST = 10  # of a plan: a lower terminal scrolls
_CHANGES = 20  # against another revision
_MOST = 4  # lines for what is given, and for the prices of models


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
        if step.price.is_about:
            table["price"]["about"] = True
    if step.submission:
        table |= submission_dict(step.submission)
    if step.failure:
        table["failure"] = step.failure.as_dict()
    return table


def show_changes(changes: Sequence[Change], base: str, *, every: bool) -> None:
    """Write how the outputs differ from the lock of the revision `base`; without `every` only the first ones."""
    wide = width(sys.stdout)
    for change in changes if every else changes[:_CHANGES]:
        write(hanging(label(change.kind), f"{visible(change.name)}  {visible(change.reason)}", wide))
    if not every and len(changes) > _CHANGES:
        click.echo(f"{'…':>10}  {len(changes) - _CHANGES:,} more; `qwenbuild plan --base {visible(base)} --all`")
    click.echo(f"{len(changes):,} outputs differ from {visible(base)}\n")


def show_plan(plan: Plan, *, every: bool, above: int = 0) -> None:
    """Write what a build would do and why, then the counts, the price and the shortest time.

    A plan that fits on a screen lists each cell that is not up to date, a larger one has an overview. `every` lists all
    cells, also those that are up to date. `above` is the number of lines that stand above the plan on the screen.
    """
    screen = size(sys.stdout)
    wide = screen[0] if screen else None
    room = _LINES if screen is None else max(min(_LINES, screen[1] - 2 - above), _FEWEST)
    end = list(_end(plan, wide))
    write(_listed(plan.steps, plan.orphans, wide) if every else _in_room(plan, room - len(end), wide))
    write(end)


def _in_room(plan: Plan, room: int, wide: int | None) -> list[str]:
    """Return the lines of what is not up to date: each cell if they fit into `room` lines, else an overview."""
    steps = [step for step in plan.steps if step.verdict != "up_to_date"]
    counted_orphans = list(_orphans(plan, wide))
    if len(steps) <= room:
        each = [*_listed(steps, plan.orphans, wide)] if len(plan.orphans) <= room else []
        for lines in (each, [*_listed(steps, (), wide), *counted_orphans]):
            if len(lines) <= room and (lines or not plan.orphans):
                return lines
    from .plan_overview import overview

    return [*overview(plan, room - len(counted_orphans), wide), *counted_orphans]


def _listed(steps: Sequence[Step], orphans: Sequence[Orphan], wide: int | None) -> Iterator[str]:
    """Yield the lines of each step and each orphan. Names and reasons stand in columns, as far as the width allows."""
    labels = {verdict: label(verdict) for verdict in {step.verdict for step in steps}}
    told: set[str] = set()
    rows: list[tuple[str, str, str, Sequence[str]]] = [
        (labels[step.verdict], visible(step.action.name), step.reason,
         (*(submission_lines(step.submission) if step.submission else ()), *failure_lines(step, told)))
        for step in steps
    ]  # fmt: skip
    for orphan in orphans:
        state = "a Git LFS pointer; " if orphan.is_pointer else "edited; " if orphan.edited else ""
        rows.append((label("orphan"), visible(orphan.path), f"{state}no spec declares it", ()))
    dim = partial(click.style, dim=True) if coloured(sys.stdout) else str
    widths = [columns(name) for _, name, *_ in rows]
    below = None if wide is None else max(wide - 12, 10)  # columns beside the verdict
    if below is None:
        widest = max((it for it in widths if it <= _WIDEST_NAME), default=0)
    else:
        longest = max((columns(visible(reason)) for *_, reason, _ in rows), default=0)
        widest = min(max(widths, default=0), below - 2 - min(longest, below // 2))
    for verdict, name, reason, notes in rows:
        name = shortened(name, None if below is None else widest)
        indent = " " * (14 + widest)
        first, *others = wrapped(visible(reason), None if below is None else below - 2 - widest)
        yield f"{verdict}  {padded(name, widest)}  {dim(first)}"
        for line in others:
            yield f"{indent}{dim(line)}"
        for note in notes:
            for line in wrapped(visible(note), below):
                yield f"{'':>10}  {dim(line)}"


def _orphans(plan: Plan, wide: int | None) -> Iterator[str]:
    """Yield the line that counts the orphans, if there are any."""
    if plan.orphans:
        count = len(plan.orphans)
        them = "them" if count > 1 else "it"
        what = f"{count:,} undeclared output{'s' * (count > 1)}; `qwenbuild clean --orphans` removes {them}"
        yield from hanging(label("orphan"), what, wide)


def _end(plan: Plan, wide: int | None) -> Iterator[str]:
    """Yield the last lines of a plan: what is in flight and what is given, then counts, price and time."""
    yield from _in_flight(plan, wide)
    given = given_lines(plan)
    if len(given) > _MOST:
        given = [*given[: _MOST - 1], ("…", f"{len(given) - _MOST + 1:,} more")]
    for word, value in given:
        yield from hanging(word, visible(value), wide)
    yield from wrapped(counted(plan.counts), wide)
    if plan.counts["unknown"]:
        what = "`qwenbuild tasks` asks the service; `qwenbuild build --resubmit` sends them again"
        yield from hanging("unknown", what, wide)
    bill = plan.bill
    for line in bill[:_MOST]:
        total = money({line.total.currency: line.total.amount})
        each = line.each.each
        yield from hanging("cost", f"{total}  ({line.model}: {line.renders:,} at {each})", wide)
    if len(bill) > _MOST:
        yield f"{'…':>10}  {len(bill) - _MOST:,} more models"
    if len(bill) > 1:
        yield from hanging("in all", money(plan.cost), wide)
    if plan.shortest_s >= 1:
        what = f"at least {duration(plan.shortest_s)}, because of the service's rate limits"
        yield from hanging("time", what, wide)


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


def _in_flight(plan: Plan, wide: int | None) -> Iterator[str]:
    """Yield how many results the service keeps for this project and for how long, and what no spec declares."""
    if waiting := plan.uncollected:
        count, first = len(waiting), waiting[0]
        what = f"{count:,} result{'s' * (count > 1)} at the service; {'the first' if count > 1 else 'it'} "
        now_s, expires_at_s = time.time(), first.expires_at_s or 0.0
        style = {"fg": "yellow", "bold": True} if expires_at_s - now_s < _SOON_S else {}
        word = styled(f"{'in flight':>10}", sys.stdout, **style)
        yield from hanging(word, f"{what}{expiry(expires_at_s, now_s)}: `qwenbuild build` collects what is there", wide)
    if plan.strays:
        what = "in flight that no spec declares any more; a build collects them into the store"
        yield from wrapped(f"{len(plan.strays):,} {what}", wide)


def show_status(plan: Plan, last_run: Mapping[str, Any] | None, *, as_json: bool) -> None:
    """Write each image's outputs by verdict, strays and orphans, and the result of the last build."""
    images: dict[str, Counter[str]] = {}
    for step in plan.steps:
        images.setdefault(step.action.declaration.name, Counter())[step.verdict.value] += 1
    if as_json:
        for name, counts in images.items():
            click.echo(json.dumps({"event": "image", "name": name, **counts}, ensure_ascii=False))
        for failure, cells in _failed(plan):
            table = {"event": "failure", "names": cells, **failure.as_dict()}
            click.echo(json.dumps(table, ensure_ascii=False))
        click.echo(json.dumps({**plan.summary, "event": "status", "last_run": last_run}))
        return
    wide = width(sys.stdout)
    names = max((columns(visible(name)) for name in images), default=0)
    names = names if wide is None else min(names, max(wide // 2, 10))
    for name, counts in images.items():
        parts = [
            styled(f"{count:,} {VERDICT_WORDS[verdict]}", sys.stdout, **OUTCOME_STYLES[verdict])
            for verdict in VERDICT_WORDS
            if (count := counts.get(verdict))
        ]
        click.echo(f"{padded(shortened(visible(name), names), names)}  {', '.join(parts)}")
    for word, value in given_lines(plan):
        write(hanging(word, visible(value), wide))
    for failure, cells in _failed(plan):
        write(hanging(label("failed"), f"{some_names(cells)}: {visible(failure.reason)}", wide))
    write(_in_flight(plan, wide))
    if plan.orphans:
        click.echo(orphaned(len(plan.orphans)))
    if last_run:
        from qwenbuild.events import in_words  # imported here to keep shell completion quick

        click.echo(last_build(last_run["started_at_s"], in_words(last_run["summary"])))
