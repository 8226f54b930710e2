"""The commands about stored images: cache (the remote cache) and gc (the local store)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.errors import QwenbuildError

from ..arguments import Age, Bytes, engine_of, json_option, provider, selection

if TYPE_CHECKING:
    from qwenbuild.engine.engine import Engine
    from qwenbuild.engine.remote_sync import Moved, Progress


@click.group(short_help="Share rendered images with other machines: push, pull, status.")
def cache() -> None:
    """Share rendered images with other machines, through the remote cache of the config or of --remote.

    \b
    qwenbuild cache status
    qwenbuild cache push
    qwenbuild cache pull puppies

    Builds share images automatically: they restore what the remote cache has, and store there what they
    render. These commands upload images that were rendered earlier, or fetch images in advance.
    """


@cache.command()
@selection
@provider
@json_option
@click.pass_obj
def push(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Copy images from the local store to the remote cache, if they are not there yet.

    \b
    qwenbuild cache push
    qwenbuild cache push --remote http://localhost:8080 puppies
    """
    from qwenbuild.engine import remote_sync

    _transfer(
        remote_sync.push, engine_of(project, **choices), "pushing", "pushed", "were already there", as_json=as_json
    )


@cache.command()
@selection
@provider
@json_option
@click.pass_obj
def pull(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Copy images that a build would need from the remote cache to the local store.

    \b
    qwenbuild cache pull
    qwenbuild cache pull -w seed=1
    """
    from qwenbuild.engine import remote_sync

    _transfer(
        remote_sync.pull,
        engine_of(project, **choices),
        "pulling",
        "pulled",
        "were already in the store",
        as_json=as_json,
    )


def _transfer(
    move: Callable[[Engine, Progress], Moved], engine: Engine, doing: str, done: str, there: str, *, as_json: bool
) -> None:
    """Move images, show what was moved, and exit with 1 if an image failed or the cache gave a warning."""
    from qwenbuild.terminal import cache_view
    from qwenbuild.terminal.progress import progress

    with progress(doing, shown=not as_json) as tell:
        moved = move(engine, tell)
    cache_view.show_transfer(moved, done, there, as_json=as_json)
    sys.exit(1 if moved.failed or moved.warnings else 0)


@cache.command()
@selection
@provider
@json_option
@click.pass_obj
def status(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Show which remote cache the project uses, and how many of its images are there.

    \b
    qwenbuild cache status
    """
    from qwenbuild.engine import remote_sync
    from qwenbuild.terminal import cache_view

    there = remote_sync.status(engine_of(project, **choices))
    cache_view.show_status(there, as_json=as_json)
    sys.exit(QwenbuildError.exit_code if there.warnings else 0)


@click.command(short_help="Remove rendered images from the store that all projects share.")
@click.option(
    "--older-than", type=Age(), metavar="AGE", help="Remove entries that no build used for so long: 30d, 12h."
)
@click.option(
    "--max-size", type=Bytes(), metavar="SIZE", help="Remove the least recently used entries until this size."
)
@click.option("--unreferenced", is_flag=True,
              help="Remove entries that no project uses for its outputs (by default after 90 days).")  # fmt: skip
@click.option("--used", is_flag=True, help="Also remove entries that projects use for their outputs.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
def gc(older_than: float | None, max_size: int | None, unreferenced: bool, used: bool, dry_run: bool) -> None:
    """Remove rendered images from the store that all your projects share. Removed images must be paid for again.

    \b
    qwenbuild gc                                only what crashes left over
    qwenbuild gc --unreferenced --dry-run       what no project has used for 90 days
    qwenbuild gc --unreferenced --older-than 7d
    qwenbuild gc --max-size 20GB

    An entry is removed only if it meets all given criteria. Without --used, entries that projects use for
    their outputs are kept, orphans included. Once `clean --orphans` has removed an output, its image stays for 90
    days, unless --older-than or --max-size says otherwise.
    """
    from qwenbuild.storage.gc import collect_garbage
    from qwenbuild.storage.store_place import default_root
    from qwenbuild.terminal import gc_view

    planned, done = collect_garbage(
        os.environ, older_than_s=older_than, max_bytes=max_size, unreferenced=unreferenced,
        spare_referenced=not used, dry_run=dry_run,
    )  # fmt: skip
    gc_view.show(planned, done, default_root(os.environ))
