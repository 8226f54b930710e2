"""The view of `trust`: what a project asks for, and what of it is approved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from qwenbuild.problems import visible
from qwenbuild.trust import Item

from .style import label


def show(root: Path, approved: Sequence[Item], new: Sequence[Item]) -> None:
    """Write everything that the project in the folder `root` asks for."""
    if not (approved or new):
        click.echo(f"{visible(str(root))} asks for nothing that needs your approval")
        return
    click.echo(f"What {visible(str(root))} asks for:")
    for word, items in (("approved", approved), ("new", new)):
        for item in items:
            click.echo(f"{label(word)}  {visible(str(item))}")
    if not new:
        click.echo("all of it is approved; `qwenbuild trust --revoke` takes that back")
