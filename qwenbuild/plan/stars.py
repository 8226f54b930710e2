"""Stars: the starred cells of a plan, and whether each still has the image that was starred."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from qwenbuild.files.text import nfc
from qwenbuild.problems import Problem, listing
from qwenbuild.specs.action import Action
from qwenbuild.storage.picks import Pick, Picks

from .plan import Plan, Step

_MOST_NAMES = 5


class Since(StrEnum):
    """What has become of a starred cell since it was starred."""

    SAME = "same"
    CHANGED = "changed since the star"
    NOT_RENDERED = "not rendered"
    NO_CELL = "no such cell"


class Starred(NamedTuple):
    """A star, the digest of the image that its cell has now (empty for none), and what has become of it."""

    pick: Pick
    image: str
    since: Since

    def as_dict(self) -> dict[str, Any]:
        """Return the star as `pick --json` prints it."""
        return {"event": "pick", **self.pick._asdict(), "image_now": self.image, "state": self.since.value}


def image_of(step: Step, plan: Plan) -> str:
    """Return the digest of the image that a cell has: the one in `out/`, else the one in the store; empty for none."""
    path, seen = step.action.output, step.seen is not None
    if step.adopted:
        return step.adopted
    if seen and (record := plan.records.get(path)):
        return record.image
    if step.pinned:
        return step.pinned
    if step.entry:
        return step.entry.image
    pin = plan.lock.every.get(path) if seen else None
    return pin.image if pin else ""


def of_plan(plan: Plan, picks: Picks) -> list[Starred]:
    """Return the stars, the best rank first. Cells that the plan has no step for count as unknown."""
    images = {step.action.output: image_of(step, plan) for step in plan.steps}
    cells = {nfc(action.name): images.get(action.output) for action in starred([it.action for it in plan.steps], picks)}
    found = [_starred(pick, cells.get(pick.cell)) for pick in picks]
    return sorted(found, key=lambda it: (it.pick.rank is None, it.pick.rank or 0, it.pick.cell))


def _starred(pick: Pick, image: str | None) -> Starred:
    if image is None:
        return Starred(pick, "", Since.NO_CELL)
    if not image:
        return Starred(pick, "", Since.NOT_RENDERED)
    return Starred(pick, image, Since.CHANGED if pick.image not in ("", image) else Since.SAME)


def starred(actions: Iterable[Action], picks: Picks) -> list[Action]:
    """Return the actions whose cells are starred, in their order."""
    images = {pick.cell.partition("[")[0] for pick in picks}
    names: dict[int, bool] = {}  # by declaration: making the name of each cell takes longer than all else
    found = []
    for action in actions:
        of = action.declaration
        if (is_near := names.get(id(of))) is None:
            is_near = names[id(of)] = nfc(of.name) in images
        if is_near and nfc(action.name) in picks:
            found.append(action)
    return found


def changed(plan: Plan, picks: Picks) -> list[Problem]:
    """Return one line of advice about the cells whose image is not the one that was starred; none if there are none."""
    cells = [it.pick.cell for it in of_plan(plan, picks) if it.since is Since.CHANGED]
    if not cells:
        return []
    claim = f"1 starred image has changed since it was starred: {cells[0]}"
    if len(cells) > 1:
        named = listing(cells, most=_MOST_NAMES)
        claim = f"{len(cells):,} starred images have changed since they were starred: {named}"
    return [
        Problem(
            claim,
            hint="`qwenbuild pick CELL` stars the new image; `qwenbuild pick` lists all stars",
            name="star-changed",
        )
    ]


def unknown(actions: Iterable[Action], picks: Picks) -> list[Problem]:
    """Return a warning about the starred cells that are none of the project's `actions`; none if there are none."""
    declared = {nfc(action.name) for action in starred(actions, picks)}
    cells = [pick.cell for pick in picks if pick.cell not in declared]
    if not cells:
        return []
    claim = f"{len(cells):,} starred cell{'s are' if len(cells) > 1 else ' is'} declared by no spec"
    return [
        Problem(
            f"{claim}: {listing(cells, most=_MOST_NAMES)}",
            hint="`qwenbuild pick --drop CELL` removes a star",
            name="unknown-star",
        )
    ]
