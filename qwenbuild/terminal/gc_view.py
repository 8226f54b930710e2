"""The view of `gc`: what a garbage collection removes from the store, and what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qwenbuild.problems import visible

from .style import byte_size

if TYPE_CHECKING:
    from qwenbuild.storage.gc import Collected, Collection


def show(planned: Collection, done: Collected | None, store: Path) -> None:
    """Write the result of a garbage collection, or its plan if `done` is None (a dry run). `store` is its folder."""
    place = visible(str(store))
    if done is None:
        _show_plan(planned, place)
    else:
        left = planned.kept_entries + planned.entries - done.entries
        left_bytes = planned.kept_bytes + planned.bytes_freed - done.bytes_freed
        click.echo(f"removed {done.entries:,} images, {byte_size(done.bytes_freed)}")
        click.echo(f"{left:,} images, {byte_size(left_bytes)} are left in {place}")
    if planned.spared:
        click.echo(f"{planned.spared:,} of them are kept because projects use them; --used would remove these too")


def _show_plan(planned: Collection, place: str) -> None:
    for removal in planned.removals:
        what = removal.key[:12] or "stray file"
        click.echo(f"{byte_size(removal.bytes_freed):>10}  {what:<12}  {visible(removal.why)}")
    kept = f"{planned.kept_entries:,} images, {byte_size(planned.kept_bytes)} are kept in {place}"
    if planned.removals:
        click.echo(f"would remove {planned.entries:,} images, {byte_size(planned.bytes_freed)}; {kept}")
    else:
        click.echo(kept)
