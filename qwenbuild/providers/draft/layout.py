"""The layout of a draft: where strips, picture and texts go, before anything is drawn.

Invariants:
- Every text lies inside the canvas and inside its ground (`On`), and overlaps no other text.
- Texts keep their reading order.
- The layout depends only on the request.
- A text that does not fit at `LEAST_PX` is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from qwenbuild.request import Request, Size

from .fonts import BLACK, BOLD, REGULAR
from .palette import Colour
from .prompt_texts import Part, Text, picture_description, texts
from .typeset import LOOSE, TIGHT, Block, fit, fit_ends

LEAST_PX = 7
"""The smallest font size in pixels; smaller text can't be read."""

_LEAST_UNIT = 240  # pixels of the shorter side; a smaller draft has no strips, caption, badge or bubble

_MARK = "D R A F T"
WATERMARK = "Qwen-Image"


class On(StrEnum):
    """The ground that a text stands on."""

    PAPER = "paper"
    STRIP = "strip"
    BUBBLE = "bubble"
    BADGE = "badge"
    CAPTION = "caption"


class Box(NamedTuple):
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Placed:
    """A block of text in its box.

    `what` is a `Part` of the prompt's texts, or one of mark, facts, label, watermark, scene. `align` is
    0 for left, 0.5 for centred, 1 for right. `colour` is the colour that the prompt asks for.
    """

    what: str
    block: Block
    box: Box
    align: float
    on: On = On.PAPER
    colour: Colour | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    `strip_px` is the height of the strips at the top and the bottom; 0 means that there are none.
    Bubble, badge and caption lie inside the picture.
    """

    size: Size
    strip_px: int
    picture: Box
    placed: tuple[Placed, ...] = field(repr=False)
    bubble: Box | None = None
    badge: Box | None = None
    caption: Box | None = None

    @property
    def unit(self) -> int:
        """The shorter side in pixels. All other measures are shares of it."""
        return min(self.size)


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
_Stack = list[tuple[Text, Block, int]]  # texts set one below the other, each with the gap above it in pixels

_SCALES = (1.0, 0.86, 0.74, 0.63, 0.54, 0.46, 0.39, 0.33, 0.28, 0.24, 0.2)


def layout(request: Request) -> Layout:
    """Return the layout of the draft of a request."""
    width, height = request.size
    unit = min(width, height)
    strip = max(16, round(unit * 0.038)) if unit >= _LEAST_UNIT else 0
    margin = max(2, round(unit * 0.062))
    content = Box(margin, strip + margin, width - 2 * margin, height - 2 * (strip + margin))
    wanted = texts(request.prompt)
    typesetter = _Typesetter(unit, wanted)
    picture = typesetter.beside(content) if width >= height * 1.2 else typesetter.above(content)
    if unit < _LEAST_UNIT:
        return Layout(request.size, strip, picture, tuple(typesetter.placed))
    caption = typesetter.caption(picture, picture_description(request.prompt) if typesetter.quoted else "")
    badge = typesetter.badge(picture, caption)
    bubble = typesetter.bubble(picture, caption, badge)
    return Layout(request.size, strip, picture, (*_strips(request, strip), *typesetter.placed), bubble, badge, caption)


def _strips(request: Request, strip: int) -> Iterable[Placed]:
    """Yield the texts of the strips: DRAFT, model, size and seed at the top; the cell's name at the bottom."""
    if not strip:
        return
    px = round(strip * 0.54)
    pad = round(strip * 0.75)
    inner = request.size.width - 2 * pad

    def line(what: str, block: Block, y: int, x: int, align: float) -> Placed:
        box = Box(x, y + (strip - block.height) // 2, block.width, block.height)
        return Placed(what, block, box, align, On.STRIP)

    mark = fit_ends(_MARK, inner, px=px, weight=BLACK)
    yield line("mark", mark, 0, pad, 0)
    facts = f"{request.model} · {request.size} · seed {request.seed}"
    block = fit_ends(facts, inner - mark.width - 2 * pad, px=px, weight=REGULAR)
    yield line("facts", block, 0, pad + inner - block.width, 1)
    below, room = request.size.height - strip, inner
    if request.watermark:
        block = fit_ends(WATERMARK, inner, px=px, weight=BOLD)
        yield line("watermark", block, below, pad + inner - block.width, 1)
        room -= block.width + 2 * pad
    yield line("label", fit_ends(request.label, room, px=px, weight=REGULAR), below, pad, 0)


class _Typesetter:
    """Places the texts of a prompt and leaves the rest of the space for the picture."""

    def __init__(self, unit: int, wanted: Sequence[Text]) -> None:
        self._unit = unit
        self.quoted = bool(wanted) and wanted[0].quoted
        self._styles = _QUOTED if self.quoted else _OWN_WORDS
        by_part = {part: [text for text in wanted if text.part is part] for part in Part}
        # A picture has room for one bubble and one badge. Further ones are set as body text.
        spare = {id(text) for part in (Part.BUBBLE, Part.BADGE) for text in by_part[part][1:]}
        body = [replace(text, part=Part.BODY) for text in wanted if text.part is Part.BODY or id(text) in spare]
        self._top = [*by_part[Part.HEADLINE], *by_part[Part.SUBTITLE]]
        self._body, self._footer = body, by_part[Part.FOOTER]
        self._bubble, self._badge = by_part[Part.BUBBLE][:1], by_part[Part.BADGE][:1]
        self.placed: list[Placed] = []

    def above(self, content: Box) -> Box:
        """Place the texts of a square or tall draft above and below the picture. Return the picture's box."""
        align = 0.5 if self.quoted else 0.0
        gap = self._px(0.03)
        longest = 0.42 if len(self._top) > 1 else 0.34
        top = self._stack(self._top, content.width, round(content.height * longest))
        below = [*self._body, *self._footer]
        bottom = self._stack(below, content.width, round(content.height * (0.3 if len(below) < 6 else 0.38)))
        y = self._lay(top, content.x, content.y, content.width, align)
        y += gap if top else 0
        end = content.bottom - _height(bottom)
        self._lay(bottom, content.x, end, content.width, align)
        end -= gap if bottom else 0
        return Box(content.x, y, content.width, end - y)

    def beside(self, content: Box) -> Box:
        """Place the texts of a wide draft in a column left of the picture. Return the picture's box."""
        column = round(content.width * 0.46)
        gap = self._px(0.05)
        bottom = self._stack(self._footer, column, round(content.height * 0.25))
        room = content.height - (_height(bottom) + gap if bottom else 0)
        top = self._stack([*self._top, *self._body], column, round(room * 0.94), larger=1.2)
        # 0.4 instead of 0.5: the optical centre is above the middle.
        self._lay(top, content.x, content.y + round((room - _height(top)) * 0.4), column, 0)
        self._lay(bottom, content.x, content.bottom - _height(bottom), column, 0)
        x = content.x + column + gap
        return Box(x, content.y, content.right - x, content.height)

    def caption(self, picture: Box, text: str) -> Box | None:
        """Place the picture's description along its lower edge. Return the caption's box, None if it does not fit."""
        pad = self._px(0.018)
        most = max(LEAST_PX, self._px(0.0235))
        room = Box(0, 0, picture.width - 4 * pad, round(picture.height * 0.26) - 2 * pad)
        block = fit(
            text, room.width, room.height, most_px=most, least_px=most, weight=REGULAR, most_lines=2, leading=LOOSE
        )
        if not block.lines:
            return None
        height = block.height + 2 * pad
        box = Box(picture.x, picture.bottom - height, picture.width, height)
        place = Box(box.x + 2 * pad, box.y + pad, room.width, block.height)
        self.placed.append(Placed("scene", block, place, 0, On.CAPTION))
        return box

    def badge(self, picture: Box, caption: Box | None) -> Box | None:
        """Place a badge at the lower right of the picture. Return its box, a square, or None."""
        for text in self._badge:
            pad = self._px(0.03)
            bottom = caption.y if caption else picture.bottom
            side = round(min(picture.width * 0.34, (bottom - picture.y) * 0.42, self._unit * 0.24))
            room = Box(0, 0, round(side * 0.76), round(side * 0.58))
            block = self._fitted(text, room.width, room.height, 1.0)
            if block.lines:
                box = Box(picture.right - side - pad, bottom - side - pad, side, side)
                x, y = box.x + (side - room.width) // 2, box.y + (side - block.height) // 2
                self._place(text, block, Box(x, y, room.width, block.height), 0.5, On.BADGE)
                return box
        return None

    def bubble(self, picture: Box, caption: Box | None, badge: Box | None) -> Box | None:
        """Place a speech bubble at the upper left of the picture. Return its box without the tail, or None."""
        for text in self._bubble:
            outside, inside = self._px(0.035), self._px(0.026)
            lowest = badge.y if badge else caption.y if caption else picture.bottom
            width = min(picture.width - 2 * outside, max(round(picture.width * 0.6), self._px(0.42)))
            height = round((lowest - picture.y) * 0.6) - outside
            block = self._fitted(text, width - 2 * inside, height - 2 * inside, 1.0)
            if block.lines:
                box = Box(picture.x + outside, picture.y + outside, block.width + 2 * inside, block.height + 2 * inside)
                place = Box(box.x + inside, box.y + inside, block.width, block.height)
                self._place(text, block, place, 0.5, On.BUBBLE)
                return box
        return None

    def _px(self, share: float) -> int:
        return max(1, round(self._unit * share))

    def _fitted(self, text: Text, width: int, height: int, scale: float) -> Block:
        style = self._styles[text.part]
        most = max(LEAST_PX, self._px(style.share * scale))
        least = max(LEAST_PX, min(most, self._px(0.018)))
        return fit(
            text.text, width, height, most_px=most, least_px=least, weight=style.weight, most_lines=style.lines,
            leading=style.leading,
        )  # fmt: skip

    def _stack(self, wanted: Sequence[Text], width: int, height: int, *, larger: float = 1.0) -> _Stack:
        """Set texts one below the other, all as large as the height allows.

        Texts that do not fit even at the smallest scale are left out.
        """
        for scale in _SCALES:
            stack: _Stack = []
            for text in wanted:
                block = self._fitted(text, width, height, scale * larger)
                stack.append((text, block, self._px(0.026 * max(scale, 0.5)) if stack else 0))
            if _height(stack) <= height and all(block.whole for _, block, _ in stack):
                return stack
        fitting: _Stack = []
        for text, _, gap in stack:
            block = self._fitted(text, width, height - _height(fitting) - gap, scale * larger)
            if block.lines:
                fitting.append((text, block, gap))
        return fitting

    def _lay(self, stack: _Stack, x: int, y: int, width: int, align: float) -> int:
        """Place a stack from (x, y) downwards. Return the row at which it ends."""
        for text, block, gap in stack:
            self._place(text, block, Box(x, y + gap, width, block.height), align, On.PAPER)
            y += gap + block.height
        return y

    def _place(self, text: Text, block: Block, box: Box, align: float, on: On) -> None:
        self.placed.append(Placed(text.part, block, box, align, on, text.colour))


def _height(stack: _Stack) -> int:
    return sum(gap + block.height for _, block, gap in stack)
