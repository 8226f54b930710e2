"""The command `sheet`: writes a contact sheet of images by two axes, to print and to send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qwenbuild.terminal import style

from .. import completion
from ..arguments import PathFromProject, engine_of, provider, selection


@click.command(short_help="Write a contact sheet of images by two axes: PNG, PDF or HTML.")
@selection
@click.option("--rows", metavar="AXIS", shell_complete=completion.axes, help="Set the values of this axis in rows.")
@click.option(
    "--columns", metavar="AXIS", shell_complete=completion.axes, help="Set the values of this axis in columns."
)
@click.option("-o", "--output", type=PathFromProject(), metavar="FILE", required=True,
              help="Write it to this file. Its suffix says the format: .png, .pdf or .html.")  # fmt: skip
@click.option("--tile", "tile_px", type=click.IntRange(32, 8192), metavar="PX",
              help="The longer side of an image in pixels, 300 to an inch "
                   "(default: 512; in a PDF as large as the paper allows).")  # fmt: skip
@click.option("--paper", type=click.Choice(["A4", "A3", "letter"], case_sensitive=False), default="A4",
              help="The paper of a PDF (default: A4).")  # fmt: skip
@provider
@click.pass_obj
def sheet(
    project: Path,
    /,
    rows: str | None,
    columns: str | None,
    output: Path,
    tile_px: int | None,
    paper: str,
    **choices: Any,
) -> None:
    """Write a contact sheet: the images by two axes, with the values as labels.

    \b
    qwenbuild sheet puppies/poster -o sheet.pdf
    qwenbuild sheet --rows palette --columns seed -o sheet.png
    qwenbuild sheet --picked -o winners.html

    AXIS is an axis of the matrix, or image, spec, model, size or seed. Without --rows and --columns the best axes are
    chosen; further axes make sections. Spends nothing: what is not rendered is a labelled blank.
    """
    from qwenbuild.pages.sheet import Choices
    from qwenbuild.terminal.progress import progress

    asked = Choices(rows, columns, tile_px, paper)
    with progress("drawing", in_pipes=True) as tell:
        written = engine_of(project, **choices).sheet(output, asked, tell)
    style.warnings(written.warnings)
    pages = f"{written.pages} pages, " if written.pages > 1 else ""
    size = style.byte_size(written.size_bytes)
    cells = f"{written.cells:,} cell{'s' * (written.cells != 1)}"
    click.echo(f"{'wrote':>10}  {written.path}  ({cells}, {pages}{size})")
