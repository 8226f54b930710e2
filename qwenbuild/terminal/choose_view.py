"""The views of `pick` and `keep`: the stars, and what `keep` writes into the specs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.problems import columns, listing, visible

from .style import label, styled, warnings, write

if TYPE_CHECKING:
    from qwenbuild.engine.keeping import Keeping
    from qwenbuild.engine.picking import Picked
    from qwenbuild.plan.stars import Starred

_LISTED = 10  # cells that one call has starred or dropped
_STATES: dict[str, dict[str, Any]] = {
    "same": {"dim": True},
    "changed since the star": {"fg": "yellow"},
    "not rendered": {"fg": "cyan"},
    "no such cell": {"fg": "red"},
}
_DIFF: dict[str, dict[str, Any]] = {"+": {"fg": "green"}, "-": {"fg": "red"}, "@": {"fg": "cyan"}}


def show_stars(stars: Sequence[Starred], *, as_json: bool) -> None:
    """Write each star: its rank, its cell, what has become of it, and its note."""
    if as_json:
        write(json.dumps(star.as_dict(), ensure_ascii=False) for star in stars)
        return
    if not stars:
        click.echo("no cell is starred; `qwenbuild pick CELL` stars one")
        return
    names = [visible(star.pick.cell) for star in stars]
    widest = max(map(columns, names))
    states = max(len(star.since) for star in stars)
    for star, name in zip(stars, names, strict=True):
        state = styled(f"{star.since:<{states}}", sys.stdout, **_STATES[star.since])
        line = f"{star.pick.rank or '':>4}  {name}{' ' * (widest - columns(name))}  {state}  {visible(star.pick.note)}"
        click.echo(line.rstrip())
    counts = Counter(star.since for star in stars)
    click.echo(", ".join(f"{count:,} {state}" for state, count in counts.items()))


def show_picked(picked: Picked, *, as_json: bool) -> None:
    """Write which cells were starred, or lost their stars, and how many stars there are."""
    word, cells = ("dropped", picked.dropped) if picked.dropped else ("starred", picked.starred)
    if as_json:
        stars = picked.picks.by_cell
        tables = ({"event": word, **(stars[cell]._asdict() if cell in stars else {"cell": cell})} for cell in cells)
        write(json.dumps(table, ensure_ascii=False) for table in tables)
        return
    for cell in cells[:_LISTED]:
        click.echo(f"{label(word)}  {visible(cell)}")
    if len(cells) > _LISTED:
        click.echo(f"{'…':>10}  {len(cells) - _LISTED:,} more")
    count = len(picked.picks)
    click.echo(f"{count:,} starred cell{'s' * (count != 1)} in picks.toml" if count else "no cell is starred any more")


def show_keeping(keeping: Keeping) -> None:
    """Write what `keep` would write, and what becomes of the other images."""
    warnings(keeping.warnings)
    for line in keeping.diff.splitlines():
        click.echo(styled(visible(line, keep="\t"), sys.stdout, **_DIFF.get(line[:1], {})))
    for line in _facts(keeping):
        click.echo(line)


def _facts(keeping: Keeping) -> Iterator[str]:
    kept, dropped = (Counter(name.partition("[")[0] for name in names) for names in (keeping.kept, keeping.dropped))
    for image, count in kept.items():
        every = count + dropped[image]
        what = f"{count:,} of {every:,} cells" if count < every else "all its cells, so nothing changes"
        yield f"{'keeps':>10}  {visible(image)}: {what}"
    if keeping.alone:
        yield f"{'unchanged':>10}  none of their cells is chosen: {visible(listing(keeping.alone))}"
    if not keeping.orphans:
        return
    orphans = "1 image becomes an orphan" if keeping.orphans == 1 else f"{keeping.orphans:,} images become orphans"
    yield f"{'orphans':>10}  {orphans}; no file is removed, and without the `only` tables they come back for free"
    yield f"{'store':>10}  {_store(keeping)}"
    if keeping.changes and keeping.engine.remote:
        yield f"{'remote':>10}  `qwenbuild cache push` shares them, as long as the specs declare them: run it before"


def _store(keeping: Keeping) -> str:
    place = visible(str(keeping.engine.store.root))
    if not keeping.outside:
        return f"their bytes are in {place}; `qwenbuild gc` keeps them for 90 days"
    there = keeping.orphans - keeping.outside
    return f"{there:,} in {place}, {keeping.outside:,} only in {visible(str(keeping.engine.project.out))}"


def show_kept(keeping: Keeping) -> None:
    """Write which specs were written, and what to do next."""
    for change in keeping.changes:
        click.echo(f"{label('wrote')}  {visible(change.shown)}")
    if keeping.orphans:
        click.echo("`qwenbuild clean --orphans` removes the other files from out/; `git diff` shows what was written")
