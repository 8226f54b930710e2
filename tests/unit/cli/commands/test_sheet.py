"""The command sheet."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.cli.conftest import Command


def test_a_sheet_is_written(command: Command) -> None:
    """The answer has the path, the cells and the size; in a pipe, progress is told in tenths."""
    command("build")
    code, out, err = command("sheet", "-o", "sheet.pdf")
    assert (code, err) == (0, "   drawing  1 of 2 images\n   drawing  2 of 2 images\n")
    assert re.fullmatch(r"     wrote  sheet\.pdf  \(2 cells, [\d.]+ kB\)\n", out)


def test_a_selection_narrows_the_sheet(command: Command) -> None:
    """And the options of the sheet are taken."""
    code, out, _ = command(
        "sheet", "s/a", "-w", "seed=1", "--rows", "image", "--columns", "seed", "--tile", "64", "--paper", "letter",
        "-o", "sub/sheet.html",
    )  # fmt: skip
    assert (code, "(1 cells, " in out, Path("sub/sheet.html").is_file()) == (0, False, True)
    assert "(1 cell, " in out


def test_pages_are_counted(command: Command) -> None:
    """Large tiles need a page each."""
    code, out, _ = command("sheet", "-o", "sheet.pdf", "--tile", "2400")
    assert (code, "(2 cells, 2 pages, " in out) == (0, True)


def test_a_sheet_needs_a_file(command: Command) -> None:
    """The message says which option is missing."""
    code, out, err = command("sheet")
    assert (code, out) == (2, "")
    assert err.startswith("error: Missing option '-o' / '--output'.")


def test_an_unknown_axis_is_a_usage_error(command: Command) -> None:
    """Nothing is written."""
    code, out, err = command("sheet", "--rows", "sed", "-o", "sheet.png")
    assert (code, out, Path("sheet.png").exists()) == (2, "", False)
    assert err.splitlines()[0] == 'error: --rows: no axis "sed"'


def test_starred_cells_make_a_sheet(command: Command) -> None:
    """`--picked` shows the winners only."""
    command("build")
    command("pick", "s/a[seed=2]")
    code, out, _ = command("sheet", "--picked", "-o", "sheet.png")
    assert (code, "(1 cell, " in out) == (0, True)
