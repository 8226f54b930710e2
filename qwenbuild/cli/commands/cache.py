"""The commands of the remote cache."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from qwenbuild.cli.arguments import Age, Bytes, engine_of, json_option, provider, selection
from qwenbuild.errors import QwenbuildError
from qwenbuild.problems import visible
from qwenbuild.terminal import console, style


@click.group(short_help="Share rendered images with other machines: push, pull, status.")
def cache() -> None:
    """Share rendered images with other machines, through the remote cache of the config or of --remote.

    \b
    qwenbuild cache status
    qwenbuild cache push
    qwenbuild cache pull puppies

    Builds do this by themselves: what the remote has is not rendered, and what is rendered is
    stored there. These commands bring there what was rendered before, or fetch it in advance.
    """


@cache.command()
@selection
@provider
@json_option
@click.pass_obj
def push(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Store at the remote what the local store has, and the remote has not.

    \b
    qwenbuild cache push
    qwenbuild cache push --remote http://localhost:8080 puppies
    """
    from qwenbuild.engine import remote_sync

    with _progress("pushing", shown=not as_json) as tell:
        moved = remote_sync.push(engine_of(project, **choices), tell)
    _show(moved, "pushed", "were there before", as_json=as_json)


@cache.command()
@selection
@provider
@json_option
@click.pass_obj
def pull(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Fetch into the local store what the remote has of images that a build would have to make.

    \b
    qwenbuild cache pull
    qwenbuild cache pull -w seed=1
    """
    from qwenbuild.engine import remote_sync

    with _progress("pulling", shown=not as_json) as tell:
        moved = remote_sync.pull(engine_of(project, **choices), tell)
    _show(moved, "pulled", "are in the store", as_json=as_json)


@cache.command()
@selection
@provider
@json_option
@click.pass_obj
def status(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Tell which remote cache the project has, and how many of its images are there.

    \b
    qwenbuild cache status
    """
    from qwenbuild.engine import remote_sync

    it = remote_sync.standing(engine_of(project, **choices))
    if as_json:
        table = {"remote": it.name, "writes": it.writes, "there": it.there, "images": it.images}
        click.echo(json.dumps({"event": "cache", **table}, ensure_ascii=False))
    else:
        style.warnings(it.warnings)
        click.echo(f"{'remote':>10}  {visible(it.name)}")
        click.echo(f"{'use':>10}  {'read and write' if it.writes else 'read only'}")
        click.echo(f"{'images':>10}  {it.there:,} of {it.images:,} are there")
    sys.exit(QwenbuildError.exit_code if it.warnings else 0)


def _show(moved: Any, done: str, there: str, *, as_json: bool) -> None:
    """Write how a transfer ended, and exit with 1 where some images could not be moved."""
    if as_json:
        table = {"event": "cache", done: moved.moved, "there": moved.there, "failed": moved.failed}
        click.echo(json.dumps(table))
    else:
        style.warnings(moved.warnings)
        failed = f", {moved.failed:,} could not be" if moved.failed else ""
        click.echo(f"{moved.moved:,} images {done}, {moved.there:,} {there}{failed}")
    sys.exit(1 if moved.failed or moved.warnings else 0)


@contextmanager
def _progress(word: str, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how far a transfer is, on a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True, highlight=False, no_color=not style.coloured(sys.stderr))
    columns = TextColumn("{task.description:>10}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=terminal, transient=True) as display:
        task = display.add_task(word, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)


@click.command()
@click.option("--older-than", type=Age(), metavar="AGE", help="Entries that no build used for this long: 30d, 12h.")
@click.option(
    "--max-size", type=Bytes(), metavar="SIZE", help="The least recently used, until the store is this small."
)
@click.option("--unreferenced", is_flag=True, help="Entries that no project's present outputs come from.")
@click.option("--used", is_flag=True, help="Also entries that projects' present outputs come from.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be removed; remove nothing.")
def gc(older_than: float | None, max_size: int | None, unreferenced: bool, used: bool, dry_run: bool) -> None:
    """Remove rendered images from the store that all projects share. What is removed must be paid for again.

    \b
    qwenbuild gc                                only what crashes left over
    qwenbuild gc --unreferenced --older-than 30d --dry-run
    qwenbuild gc --max-size 20GB

    Criteria narrow each other. Without --used, what a project's outputs come from is kept.
    """
    from qwenbuild.storage.gc import collect_garbage

    planned, done = collect_garbage(
        os.environ, older_than_s=older_than, max_bytes=max_size, unreferenced=unreferenced,
        spare_referenced=not used, dry_run=dry_run,
    )  # fmt: skip
    console.show_garbage(planned, done)
