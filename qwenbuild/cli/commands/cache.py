"""The commands of the remote cache."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from qwenbuild.cli.arguments import engine_of, json_option, provider, selection
from qwenbuild.errors import QwenbuildError, visible
from qwenbuild.terminal import console


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
    from qwenbuild.engine import remote_sync as caching

    with _progress("pushing", shown=not as_json) as tell:
        moved = caching.push(engine_of(project, **choices), tell)
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
    from qwenbuild.engine import remote_sync as caching

    with _progress("pulling", shown=not as_json) as tell:
        moved = caching.pull(engine_of(project, **choices), tell)
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
    from qwenbuild.engine import remote_sync as caching

    it = caching.standing(engine_of(project, **choices))
    if as_json:
        table = {"remote": it.name, "writes": it.writes, "there": it.there, "images": it.images}
        click.echo(json.dumps({"event": "cache", **table}, ensure_ascii=False))
    else:
        console.warnings(it.warnings)
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
        console.warnings(moved.warnings)
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

    terminal = Console(stderr=True, highlight=False, no_color=not console.coloured(sys.stderr))
    columns = TextColumn("{task.description:>10}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=terminal, transient=True) as display:
        task = display.add_task(word, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)
