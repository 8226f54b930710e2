"""The layout of a contact sheet: sizes, pages, repeated heads, and what does not fit."""

from __future__ import annotations

from itertools import combinations

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.pages.sheet_grid import Grid, Row, Section, Tile
from qwenbuild.pages.sheet_layout import MOST_PIXELS, PAPERS_MM, Layout, Page, on_one_page, on_paper
from qwenbuild.pages.sheet_text import Lettering

SQUARE, WIDE, TALL = (1328, 1328), (1664, 928), (928, 1664)


def tile(name: str, size: tuple[int, int] = SQUARE, note: str = "", caption: str = "") -> Tile:
    return Tile(name, "0" * 64, size, note, caption)


def table(rows: int, columns: int, size: tuple[int, int] = SQUARE, heading: str = "") -> Section:
    """Return a section with equal tiles."""
    names = [[tile(f"{row},{column}", size) for column in range(columns)] for row in range(rows)]
    heads = [f"seed={column}" for column in range(columns)]
    return Section(heading, heads, [Row(f"mood={number}", tiles) for number, tiles in enumerate(names)])


def flow(count: int, size: tuple[int, int] = SQUARE) -> Section:
    return Section("", [], [Row("", [tile(str(number), size, caption=f"seed={number}") for number in range(count)])])


def paper(*sections: Section, tile_px: int | None = None, name: str = "A4") -> Layout:
    made = Grid("title", sections)
    return on_paper(made, Lettering(made.texts), tile_px, name)


def image(*sections: Section, tile_px: int | None = None) -> Layout:
    made = Grid("title", sections)
    return on_one_page(made, Lettering(made.texts), tile_px)


def said(page: Page) -> list[str]:
    return [text.text for text in page.texts]


def check(layout: Layout) -> None:
    """Assert that all stands on its page, and that no two pictures overlap."""
    for page in layout.pages:
        boxes = [picture.box for picture in page.pictures]
        for left, top, width, height in boxes:
            assert left >= 0
            assert top >= 0
            assert left + width <= page.width
            assert top + height <= page.height
        for (x1, y1, w1, h1), (x2, y2, w2, h2) in combinations(boxes, 2):
            assert x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
        assert all(0 <= text.top <= page.height - layout.font_px for text in page.texts)


def test_an_image_is_as_large_as_its_content() -> None:
    """Its tiles have 512 pixels, or what the user asks for."""
    layout = image(table(2, 3))
    [page] = layout.pages
    check(layout)
    assert (layout.tile_px, len(page.pictures), page.pictures[0].box[2:]) == (512, 6, (512, 512))
    assert said(page) == ["title", "seed=0", "seed=1", "seed=2", "mood=0", "mood=1"]
    small = image(table(2, 3), tile_px=100)
    assert (small.pages[0].width < page.width / 2, small.pages[0].pictures[0].box[2:]) == (True, (100, 100))


def test_pictures_keep_their_shape() -> None:
    """Wide pictures make low rows, tall ones narrow columns."""
    wide, tall = image(table(2, 2, WIDE)), image(table(2, 2, TALL))
    assert [wide.pages[0].pictures[0].box[2:], tall.pages[0].pictures[0].box[2:]] == [(512, 286), (286, 512)]
    assert wide.pages[0].height < tall.pages[0].height
    assert tall.pages[0].width < wide.pages[0].width


def test_a_flow_is_about_as_wide_as_high() -> None:
    """Tiles without rows wrap like words, each with its caption."""
    layout = image(flow(24))
    check(layout)
    assert len({picture.box[0] for picture in layout.pages[0].pictures}) == 6
    assert said(layout.pages[0])[:3] == ["title", "seed=0", "seed=1"]


def test_an_image_of_many_cells_has_smaller_tiles() -> None:
    """Unless the user says how large they are: then the message has a size that fits."""
    layout = image(table(20, 20))
    check(layout)
    assert 400 < layout.tile_px < 512
    assert 0.9 < layout.pages[0].width * layout.pages[0].height / MOST_PIXELS <= 1
    with pytest.raises(UsageError) as caught:
        image(table(20, 20), tile_px=512)
    assert str(caught.value) == (
        "error: the sheet would have 10,963x10,939 pixels, which few programs open\n"
        f"  = 400 cells; an image has at most {MOST_PIXELS:,} pixels\n"
        f"  = hint: --tile {layout.tile_px} fits; a PDF has room for all (-o sheet.pdf)"
    )
    assert image(table(20, 20), tile_px=layout.tile_px) == layout


def test_an_image_of_far_too_many_cells_is_refused() -> None:
    """Its pictures would show nothing."""
    with pytest.raises(UsageError) as caught:
        image(table(100, 120))
    assert str(caught.value).splitlines()[1:] == [
        f"  = 12,000 cells; an image has at most {MOST_PIXELS:,} pixels",
        "  = hint: a PDF has room for all (-o sheet.pdf)",
    ]


def test_paper_is_turned_for_larger_pictures() -> None:
    """Many columns lie across, few stand upright."""
    across, upright = paper(table(2, 6)), paper(table(6, 2))
    check(across)
    check(upright)
    assert across.pages[0].width > across.pages[0].height
    assert upright.pages[0].width < upright.pages[0].height


@pytest.mark.parametrize("name", sorted(PAPERS_MM))
def test_each_page_repeats_the_heads(name: str) -> None:
    """A page has the title, the heading and the heads of its columns, whatever the paper."""
    layout = paper(table(30, 5, heading="size=1328x1328"), name=name)
    check(layout)
    count = len(layout.pages)
    assert count > 1
    for number, page in enumerate(layout.pages, start=1):
        assert said(page)[:7] == ["title", "size=1328x1328", *(f"seed={column}" for column in range(5))]
        assert said(page)[-1] == f"{number} / {count}"
    assert sum(len(page.pictures) for page in layout.pages) == 150


def test_columns_go_on_to_further_pages() -> None:
    """Forty columns would be too small beside each other."""
    layout = paper(table(2, 40))
    check(layout)
    assert layout.tile_px * 25.4 / 300 >= 25
    heads = [text for page in layout.pages for text in said(page) if text.startswith("seed=")]
    assert heads == [f"seed={column}" for column in range(40)]


def test_a_section_goes_on_below_another_one() -> None:
    """Small sections share a page."""
    layout = paper(table(1, 4, heading="size=a"), table(1, 4, heading="size=b"))
    check(layout)
    assert len(layout.pages) == 1
    assert [text for text in said(layout.pages[0]) if text.startswith("size")] == ["size=a", "size=b"]


def test_a_flow_beside_a_table_uses_the_whole_width() -> None:
    """It has no heads, so its tiles begin at the margin."""
    layout = paper(table(2, 4), flow(30))
    check(layout)
    lefts = [{picture.box[0] for picture in page.pictures if picture.tile.caption} for page in layout.pages]
    assert min(min(some) for some in lefts if some) == 118


def test_a_tile_of_the_user_is_taken_as_it_is() -> None:
    """Columns that do not fit go on to further pages; a tile that never fits is refused."""
    layout = paper(table(2, 10), tile_px=900)
    check(layout)
    assert (layout.tile_px, len(layout.pages) > 1) == (900, True)
    with pytest.raises(UsageError) as caught:
        paper(table(2, 2), tile_px=4000)
    assert str(caught.value) == (
        "error: a tile of 4,000 pixels does not fit on A4\n"
        "  = A4 has 2,480x3,508 pixels, 300 to an inch\n"
        "  = hint: leave --tile out: the pictures become as large as the paper allows"
    )


def test_long_labels_stay_in_their_place() -> None:
    """A label has at most three lines, no wider than its column; a row is as high as its label."""
    long = "word " * 40
    section = Section(long, [f"a{long}z", "b"], [Row(f"r{long}", [tile("1", WIDE), tile("2", WIDE)])])
    made = Grid(long, [section])
    lettering = Lettering(made.texts)
    layout = on_one_page(made, lettering, 128)
    check(layout)
    [page] = layout.pages
    left, top, width, _ = page.pictures[0].box
    heads = [text for text in page.texts if text.left == left]
    assert (len(heads), all(lettering.ems(it.text) * layout.font_px <= width for it in heads)) == (3, True)
    assert max(it.top for it in heads) + layout.font_px < top
    assert heads[-1].text.endswith("z")


def test_notes_stand_below_pictures_only() -> None:
    """In a blank place the note stands inside, so it is no text of the page."""
    edited = tile("1", note="edited")
    blank = Tile("2", "", SQUARE, "not rendered")
    layout = image(Section("", ["a", "b"], [Row("r", [edited, blank])]))
    assert said(layout.pages[0]) == ["title", "a", "b", "r", "edited"]
