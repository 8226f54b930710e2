"""Sets texts in stacks: rows of text one below the other, all as large as their space allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from .fonts import BLACK, BOLD, REGULAR
from .placed import LEAST_PX, Box, On, Placed
from .positions import Horizontal
from .prompt_texts import Part, Text
from .typeset import LOOSE, TIGHT, Block, fit


class _Style(NamedTuple):
    """How a part is set: largest font size as a share of the unit, weight, line height in ems, most lines."""

    share: float
    weight: int
    leading: float
    lines: int


_QUOTED = {
    Part.HEADLINE: _Style(0.125, BLACK, TIGHT, 4),
    Part.SUBTITLE: _Style(0.054, BOLD, 1.2, 3),
    Part.BODY: _Style(0.036, REGULAR, LOOSE, 6),
    Part.FOOTER: _Style(0.034, REGULAR, LOOSE, 4),
    Part.BUBBLE: _Style(0.036, BOLD, 1.25, 5),
    Part.BADGE: _Style(0.044, BOLD, 1.15, 4),
}
_OWN_WORDS = _QUOTED | {Part.HEADLINE: _Style(0.094, BOLD, 1.16, 4), Part.BODY: _Style(0.03, REGULAR, 1.45, 12)}
_SCALES = (1.0, 0.86, 0.74, 0.63, 0.54, 0.46, 0.39, 0.33, 0.28, 0.24, 0.2)
_SIDES = {Horizontal.LEFT: 0, Horizontal.CENTRE: 1, Horizontal.RIGHT: 2}


class Cell(NamedTuple):
    """A text in its place of a row: its left edge from that of the row, and its width, in pixels."""

    text: Text
    block: Block
    x: int
    width: int


class Row(NamedTuple):
    """Texts side by side; `gap` is the space above them in pixels."""

    cells: tuple[Cell, ...]
    gap: int

    @property
    def height(self) -> int:
        """The height of the row's highest text, in pixels."""
        return max(cell.block.height for cell in self.cells)


Stack = list[Row]  # rows set one below the other


class Typesetter:
    """Sets the texts of one image and keeps what was placed."""

    def __init__(self, unit: int, *, quoted: bool) -> None:
        """`unit` is the shorter side of the image in pixels. `quoted` is False for the prompt's own words."""
        self._unit, self.quoted = unit, quoted
        self._styles = _QUOTED if quoted else _OWN_WORDS
        self.placed: list[Placed] = []

    def px(self, share: float) -> int:
        """Return a share of the shorter side of the image, in pixels."""
        return max(1, round(self._unit * share))

    def fitted(self, text: Text, width: int, height: int, scale: float) -> Block:
        """Return a text set in a box, in the style of its part."""
        style = self._styles[text.part]
        most = max(LEAST_PX, self.px(style.share * scale))
        least = max(LEAST_PX, min(most, self.px(0.018)))
        return fit(
            text.text, width, height, most_px=most, least_px=least, weight=style.weight, most_lines=style.lines,
            leading=style.leading,
        )  # fmt: skip

    def stack(self, wanted: Sequence[Text], width: int, height: int, *, larger: float = 1.0) -> Stack:
        """Set texts one below the other, all as large as the height allows.

        Texts that do not fit even at the smallest scale are left out.
        """
        rows = list(_rows(wanted))
        for scale in _SCALES:
            stack: Stack = []
            for texts in rows:
                gap = self.px(0.026 * max(scale, 0.5)) if stack else 0
                stack.append(Row(self._cells(texts, width, height, scale * larger), gap))
            if height_of(stack) <= height and all(cell.block.whole for row in stack for cell in row.cells):
                return stack
        fitting: Stack = []
        for texts, row in zip(rows, stack, strict=True):
            cells = self._cells(texts, width, height - height_of(fitting) - row.gap, scale * larger)
            if cells := tuple(cell for cell in cells if cell.block.lines):
                fitting.append(Row(cells, row.gap))
        return fitting

    def _cells(self, texts: Sequence[Text], width: int, height: int, scale: float) -> tuple[Cell, ...]:
        """Set texts side by side."""
        gap = self.px(0.03)
        each = (width - gap * (len(texts) - 1)) // len(texts)
        return tuple(
            Cell(text, self.fitted(text, each, height, scale), number * (each + gap), each)
            for number, text in enumerate(texts)
        )

    def lay(self, stack: Stack, x: int, y: int, *, align: float | None = None, on: On = On.PAPER) -> int:
        """Place a stack from (x, y) downwards. Return the row of pixels at which it ends."""
        for row in stack:
            y += row.gap
            for text, block, at, width in row.cells:
                side = _SIDES[text.spot.horizontal] / 2 if text.spot.horizontal else 0.5 if self.quoted else 0.0
                box = Box(x + at, y, width, block.height)
                self.place(text, block, box, side if align is None else align, on)
            y += row.height
        return y

    def place(self, text: Text, block: Block, box: Box, align: float, on: On) -> None:
        """Place a block that has been set."""
        self.placed.append(Placed(text.part, block, box, align, on, text.colour))


def height_of(stack: Stack) -> int:
    """Return the height of a stack in pixels."""
    return sum(row.gap + row.height for row in stack)


def _rows(texts: Sequence[Text]) -> Iterable[list[Text]]:
    """Yield the texts that share a row: those that follow each other from left to right."""
    row = list(texts[:1])
    for one, other in pairwise(texts):
        sides = one.spot.horizontal, other.spot.horizontal
        if sides[0] and sides[1] and _SIDES[sides[0]] < _SIDES[sides[1]]:
            row.append(other)
        else:
            yield row
            row = [other]
    if row:
        yield row
