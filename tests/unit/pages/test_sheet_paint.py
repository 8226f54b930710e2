"""Painting a contact sheet: what a PNG and a PDF show, and that equal sheets have equal bytes."""

from __future__ import annotations

import io

import pypdfium2
import pytest
from PIL import Image, ImageChops

from qwenbuild.pages import sheet_paint
from qwenbuild.pages.sheet_grid import Grid, Row, Section, Tile
from qwenbuild.pages.sheet_layout import Layout, on_one_page, on_paper
from qwenbuild.pages.sheet_text import Lettering
from qwenbuild.pages.thumbnails import encoded

RED, BLANK = (200, 30, 30), (244, 244, 244)
GRID = Grid(
    "pets: 3 images",
    [
        Section(
            "size=1:1",
            ["mood=calm", "mood=كلب"],
            [
                Row("seed=1", [Tile("a", "1" * 64, (64, 64), "edited"), Tile("b", "", (64, 64), "not rendered")]),
                Row("seed=2", [Tile("c", "2" * 64, (64, 64), ""), None]),
            ],
        )
    ],
)
LETTERING = Lettering({*GRID.texts, sheet_paint.UNREADABLE, "0123456789 /"})


def picture(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, RED)


def png(layout: Layout) -> bytes:
    """Paint a sheet; the picture of `c` is unreadable, that of `a` smaller than its place."""
    images = [picture((100, 100)), None, None]
    return sheet_paint.png(layout, LETTERING, list(zip(layout.pages[0].pictures, images, strict=True)))


def pdf(layout: Layout) -> bytes:
    images = [encoded(picture((100, 100)), "JPEG", quality=95), None, None]
    places = [place for page in layout.pages for place in page.pictures]
    return sheet_paint.pdf(layout, LETTERING, GRID.title, list(zip(places, images, strict=True)))


def test_a_png_shows_pictures_blanks_and_texts() -> None:
    """A picture stands in the middle of its place, a blank is grey, and there are 300 pixels to an inch."""
    layout = on_one_page(GRID, LETTERING, 200)
    with Image.open(io.BytesIO(png(layout))) as shown:
        assert (shown.size, shown.mode) == ((layout.pages[0].width, layout.pages[0].height), "RGB")
        assert round(shown.info["dpi"][0]) == 300
        places = [place.box for place in layout.pages[0].pictures]
        middles = [shown.getpixel((left + width // 2, top + height // 8)) for left, top, width, height in places]
        assert middles == [(255, 255, 255), BLANK, BLANK]
        left, top, width, height = places[0]
        assert shown.getpixel((left + width // 2, top + height // 2)) == RED
        inside = shown.crop((places[1][0] + 4, places[1][1] + 4, places[1][0] + 196, places[1][1] + 196))
        assert min(inside.convert("L").tobytes()) < 120  # "not rendered"
        title = shown.crop((0, 0, shown.width, layout.font_px * 2)).convert("L")
        assert min(title.tobytes()) < 40


def test_a_pdf_shows_the_same() -> None:
    """On paper, each thing is where the layout has it."""
    layout = on_paper(GRID, LETTERING, None, "A4")
    document = pypdfium2.PdfDocument(pdf(layout))
    [page] = document
    assert [round(side * 25.4 / 72) for side in page.get_size()] == [210, 297]
    shown = page.render(scale=1).to_pil().convert("RGB")
    part = 72 / 300
    for place, colour in zip(layout.pages[0].pictures, (RED, BLANK, BLANK), strict=True):
        left, top, width, height = place.box
        found = shown.getpixel((int((left + width / 2) * part), int((top + height / 8) * part)))
        assert isinstance(found, tuple)
        assert max(abs(one - other) for one, other in zip(found, colour, strict=True)) < 6
    document.close()


def test_texts_of_a_pdf_can_be_searched() -> None:
    """They are texts, not pictures of texts; the document has a title."""
    document = pypdfium2.PdfDocument(pdf(on_paper(GRID, LETTERING, None, "A4")))
    text = document[0].get_textpage()
    for word in ("pets: 3 images", "size=1:1", "mood=calm", "seed=2", "edited", "not rendered", "no whole image"):
        assert text.search(word).get_next() is not None
    assert document.get_metadata_dict()["Title"] == "pets: 3 images"
    document.close()


def test_a_label_looks_the_same_in_both() -> None:
    """Also a joined one of Arabic: the pixels of the PDF and of the PNG agree."""
    layout = on_paper(GRID, LETTERING, None, "A4")
    document = pypdfium2.PdfDocument(pdf(layout))
    printed = document[0].render(scale=300 / 72).to_pil().convert("L")
    document.close()
    with Image.open(io.BytesIO(png(layout))) as painted:
        heads = [text for text in layout.pages[0].texts if text.text.startswith(("mood", "seed"))]
        for text in heads:
            width = round(LETTERING.ems(text.text) * layout.font_px)
            box = (
                int(text.left) - 4,
                int(text.top) - 4,
                int(text.left) + width + 4,
                int(text.top) + layout.font_px + 4,
            )
            one, other = painted.convert("L").crop(box), printed.crop(box)
            difference = ImageChops.difference(one.reduce(3), other.reduce(3)).tobytes()
            assert sum(difference) / len(difference) < 12
            assert min(one.tobytes()) < 130


@pytest.mark.parametrize("paint", [png, pdf])
def test_equal_sheets_have_equal_bytes(paint: object) -> None:
    """No format says when it was made."""
    layout = on_one_page(GRID, LETTERING, 200) if paint is png else on_paper(GRID, LETTERING, None, "A4")
    assert callable(paint)
    assert paint(layout) == paint(layout)
