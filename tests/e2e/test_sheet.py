"""Contact sheets of the real command: what people print and send."""

from __future__ import annotations

import re
from pathlib import Path

import pypdfium2
from PIL import Image

from tests.e2e.harness import Sandbox

# Grids that people have made with other programs: paths of checkpoints, names of embeddings, replaced words of prompts.
SPEC = """
[image.grid]
prompt = "a house, {{ style }}, {{ checkpoint }}"
[image.grid.matrix]
style = ["<lora:add_detail:0.5>", "masterpiece, best quality, (cinematic lighting:1.2), by an artist of the old school"]
checkpoint = ["Favorites\\\\deliberate_v2.safetensors", "any-other-style-5000.pt", "新年 快乐"]
size = ["1:1", "9:16"]
"""


def searched(path: Path, *words: str) -> list[int]:
    """Return on how many pages of a PDF each word is found."""
    document = pypdfium2.PdfDocument(path)
    pages = [page.get_textpage() for page in document]
    counts = [sum(page.search(word).get_next() is not None for page in pages) for word in words]
    document.close()
    return counts


def test_a_pdf_names_axes_on_each_page(sandbox: Sandbox) -> None:
    """Each size is a section with its heading; labels can be searched; a second run writes the same bytes."""
    sandbox.write({"specs/grid.toml": SPEC})
    sandbox.build("grid")
    ran = sandbox.run("sheet", "grid", "--rows", "style", "--columns", "checkpoint", "-o", "sheet.pdf")
    assert (ran.code, re.sub(r"[\d.]+ [kM]?B", "SIZE", ran.out)) == (
        0,
        "     wrote  sheet.pdf  (12 cells, 2 pages, SIZE)\n",
    )
    path = sandbox.root / "sheet.pdf"
    words = ("size=1328x1328", "size=928x1664", "any-other-style-5000.pt", "<lora:add_detail:0.5>")
    assert searched(path, *words) == [1, 1, 2, 2]
    before = path.read_bytes()
    assert sandbox.run("sheet", "grid", "--rows", "style", "--columns", "checkpoint", "-o", "sheet.pdf").code == 0
    assert path.read_bytes() == before


def test_a_clone_writes_a_committed_sheet_anew(sandbox: Sandbox) -> None:
    """A sheet is known by its seal, not by a record of this machine; nothing else is replaced."""
    sandbox.write({"specs/grid.toml": SPEC})
    assert sandbox.run("sheet", "grid", "-o", "docs/sheet.png").code == 0
    (sandbox.root / "docs/sheet.png").rename(sandbox.root / "copied.png")
    sandbox.build("grid")
    assert sandbox.run("sheet", "grid", "-o", "copied.png", "--tile", "64").code == 0
    with Image.open(sandbox.root / "copied.png") as image:
        image.load()
    [output, *_] = sandbox.outputs()
    ran = sandbox.run("sheet", "grid", "-o", f"out/{output}")
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: out/{output} is not a sheet as qwenbuild wrote it")
