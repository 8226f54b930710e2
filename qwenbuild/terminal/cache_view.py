"""The view of `cache`: a transfer's result, and what the remote cache has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from qwenbuild.problems import visible

from .style import warnings

if TYPE_CHECKING:
    from qwenbuild.engine.remote_sync import Moved, RemoteStatus


def show_transfer(moved: Moved, done: str, there: str, *, as_json: bool) -> None:
    """Write the result of a push or a pull.

    `done` is the word for moved images (and their JSON key), `there` the words for those that needed no transfer.
    """
    if as_json:
        click.echo(json.dumps({"event": "cache", done: moved.moved, "there": moved.there, "failed": moved.failed}))
    else:
        warnings(moved.warnings)
        failed = f", {moved.failed:,} failed" if moved.failed else ""
        click.echo(f"{moved.moved:,} images {done}, {moved.there:,} {there}{failed}")


def show_status(status: RemoteStatus, *, as_json: bool) -> None:
    """Write which remote cache the project uses, and how many of its images are there."""
    if as_json:
        table = {"remote": status.name, "writes": status.writes, "there": status.there, "images": status.images}
        click.echo(json.dumps({"event": "cache", **table}, ensure_ascii=False))
    else:
        warnings(status.warnings)
        click.echo(f"{'remote':>10}  {visible(status.name)}")
        click.echo(f"{'use':>10}  {'read and write' if status.writes else 'read only'}")
        click.echo(f"{'images':>10}  {status.there:,} of {status.images:,} are there")
