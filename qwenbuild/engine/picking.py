"""Picking: stars cells in `picks.toml`, takes stars away, and selects the starred cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.files.text import nfc
from qwenbuild.plan import stars
from qwenbuild.plan.plan import Plan
from qwenbuild.plan.stars import Starred
from qwenbuild.problems import Problem, did_you_mean
from qwenbuild.specs import selection
from qwenbuild.specs.action import Action
from qwenbuild.storage import picks
from qwenbuild.storage.picks import Pick, Picks

if TYPE_CHECKING:
    from .engine import Engine


class Picked(NamedTuple):
    """What one call of `pick` has done: the cells that it starred, those that it dropped, and all stars now."""

    starred: Sequence[str]
    dropped: Sequence[str]
    picks: Picks


def pick(
    engine: Engine, cells: Sequence[str], note: str | None = None, rank: int | None = None, *, drop: bool = False
) -> Picked:
    """Star cells with the image that each has now, or with `drop` take their stars away; write `picks.toml`.

    `cells` takes every form of SELECT; the options' selection counts, too. A `note` or `rank` of None stays as it was;
    "" and 0 remove it. Raises UsageError for what names no cell, ProjectError if the file has a mistake.
    """
    known = engine.picks()
    if drop:
        return _drop(engine, cells, known)
    plan = _plan(engine.with_options(select=[*engine.options.select, *cells]))
    images = {nfc(step.action.name): stars.image_of(step, plan) for step in plan.steps}

    def edit(present: Mapping[str, Pick]) -> Mapping[str, Pick]:
        new = dict(present)
        for cell, image in images.items():
            old = present.get(cell, Pick(cell))
            new_rank = old.rank if rank is None else rank or None
            new[cell] = Pick(cell, image, new_rank, old.note if note is None else note)
        return new

    return Picked([*images], [], picks.change(engine.picks_path, engine.project.state_dir, edit))


def _drop(engine: Engine, cells: Sequence[str], known: Picks) -> Picked:
    """Take stars away. The name of a starred cell needs no spec that declares the cell."""
    is_exact = not engine.options.is_selecting
    doomed = {nfc(name) for name in cells if is_exact and nfc(name) in known}
    others = [name for name in cells if nfc(name) not in doomed]
    chosen = engine.with_options(select=[*engine.options.select, *others])
    if chosen.options.is_selecting:
        try:
            doomed |= {nfc(it.name) for it in stars.starred(chosen.selected(chosen.actions()), known)}
        except UsageError as error:
            near = did_you_mean(others[0], known.by_cell) if others else None
            raise UsageError(error.claim, facts=error.facts, hint=near or error.hint, name=error.name) from None
    dropped = [cell for cell in known.by_cell if cell in doomed]
    if not dropped:
        raise UsageError("none of these cells is starred", hint="`qwenbuild pick` lists the stars", name="not-starred")
    left = picks.change(
        engine.picks_path, engine.project.state_dir,
        lambda present: {cell: it for cell, it in present.items() if cell not in doomed},
    )  # fmt: skip
    return Picked([], dropped, left)


def listed(engine: Engine) -> list[Starred]:
    """Return each star, the best rank first, with what has become of its cell."""
    known = engine.picks()
    return stars.of_plan(_plan(engine), known) if known else []


def _plan(engine: Engine) -> Plan:
    """Return the plan without asking the remote cache, which has no say in what a cell's image is."""
    local = engine.with_options()
    local.remote = None
    return local.plan()


def selected(engine: Engine, actions: Sequence[Action]) -> list[Action]:
    """Return the actions that the options choose: see `selection.select`. With `picked`, only starred cells."""
    chosen = selection.select(actions, engine.effective, engine.project)
    if not engine.options.picked:
        return chosen
    known = engine.picks()
    if not known:
        raise UsageError("no cell is starred", hint="`qwenbuild pick CELL` stars one", name="not-starred")
    found = stars.starred(chosen, known)
    if not found:
        which = "selected" if len(chosen) < len(actions) else "declared by a spec"
        raise UsageError(
            f"none of the {len(known):,} starred cells is {which}",
            hint="`qwenbuild pick` lists the stars",
            name="not-starred",
        )
    return found


def advice(engine: Engine, plan: Plan) -> list[Problem]:
    """Return what `plan` says about stars. A faulty file is an error only with the option `picked`."""
    try:
        known = engine.picks()
    except ProjectError as error:
        return [*error.problems]
    if not known:
        return []
    return [*stars.changed(plan, known), *(stars.unknown(plan.actions, known) if engine.options.picked else ())]
