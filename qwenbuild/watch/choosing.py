"""Choosing: the stars that the page sets, and the specs that it narrows to the cells to keep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from qwenbuild.digest import sha256
from qwenbuild.engine.engine import Engine
from qwenbuild.engine.keeping import Keeping
from qwenbuild.errors import UsageError
from qwenbuild.files.text import nfc
from qwenbuild.plan.plan import Plan, Step
from qwenbuild.plan.stars import image_of
from qwenbuild.problems import listing
from qwenbuild.storage import picks
from qwenbuild.storage.picks import Pick, Picks

_Stars = Mapping[str, Pick]


def star(engine: Engine, steps: Sequence[Step], plan: Plan) -> Picks:
    """Star cells with the images that the plan shows; return all stars. Raises what `picks.change` raises."""
    images = {nfc(step.action.name): image_of(step, plan) for step in steps}
    return _change(engine, lambda present: {**present, **{
        cell: present.get(cell, Pick(cell))._replace(image=image) for cell, image in images.items()}})  # fmt: skip


def unstar(engine: Engine, names: Collection[str]) -> Picks:
    """Take the stars of cells away; return all others. Raises what `picks.change` raises."""
    gone = {nfc(name) for name in names}
    return _change(engine, lambda present: {cell: pick for cell, pick in present.items() if cell not in gone})


def annotate(engine: Engine, names: Collection[str], note: str) -> Picks:
    """Write a note on starred cells; return all stars. Raises UsageError if a cell is not starred any more."""
    cells = [nfc(name) for name in names]

    def edit(present: _Stars) -> _Stars:
        if any(cell not in present for cell in cells):
            raise UsageError("this cell is not starred any more", name="changed-meanwhile")
        return {**present, **{cell: present[cell]._replace(note=note) for cell in cells}}

    return _change(engine, edit)


def keep(engine: Engine, names: Collection[str], shown: str) -> dict[str, Any]:
    """Return what keeping only these cells writes, for the page; write it if `shown` is the digest of just this.

    Raises what `Engine.keep` raises, and UsageError if the page has shown another text.
    """
    whole = engine.with_options(select=(), tags=(), where=(), exclude=(), picked=False)
    whole.read_cache = None  # the watch reads in another thread
    keeping = whole.keep(sorted(names))
    digest = sha256(keeping.diff.encode("utf-8", "surrogatepass"))
    if shown and shown != digest:
        raise UsageError(
            "a spec has changed meanwhile; nothing was written",
            hint="look at the new changes first",
            name="changed-meanwhile",
        )
    if shown:
        keeping.write()
    return {"diff": keeping.diff, "shown": digest, "said": [*_said(keeping)]}


def _said(keeping: Keeping) -> Iterator[str]:
    """Yield what happens to the other cells."""
    dropped, orphans = len(keeping.dropped), keeping.orphans
    if dropped:
        are = "1 cell is" if dropped == 1 else f"{dropped:,} cells are"
        their = "None has an image." if not orphans else f"Images of {orphans:,} stay in out/ and in the store."
        yield f"{are} left out. {their} Without the `only` tables they are back, and nothing is rendered again."
    if keeping.alone:
        yield f"Unchanged, because no cell of theirs is chosen: {listing(keeping.alone)}"


def _change(engine: Engine, edit: Callable[[_Stars], _Stars]) -> Picks:
    return picks.change(engine.picks_path, engine.project.state_dir, edit)
