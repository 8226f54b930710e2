"""The layout of a contact sheet: where each picture and each line of text stands on its pages.

All lengths are in pixels, `DPI` to an inch. A PNG is one page as large as its content. The pages of a PDF are paper;
each one repeats the title, the heading of its section and the heads of its columns. If the columns do not fit beside
each other at a readable size, they go on to further pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from qwenbuild.errors import UsageError

from .sheet_grid import Grid, Row, Section, Tile
from .sheet_text import Lettering

DPI = 300
TILE_PX = 512
"""The longer side of a picture in a PNG, and on a page of HTML: 43 mm in print."""

PAPERS_MM = {"A4": (210.0, 297.0), "A3": (297.0, 420.0), "letter": (215.9, 279.4)}
"""The sizes of paper, upright."""

MOST_PIXELS = 89_478_485
"""Of a PNG. Pillow, and what is built on it, warns of larger images or refuses them."""

_MM = DPI / 25.4  # pixels
_MARGIN = round(10 * _MM)
_LARGEST, _SMALLEST = round(80 * _MM), round(25 * _MM)  # tiles on paper
_SMALLEST_IN_PNG = 96
_STEP = 4  # pixels between the sizes that are tried
_FLOW_COLUMNS = 6  # on paper
_HEAD_EMS = 14.0  # the widest label of a row
_LINES = 3  # of a label


class Text(NamedTuple):
    """A line of text: `left` and the top of its line in pixels. `is_quiet`: it is said in grey."""

    left: float
    top: float
    text: str
    is_quiet: bool = False


class Picture(NamedTuple):
    """The box of a tile's picture: left, top, width and height in pixels."""

    tile: Tile
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Page:
    """One page, in pixels."""

    width: int
    height: int
    texts: list[Text] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Layout:
    """The pages of a sheet. `font_px` is the size of all texts, `tile_px` the longer side of the pictures."""

    pages: Sequence[Page]
    font_px: int
    tile_px: int


def on_one_page(grid: Grid, lettering: Lettering, tile_px: int | None) -> Layout:
    """Return the layout of a PNG. Without `tile_px`, the tiles become smaller until the image has few enough pixels.

    Raises UsageError if it would have too many all the same.
    """
    columns, flowing = _columns(grid)
    per_row = max(columns, math.ceil(math.sqrt(flowing * 1.5)))
    tile = tile_px or TILE_PX
    made = _Setter(grid, lettering, tile, per_row, None).layout()
    fitting = made
    while _pixels(fitting) > MOST_PIXELS and tile >= _SMALLEST_IN_PNG:
        tile = min(tile - 1, int(tile * math.sqrt(MOST_PIXELS / _pixels(fitting))))
        fitting = _Setter(grid, lettering, tile, per_row, None).layout()
    is_possible = _pixels(fitting) <= MOST_PIXELS
    if is_possible and (fitting is made or not tile_px):
        return fitting
    width, height = made.pages[0].width, made.pages[0].height
    raise UsageError(
        f"the sheet would have {width:,}x{height:,} pixels, which few programs open",
        facts=[f"{len(grid.tiles):,} cells; an image has at most {MOST_PIXELS:,} pixels"],
        hint=(f"--tile {tile} fits; " if is_possible else "") + "a PDF has room for all (-o sheet.pdf)",
        name="sheet-too-large",
    )


def _pixels(layout: Layout) -> int:
    return layout.pages[0].width * layout.pages[0].height


def on_paper(grid: Grid, lettering: Lettering, tile_px: int | None, paper: str) -> Layout:
    """Return the layout of a PDF: upright or across, whichever has more columns beside each other, or larger pictures.

    Raises UsageError if not even one tile of `tile_px` fits on the paper.
    """
    short, long = (round(side * _MM) for side in PAPERS_MM[paper])
    setters = [_fitted(grid, lettering, tile_px, size) for size in ((short, long), (long, short))]
    found = [setter for setter in setters if setter]
    if not found:
        raise UsageError(
            f"a tile of {tile_px:,} pixels does not fit on {paper}",
            facts=[f"{paper} has {short:,}x{long:,} pixels, {DPI} to an inch"],
            hint="leave --tile out: the pictures become as large as the paper allows",
            name="sheet-too-large",
        )
    return max(found, key=lambda it: (it.per_row, it.tile)).layout()


def _fitted(grid: Grid, lettering: Lettering, tile_px: int | None, paper: tuple[int, int]) -> _Setter | None:
    """Return the setter with the most columns beside each other, then the largest tiles; None if nothing fits."""
    columns, flowing = _columns(grid)
    most = max(columns, min(flowing, _FLOW_COLUMNS))
    sizes = (tile_px,) if tile_px else range(_LARGEST, _SMALLEST - 1, -_STEP)
    for blocks in range(1, most + 1):
        per_row = math.ceil(most / blocks)
        for tile in sizes:
            setter = _Setter(grid, lettering, tile, per_row, paper)
            if setter.fits:
                return setter
    return None


class _Setter:
    """Sets a grid on pages of one size, or on one page of any size if `paper` is None."""

    def __init__(
        self, grid: Grid, lettering: Lettering, tile: int, per_row: int, paper: tuple[int, int] | None
    ) -> None:
        self.grid, self.lettering, self.tile, self.per_row, self.paper = grid, lettering, tile, per_row, paper
        self.font = max(24, min(38, round(tile * 0.075)))
        self.line = round(self.font * 1.3)
        self.gap = max(8, round(tile * 0.045))
        sides = [_fit(it.size, tile) for it in grid.tiles]
        self.column = max(width for width, _ in sides)
        self.row = max(height for _, height in sides)
        widest = max(lettering.ems(row.label) for section in grid.sections for row in section.rows)
        self.head = math.ceil(min(_HEAD_EMS, widest) * self.font) + self.gap if widest else 0
        self.margin = _MARGIN if paper else 2 * self.gap
        self.width = 2 * self.margin + self.head + per_row * (self.column + self.gap) - self.gap
        self._pages: list[Page] = []
        self._top = 0

    @property
    def fits(self) -> bool:
        """Whether a page is wide enough for the columns, and high enough for one row with all its labels."""
        if self.paper is None:
            return True
        lines = 2 + 2 * _LINES  # title, heading, heads, captions
        height = 2 * self.margin + self.row + (lines + 2) * self.line
        return self.width <= self.paper[0] and height <= self.paper[1]

    def layout(self) -> Layout:
        """Return the pages."""
        self._pages, self._top = [], 0
        for section in self.grid.sections:
            for columns, rows in self._blocks(section):
                self._section(section.heading, columns, rows)
        pages = self._pages
        if self.paper is None:
            pages = [Page(self.width, self._top - self.line + self.margin, it.texts, it.pictures) for it in pages]
        elif len(pages) > 1:
            for number, page in enumerate(pages, start=1):
                text = f"{number} / {len(pages)}"
                left = page.width - self.margin - self.lettering.ems(text) * self.font
                page.texts.append(Text(left, self.margin, text, is_quiet=True))
        return Layout(pages, self.font, self.tile)

    def _blocks(self, section: Section) -> Iterator[tuple[Sequence[str], Sequence[Row]]]:
        """Yield the columns that stand beside each other, with their rows. A flow breaks into rows instead."""
        count, per_row = len(section.rows[0].tiles), self.per_row
        if section.is_flow:
            free = (self.paper[0] if self.paper else self.width) - 2 * self.margin + self.gap
            per_row = free // (self.column + self.gap)
        parts = [slice(start, start + per_row) for start in range(0, count, per_row)]
        if section.is_flow:
            yield (), [Row("", section.rows[0].tiles[part]) for part in parts]
            return
        for part in parts:
            rows = [Row(row.label, row.tiles[part]) for row in section.rows]
            yield section.columns[part], [row for row in rows if any(row.tiles)]

    def _section(self, heading: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        heads = [self._lines(text, self.column) for text in columns]
        above = (1.5 * bool(heading) + max(map(len, heads), default=0)) * self.line
        for number, row in enumerate(rows):
            height = self._height(row)
            is_first = number == 0
            if not self._pages or not self._has_room(height + above * is_first):
                self._new_page()
                is_first = True
            if is_first:
                self._heads(heading, heads)
            self._row(row)
            self._top += height
        self._top += self.line

    def _has_room(self, height: float) -> bool:
        return self.paper is None or self._top + height <= self.paper[1] - self.margin

    def _new_page(self) -> None:
        width, height = self.paper or (self.width, 0)
        self._pages.append(Page(width, height))
        self._top = self.margin
        self._say(self.margin, self._top, self._lines(self.grid.title, 0.8 * (width - 2 * self.margin))[:1])
        self._top += 2 * self.line

    def _heads(self, heading: str, heads: Sequence[Sequence[str]]) -> None:
        page = self._pages[-1]
        if heading:
            self._say(self.margin, self._top, self._lines(heading, page.width - 2 * self.margin))
            self._top += round(1.5 * self.line)
        most = max(map(len, heads), default=0)
        for at, lines in enumerate(heads):  # the last lines stand beside each other, next to the pictures
            self._say(self._left(at), self._top + (most - len(lines)) * self.line, lines, is_quiet=True)
        self._top += most * self.line

    def _row(self, row: Row) -> None:
        page, height = self._pages[-1], self._picture_height(row)
        if row.label:
            self._say(self.margin, self._top, self._lines(row.label, self.head - self.gap), is_quiet=True)
        for at, tile in enumerate(row.tiles):
            if not tile:
                continue
            width, tall = _fit(tile.size, self.tile)
            left = self._left(at, has_head=bool(row.label))
            page.pictures.append(Picture(tile, (left, self._top, width, tall)))
            self._say(left, self._top + height + self.font // 6, self._captions(tile), is_quiet=True)

    def _left(self, column: int, *, has_head: bool = True) -> int:
        return self.margin + self.head * has_head + column * (self.column + self.gap)

    def _height(self, row: Row) -> int:
        """Return the height of a row with its captions and the gap below it, in pixels."""
        lines = max(len(self._captions(tile)) for tile in row.tiles if tile)
        below = len(self._lines(row.label, self.head - self.gap)) * self.line if row.label else 0
        return max(self._picture_height(row) + lines * self.line, below) + self.gap

    def _picture_height(self, row: Row) -> int:
        return max(_fit(tile.size, self.tile)[1] for tile in row.tiles if tile)

    def _captions(self, tile: Tile) -> list[str]:
        """Return the lines below a picture. In a blank place, the note stands inside."""
        texts = [tile.caption, tile.note if tile.image else ""]
        return [line for text in texts for line in self._lines(text, self.column)]

    def _lines(self, text: str, width: float) -> list[str]:
        return self.lettering.lines(text, width / self.font, _LINES)

    def _say(self, left: float, top: float, lines: Sequence[str], *, is_quiet: bool = False) -> None:
        texts = [Text(left, top + number * self.line, line, is_quiet) for number, line in enumerate(lines)]
        self._pages[-1].texts.extend(texts)


def _columns(grid: Grid) -> tuple[int, int]:
    """Return the most columns of a section, and the most tiles of a flow."""
    columns = max(len(section.columns) for section in grid.sections)
    return columns, max((len(it.rows[0].tiles) for it in grid.sections if it.is_flow), default=0)


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the width and height of a picture whose longer side is `side`, in pixels."""
    width, height = size
    longer = max(width, height)
    return max(1, round(width * side / longer)), max(1, round(height * side / longer))
