"""The draft provider: typesets what a prompt is about, so that layout can be judged before paying.

A draft shows the prompt's quoted texts in reading order, colours that follow its colour words and
its seed, an abstract picture where the picture will be, the cell's name, and that it is a draft.
Deterministic: the same request gives the same bytes. Layout is data, made before anything is drawn.

Whatever changes the pixels of any draft must change `FAMILY`: it is part of every action key.
"""

from __future__ import annotations

import asyncio
import io
import math
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import typeset
from .digest import sha256
from .palette import WHITE, Colour, Palette, palette, readable
from .provider import Journal, Price, Rendered, Settings, reject_unknown
from .request import Request, Size
from .typeset import BOLD, REGULAR, Block
from .wording import Part, Text, texts

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FAMILY = "draft-1"


class DraftProvider:
    """Renders drafts; free, offline, several at once."""

    name = "draft"
    family = FAMILY
    labelled = True

    def __init__(self, settings: Settings) -> None:
        reject_unknown(settings.table, (), self.name)
        self.concurrency = settings.jobs or os.cpu_count() or 1
        self._pool: Executor | None = None

    def check(self, request: Request) -> str | None:
        """Return None: every request can be drafted."""
        return None

    def price(self, request: Request) -> Price | None:
        """Return None: drafts are free."""
        return None

    def shortest_s(self, requests: Sequence[Request]) -> float:
        """Return 0: no limit but the machine's."""
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Hold the threads that draw; they share fonts' files, not fonts."""
        with ThreadPoolExecutor(self.concurrency, "qwenbuild-draft") as self._pool:
            yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the draft of a request."""
        loop = asyncio.get_running_loop()
        return Rendered(await loop.run_in_executor(self._pool, png, request), verified=True)


def png(request: Request) -> bytes:
    """Return the draft of a request as PNG, exactly of its size."""
    out = io.BytesIO()
    # Level 1: drafts are flat, higher levels cost three times as long for a tenth less.
    image(request).save(out, "PNG", compress_level=1)
    return out.getvalue()


# --- layout ---


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column right of it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.y + self.height

    def shrunk(self, dx: int, dy: int) -> Box:
        """Return the box with margins taken off on each side."""
        return Box(self.x + dx, self.y + dy, max(1, self.width - 2 * dx), max(1, self.height - 2 * dy))


@dataclass(frozen=True, slots=True)
class Placed:
    """A block of text in its box; `align` 0 is left, 0.5 centred, 1 right; `on` names what it stands on."""

    part: str
    block: Block
    box: Box
    align: float
    colour: Colour | None = None
    on: str = "paper"  # paper, strip, bubble, badge


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is: the strips above and below, the picture, and the texts."""

    size: Size
    strip_px: int
    picture: Box
    placed: tuple[Placed, ...] = field(repr=False)
    bubble: Box | None = None
    badge: Box | None = None


def layout(request: Request) -> Layout:
    """Return the layout of a request's draft."""
    width, height = request.size
    unit = min(width, height)
    strip = max(8, round(unit * 0.036))
    margin = max(3, round(unit * 0.06))
    content = Box(margin, strip + margin, max(1, width - 2 * margin), max(1, height - 2 * strip - 2 * margin))
    wanted = texts(request.prompt)
    placed = list(_strips(request, strip))
    setter = _Setter(unit, wanted)
    picture = (setter.landscape if width >= height * 1.2 else setter.upright)(content)
    bubble, badge = setter.on_picture(picture)
    return Layout(request.size, strip, picture, (*placed, *setter.placed), bubble, badge)


def _strips(request: Request, strip: int) -> list[Placed]:
    """Return the small print: DRAFT and what was asked for above, the cell's name below."""
    width, height = request.size
    pad = max(3, round(strip * 0.7))
    px = max(5, round(strip * 0.52))
    inner = width - 2 * pad
    row = max(1, round(px * 1.28))
    out = []

    def add(part: str, text: str, x: int, y: int, room: int, weight: int, align: float) -> None:
        if text and room > px:
            block = typeset.fit(text, room, strip, most_px=px, least_px=px, weight=weight, most_lines=1)
            if block.lines:
                out.append(Placed(part, block, Box(x, y + (strip - row) // 2, room, row), align, on="strip"))

    mark = "D R A F T"
    mark_width = math.ceil(typeset.line_width(mark, typeset.BLACK) * px) + 1
    add("mark", mark, pad, 0, min(inner, mark_width), typeset.BLACK, 0)
    facts = f"{request.model} · {request.size} · seed {request.seed}"
    facts += "" if not request.watermark else " · Qwen-Image"
    left = pad + mark_width + 2 * pad
    add("facts", facts, left, 0, width - pad - left, REGULAR, 1)
    add("label", _shortened(request.label, inner / px), pad, height - strip, inner, REGULAR, 0)
    return out


def _shortened(text: str, width_em: float) -> str:
    """Return a name with its middle left out where it is too long: both ends tell."""
    if typeset.line_width(text, REGULAR) <= width_em:
        return text
    for keep in range(len(text) - 1, 1, -1):
        short = f"{text[: keep // 2]}...{text[len(text) - (keep - keep // 2) :]}"
        if typeset.line_width(short, REGULAR) <= width_em:
            return short
    return text[:1]


class _Setter:
    """Places texts into boxes, from the top and from the bottom, and leaves the rest for the picture."""

    def __init__(self, unit: int, wanted: Sequence[Text]) -> None:
        self._unit = unit
        self._by_part = {part: [text for text in wanted if text.part is part] for part in Part}
        self._least = max(5, round(unit * 0.017))
        self.placed: list[Placed] = []

    def _px(self, share: float) -> int:
        return max(self._least, round(self._unit * share))

    def _put(
        self, text: Text, box: Box, most: float, weight: int, align: float, lines: int, *, up: bool = False
    ) -> int:
        """Set a text into the box, at its top or at its bottom (`up`); return the height that it takes."""
        least = self._px(0.023) if text.part is Part.BODY else self._least
        block = typeset.fit(
            text.text, box.width, box.height, most_px=self._px(most), least_px=least, weight=weight, most_lines=lines
        )
        if not block.lines:
            return 0
        y = box.bottom - block.height if up else box.y
        place = Box(box.x, y, box.width, block.height)
        self.placed.append(Placed(text.part, block, place, align, text.colour))
        return block.height

    def upright(self, content: Box) -> Box:
        """Set a square or tall draft: headline and subtitle above the picture, small text below."""
        gap = round(self._unit * 0.022)
        top, bottom = content.y, content.bottom
        budget = round(content.height * (0.34 if self._by_part[Part.BODY] or self._by_part[Part.SUBTITLE] else 0.26))
        for text in self._by_part[Part.HEADLINE]:
            quoted = text.quoted
            share, weight = (0.115, typeset.BLACK) if quoted else (0.068, BOLD)
            room = Box(content.x, top, content.width, round(budget * (0.62 if quoted else 0.55)))
            top += self._put(text, room, share, weight, 0.5 if quoted else 0, 3) + gap
        for text in self._by_part[Part.SUBTITLE][:2]:
            room = Box(content.x, top, content.width, max(1, content.y + budget - top))
            top += self._put(text, room, 0.052, BOLD, 0.5, 2) + gap
        for text in self._by_part[Part.FOOTER][:2]:
            room = Box(content.x, bottom - round(content.height * 0.1), content.width, round(content.height * 0.1))
            bottom -= self._put(text, room, 0.036, REGULAR, 0.5, 3, up=True) + gap
        for text in self._by_part[Part.BODY][:3]:
            room = Box(content.x, bottom - round(content.height * 0.13), content.width, round(content.height * 0.13))
            bottom -= self._put(text, room, 0.034, REGULAR, 0.5 if text.quoted else 0, 5, up=True) + gap
        return Box(content.x, top, content.width, max(1, bottom - top))

    def landscape(self, content: Box) -> Box:
        """Set a wide draft: text in a column on the left, the picture on the right."""
        gap = round(self._unit * 0.035)
        column = Box(content.x, content.y, round(content.width * 0.47), content.height)
        bottom = column.bottom
        for text in self._by_part[Part.FOOTER][:2]:
            room = Box(column.x, bottom - round(column.height * 0.16), column.width, round(column.height * 0.16))
            bottom -= self._put(text, room, 0.036, REGULAR, 0, 3, up=True) + gap
        top = column.y + round(column.height * 0.06)
        rest = bottom - top
        for text in self._by_part[Part.HEADLINE]:
            share, weight = (0.15, typeset.BLACK) if text.quoted else (0.085, BOLD)
            top += self._put(text, Box(column.x, top, column.width, round(rest * 0.55)), share, weight, 0, 4) + gap
        for text in self._by_part[Part.SUBTITLE][:2]:
            room = Box(column.x, top, column.width, max(1, min(round(rest * 0.25), bottom - top)))
            top += self._put(text, room, 0.058, BOLD, 0, 3) + gap // 2
        for text in self._by_part[Part.BODY][:3]:
            room = Box(column.x, top, column.width, max(1, min(round(rest * 0.4), bottom - top)))
            top += self._put(text, room, 0.036, REGULAR, 0, 8) + gap // 2
        x = column.right + round(content.width * 0.045)
        return Box(x, content.y, max(1, content.right - x), content.height)

    def on_picture(self, picture: Box) -> tuple[Box | None, Box | None]:
        """Set a speech bubble and a badge onto the picture; return their boxes."""
        bubble = badge = None
        pad = round(self._unit * 0.028)
        for text in self._by_part[Part.BUBBLE][:1]:
            room = Box(0, 0, round(picture.width * 0.56) - 2 * pad, round(picture.height * 0.3) - 2 * pad)
            block = self._fitted(text, room, 0.036, 4)
            if block.lines:
                width, height = block.width + 2 * pad, block.height + 2 * pad
                bubble = Box(picture.x + pad, picture.y + pad, width, height)
                self.placed.append(Placed(text.part, block, bubble.shrunk(pad, pad), 0.5, text.colour, "bubble"))
        for text in self._by_part[Part.BADGE][:1]:
            side = round(min(picture.width, picture.height) * 0.26)
            room = Box(0, 0, round(side * 0.72), round(side * 0.6))
            block = self._fitted(text, room, 0.042, 3)
            if block.lines:
                badge = Box(picture.right - side - pad, picture.bottom - side - pad, side, side)
                x, y = badge.x + (side - room.width) // 2, badge.y + (side - block.height) // 2
                place = Box(x, y, room.width, block.height)
                self.placed.append(Placed(text.part, block, place, 0.5, text.colour, "badge"))
        return bubble, badge

    def _fitted(self, text: Text, room: Box, most: float, lines: int) -> Block:
        if room.width < 8 or room.height < 8:
            return Block((), 0, BOLD, 0, 0)
        return typeset.fit(
            text.text, room.width, room.height, most_px=self._px(most), least_px=self._least, weight=BOLD,
            most_lines=lines,
        )  # fmt: skip


# --- drawing ---


def image(request: Request) -> Image:
    """Return the draft of a request, RGB."""
    from PIL import Image, ImageDraw

    plan, colours = layout(request), palette(request.prompt, request.seed)
    width, height = request.size
    canvas = Image.new("RGB", (width, height), colours.paper)
    canvas.paste(_picture(request, plan, colours), (plan.picture.x, plan.picture.y))
    draw = ImageDraw.Draw(canvas)
    for y in (0, height - plan.strip_px):
        draw.rectangle((0, y, width, y + plan.strip_px - 1), fill=colours.ink)
    grounds = {"paper": colours.paper, "strip": colours.ink, "bubble": WHITE, "badge": colours.accents[1]}
    for item in plan.placed:
        ground = grounds[item.on]
        fill = readable(item.colour or (colours.paper if item.on == "strip" else colours.ink), ground)
        typeset.draw(draw, item.block, item.box.x, item.box.y, item.box.width, align=item.align, fill=fill)
    return canvas


def _picture(request: Request, plan: Layout, colours: Palette) -> Image:
    """Return the abstract picture with bubble and badge, drawn at twice its size for smooth edges."""
    from PIL import Image, ImageDraw

    box = plan.picture
    width, height = box.width * 2, box.height * 2
    chance = bytes.fromhex(sha256(f"{request.seed} {request.prompt}".encode()))
    ground = colours.accents[0].mixed(colours.paper, 0.35)
    art = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(art)
    _SCENES[chance[0] % len(_SCENES)](draw, width, height, colours, chance)
    _mark(art, min(width, height))
    unit = min(plan.size) * 2
    if plan.bubble:
        _bubble(draw, plan.bubble, box, unit)
    if plan.badge:
        x, y = (plan.badge.x - box.x) * 2, (plan.badge.y - box.y) * 2
        side = plan.badge.width * 2
        draw.ellipse((x, y, x + side, y + side), fill=colours.accents[1], outline=WHITE, width=max(2, side // 40))
    _round_corners(draw, width, height, round(unit * 0.022), colours.paper)
    return art.reduce(2)


def _bubble(draw: ImageDraw, bubble: Box, picture: Box, unit: int) -> None:
    x, y = (bubble.x - picture.x) * 2, (bubble.y - picture.y) * 2
    right, bottom = x + bubble.width * 2, y + bubble.height * 2
    radius = min(round(unit * 0.03), bubble.height)
    tail = min(round(unit * 0.035), bubble.width // 2)
    draw.polygon(((x + tail, bottom - 2), (x + 2 * tail, bottom - 2), (x + tail, bottom + tail)), fill=WHITE)
    draw.rounded_rectangle((x, y, right, bottom), radius=radius, fill=WHITE)


def _mark(art: Image, side: int) -> None:
    """Write DRAFT across the picture, plain to see and through which the picture shows."""
    from PIL import Image, ImageDraw

    word = "DRAFT"
    px = round(min(side * 0.3, art.width * 0.8 / typeset.line_width(word, typeset.BLACK)))
    if px < 6:
        return
    block = Block((word,), px, typeset.BLACK, round(typeset.line_width(word, typeset.BLACK) * px), round(px * 1.28))
    mask = Image.new("L", (block.width, block.height), 0)
    typeset.draw(ImageDraw.Draw(mask), block, 0, 0, block.width, align=0, fill=96)
    mask = mask.rotate(18, expand=True)
    at = ((art.width - mask.width) // 2, (art.height - mask.height) // 2)
    art.paste(WHITE, (*at, at[0] + mask.width, at[1] + mask.height), mask)


def _round_corners(draw: ImageDraw, width: int, height: int, radius: int, paper: Colour) -> None:
    radius = min(radius, width // 2, height // 2)
    if radius < 2:
        return
    for corner_x, corner_y, start in ((0, 0, 180), (width, 0, 270), (width, height, 0), (0, height, 90)):
        x = radius if corner_x == 0 else width - radius
        y = radius if corner_y == 0 else height - radius
        angles = [math.radians(start + step * 7.5) for step in range(13)]
        arc = [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
        draw.polygon([(corner_x, corner_y), *arc], fill=paper)


def _hills(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """A sun over hills."""
    radius = min(width, height) * (0.16 + chance[1] / 255 * 0.08)
    x = width * (0.58 + chance[2] / 255 * 0.22)
    y = height * (0.26 + chance[3] / 255 * 0.12)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colours.accents[1])
    for layer in range(3):
        colour = colours.accents[(2 + layer) % len(colours.accents)].mixed(colours.ink, 0.06 * layer)
        base = height * (0.56 + 0.15 * layer)
        phase, waves = chance[4 + layer] / 255 * math.tau, 1.0 + chance[7 + layer] / 255
        crest = [
            (width * step / 48, base + math.sin(phase + waves * math.tau * step / 48) * height * 0.055)
            for step in range(49)
        ]
        draw.polygon([(0, height), *crest, (width, height)], fill=colour)


def _discs(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Large discs that overlap."""
    side = min(width, height)
    for number in range(6):
        a, b, c = chance[1 + number], chance[9 + number], chance[17 + number]
        radius = side * (0.36 - number * 0.045) * (0.85 + c / 255 * 0.3)
        x = width * (0.12 + 0.76 * ((a / 255 + number * 0.37) % 1))
        y = height * (0.2 + 0.68 * ((b / 255 + number * 0.29) % 1))
        colour = colours.accents[(1 + number) % len(colours.accents)].mixed(colours.paper, 0.12 * (number % 3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _arches(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Concentric arches, two or three sets of them."""
    sets = 2 + chance[1] % 2
    for number in range(sets):
        centre = width * (number + 0.5) / sets + (chance[2 + number] / 255 - 0.5) * width * 0.1
        outer = min(width / sets * 0.62, height * (0.5 + chance[5 + number] / 255 * 0.3))
        top = height - outer * 1.25
        for ring in range(4):
            radius = outer * (1 - ring * 0.24)
            colour = colours.accents[(ring + number + 1) % len(colours.accents)].mixed(colours.paper, 0.1 * (ring % 2))
            middle = top + outer
            draw.pieslice((centre - radius, middle - radius, centre + radius, middle + radius), 180, 360, fill=colour)
            draw.rectangle((centre - radius, middle, centre + radius, height), fill=colour)


def _rays(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Rays from a low centre, and a disc in front of them."""
    x, y = width * (0.4 + chance[1] / 255 * 0.2), height * (0.72 + chance[2] / 255 * 0.1)
    reach, rays = math.hypot(width, height), 14
    turn = chance[3] / 255 * math.tau / rays
    for number in range(0, rays, 2):
        colour = colours.accents[(1 + number // 2) % len(colours.accents)].mixed(colours.paper, 0.3)
        angles = [turn + math.tau * edge / rays for edge in (number, number + 1)]
        corners = [(x + reach * math.cos(angle), y + reach * math.sin(angle)) for angle in angles]
        draw.polygon([(x, y), *corners], fill=colour)
    radius = min(width, height) * 0.24
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colours.accents[1])
    radius *= 0.72
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colours.accents[2])


_SCENES = (_hills, _discs, _arches, _rays)
