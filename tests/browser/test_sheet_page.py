"""A contact sheet in a real browser, opened from disk."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild.engine.engine import load
from tests.support.watched import built
from tests.support.workspace import Workspace

SPEC = """
[image.a]
prompt = "a house, {{ style }}, {{ light }}"
[image.a.matrix]
style = ["<lora:add_detail:0.5>", "masterpiece, (cinematic lighting:1.2), by an artist of the old school"]
light = ["dawn", "noon", "dusk", "night"]
size = ["1:1", "9:16"]
"""


@pytest.fixture
def sheet(project: Workspace) -> str:
    """The address of a sheet; the tall images are not rendered."""
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/s.toml": SPEC})
    engine = load(project.root)
    built(project, where=["size=1328x1328"])
    return engine.sheet(project.root / "sheet.html").path.as_uri()


def test_it_shows_everything_and_loads_nothing(sheet: str, page: Any) -> None:
    """All images are inside; labels are texts; what is missing is a blank of the same shape."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(sheet)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("[...document.images].map((image) => image.naturalWidth)") == [512] * 8
    assert page.locator(".blank").all_inner_texts() == ["not rendered"] * 8
    box = page.locator(".blank").first.bounding_box()
    assert (round(box["width"]), round(box["height"])) == (143, 256)
    assert page.locator("h2").all_inner_texts() == ["size=1328x1328", "size=928x1664"]
    assert page.locator("tbody th").first.inner_text() == "style=<lora:add_detail:0.5>"


def test_heads_stay_in_sight(sheet: str, page: Any) -> None:
    """A large sheet is scrolled, and its labels still say what each image is."""
    page.set_viewport_size({"width": 600, "height": 400})
    page.goto(sheet)
    page.evaluate("scrollTo(500, 200)")
    row, column = page.locator("tbody th").first.bounding_box(), page.locator("thead th").first.bounding_box()
    assert (round(row["x"]), round(column["y"])) == (0, 0)


def test_print_repeats_heads_and_cuts_no_row(sheet: str, page: Any) -> None:
    """On paper, images have 300 pixels to an inch."""
    page.goto(sheet)
    page.emulate_media(media="print")
    assert round(page.locator("img").first.bounding_box()["width"], 1) == round(512 / 300 * 96, 1)
    assert page.evaluate("getComputedStyle(document.querySelector('tr')).breakInside") == "avoid"
