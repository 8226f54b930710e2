"""The commands that choose from a sweep: pick, keep."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from qwenbuild.errors import UsageError

from ..arguments import engine_of, json_option, provider, selection


@click.command(short_help="Star cells, with note and rank; without arguments, list the stars.")
@selection
@click.option("--note", metavar="TEXT", help='Say why; "" takes the note away.')
@click.option(
    "--rank", type=click.IntRange(0), metavar="N", help="The place among the stars, 1 is the best; 0 for none."
)
@click.option("--drop", is_flag=True, help="Take the stars of these cells away.")
@provider
@json_option
@click.pass_obj
def pick(
    project: Path, /, select: Sequence[str], note: str | None, rank: int | None, drop: bool, as_json: bool,
    **choices: Any,
) -> None:  # fmt: skip
    """Star cells in picks.toml, which you commit. Without arguments, list the stars.

    \b
    qwenbuild pick                                     whose image has changed since the star?
    qwenbuild pick 'puppies/poster[seed=7]' --rank 1 --note "best light"
    qwenbuild pick puppies -w seed=1,7
    qwenbuild pick --drop puppies/poster

    A star remembers the image that the cell has now. Starring a cell again takes its new image. --picked selects
    the starred cells in other commands.
    """
    from qwenbuild.terminal import choose_view

    engine = engine_of(project, **choices)
    if drop and (note is not None or rank is not None):
        raise UsageError(
            f"--drop and --{'rank' if note is None else 'note'} contradict each other", name="contradicting-options"
        )
    if not (select or engine.options.is_selecting):
        if drop or note is not None or rank is not None:
            raise UsageError(
                "`pick` needs to know which cells",
                hint="name them, or --picked for all starred cells",
                name="no-cell-named",
            )
        choose_view.show_stars(engine.stars(), as_json=as_json)
        return
    choose_view.show_picked(engine.pick(select, note, rank, drop=drop), as_json=as_json)


@click.command(short_help="Keep only these cells of their images: write `only` tables into the specs.")
@selection
@click.option("-y", "--yes", is_flag=True, help="Write the specs without a question.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be written; write nothing.")
@provider
@click.pass_obj
def keep(project: Path, /, yes: bool, dry_run: bool, **choices: Any) -> None:
    """Keep only these cells of their images, by `only` tables in the specs. Nothing else in the specs changes.

    \b
    qwenbuild keep --picked                            the winners of a sweep
    qwenbuild keep puppies/poster -w seed=7 --dry-run
    qwenbuild keep 'puppies/poster[seed=7]' --yes

    Shows the difference and asks. No file is removed: the other images become orphans. Remove the `only` tables,
    and the next build restores them from the store, for free.
    """
    from qwenbuild.terminal import choose_view

    keeping = engine_of(project, **choices).keep()
    choose_view.show_keeping(keeping)
    if dry_run or not keeping.changes:
        return
    if not yes:
        if not (sys.stdin and sys.stdin.isatty()):
            hint = "--yes writes the specs without a question; --dry-run only shows the difference"
            raise UsageError("nobody can be asked: standard input is no terminal", hint=hint, name="nobody-to-ask")
        if not click.confirm("Write this?", err=True):
            click.echo("nothing was changed", err=True)
            sys.exit(1)
    keeping.write()
    choose_view.show_kept(keeping)
