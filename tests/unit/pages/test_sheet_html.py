"""A contact sheet as HTML: tables, flows, and texts that stay texts."""

from __future__ import annotations

import base64
import re

from qwenbuild.pages.sheet_grid import Grid, Row, Section, Tile
from qwenbuild.pages.sheet_html import page

IMAGE = "1" * 64
GRID = Grid(
    "<pets>",
    [
        Section(
            "size=<b>",
            ["mood=</script>", "mood=b"],
            [Row('seed="1"', [Tile("a&b", IMAGE, (16, 9), "edited"), Tile("c", "", (16, 9), "not rendered")])],
        ),
        Section("", [], [Row("", [Tile("d", "2" * 64, (9, 16), "", "seed=1")])]),
    ],
)


def test_it_is_one_file_that_loads_nothing() -> None:
    """All images are inside, and the page's own policy forbids scripts and loading."""
    text = page(GRID, {IMAGE: b"image", "2" * 64: None}, 512).decode()
    assert f'src="data:image/webp;base64,{base64.b64encode(b"image").decode()}"' in text
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert re.findall(r"<script|<link|https?:|url\(", text) == []


def test_texts_stay_texts() -> None:
    """No text of a project becomes an element."""
    text = page(GRID, {IMAGE: b"image"}, 512).decode()
    assert '<h1 dir="auto">&lt;pets&gt;</h1>' in text
    assert '<h2 dir="auto">size=&lt;b&gt;</h2>' in text
    assert '<th scope="col" dir="auto"><div>mood=&lt;/script&gt;</div></th>' in text
    assert '<th scope="row" dir="auto"><div>seed=&quot;1&quot;</div></th>' in text
    assert 'alt="a&amp;b" title="a&amp;b"' in text


def test_notes_and_captions_stand_with_their_pictures() -> None:
    """A note stands below a picture, or inside a blank place; a flow has captions."""
    text = page(GRID, {IMAGE: b"image", "2" * 64: None}, 512).decode()
    assert re.findall(r"<figcaption[^>]*>([^<]*)<", text) == ["edited", "seed=1"]
    assert re.findall(r'class="blank"[^>]*>([^<]*)<', text) == ["not rendered", "no whole image"]
    assert text.count('<div class="flow">') == 1


def test_a_text_that_is_no_unicode_can_be_written() -> None:
    """A lone surrogate becomes a question mark."""
    assert b'<h1 dir="auto">a?</h1>' in page(Grid("a\udc80", GRID.sections), {}, 512)
