"""Drawing a draft: the abstract picture, what lies on it, and the texts of a layout.

Shapes are drawn at twice their size for smooth edges. The image is reduced to a palette of the
colours that it is made of and the blends between them, which no eye tells from all its colours and
which is encoded five times as fast.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import combinations
from typing import TYPE_CHECKING

from qwenbuild.digest import sha256
from qwenbuild.request import Request

from . import typeset
from .fonts import BLACK, Typeface
from .layout import Layout, On, layout
from .palette import WHITE, Colour, Palette, contrast, palette, readable

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_MARK = "DRAFT"
_MARK_OPACITY, _SHADE_OPACITY = 0.48, 0.17  # of the letters, and of their shadow, which light grounds need
_MARK_TURN = 18  # degrees
_FINE = 2  # times the size at which shapes are drawn
_COLOURS = 256  # of a PNG palette


def png(request: Request) -> bytes:
    """Return the draft of a request as PNG, exactly of its size."""
    out = io.BytesIO()
    # Level 1: drafts are flat, higher levels cost three times as long for a tenth less.
    image(request).save(out, "PNG", compress_level=1)
    return out.getvalue()


def image(request: Request) -> Image:
    """Return the draft of a request, of exactly its size, in mode P."""
    from PIL import Image, ImageDraw

    plan, colours = layout(request), palette(request.prompt, request.seed)
    canvas = Image.new("RGB", request.size, colours.paper)
    if min(plan.picture[2:]) > 0:
        canvas.paste(_picture(request, plan, colours), plan.picture[:2])
        _mark(canvas, plan, colours.deep)
        _furnish(canvas, plan, colours)
    draw = ImageDraw.Draw(canvas)
    if plan.strip_px:
        width, height = request.size
        for y in (0, height - plan.strip_px):
            draw.rectangle((0, y, width - 1, y + plan.strip_px - 1), fill=colours.ink)
    grounds = {
        On.PAPER: colours.paper,
        On.STRIP: colours.ink,
        On.BUBBLE: WHITE,
        On.BADGE: colours.pop,
        On.CAPTION: colours.light,
    }
    texts = set()
    for item in plan.placed:
        ground = grounds[item.on]
        fill = readable(item.colour or max(colours.ink, colours.paper, key=partial(contrast, ground)), ground)
        typeset.draw(draw, item.block, item.box.x, item.box.y, item.box.width, align=item.align, fill=fill)
        texts.add((min(fill, ground), max(fill, ground)))
    return _indexed(canvas, colours, sorted(texts))


def _picture(request: Request, plan: Layout, colours: Palette) -> Image:
    from PIL import Image, ImageDraw

    box = plan.picture
    art = Image.new("RGB", (box.width * _FINE, box.height * _FINE), colours.ground)
    draw = ImageDraw.Draw(art)
    # The opening words and the seed choose the scene, so that it stays while colours and texts are edited.
    opening = " ".join(request.prompt.split()[:3])[:24]
    chosen = int(sha256(f"{request.seed} {opening}".encode("utf-8", "replace"))[:4], 16)
    chance = bytes.fromhex(sha256(f"{request.seed} {request.prompt}".encode("utf-8", "replace")))
    _SCENES[chosen % len(_SCENES)](draw, *art.size, colours, chance)

    if plan.caption:
        draw.rectangle((0, art.height - plan.caption.height * _FINE, *art.size), fill=colours.light)
    _round_corners(draw, *art.size, round(plan.unit * _FINE * 0.02), colours.paper)
    return art.reduce(_FINE)


def _furnish(canvas: Image, plan: Layout, colours: Palette) -> None:
    """Draw what texts of the picture stand on: the badge and the speech bubble."""
    if plan.badge:
        x, y, side, _ = plan.badge
        ring = max(1, round(plan.unit * 0.005))
        for inset, colour in ((0, colours.paper), (ring, colours.pop)):
            size = (side - 2 * inset) * _FINE
            _cut_out(
                canvas, x + inset, y + inset, size, size, colour, lambda mask, w, h: mask.ellipse((0, 0, w, h), 255)
            )
    if plan.bubble:
        tail = round(min(plan.unit * 0.034, plan.bubble.width / 4)) * _FINE
        radius = round(min(plan.unit * 0.03, plan.bubble.height / 2)) * _FINE

        def bubble(mask: ImageDraw, width: int, height: int) -> None:
            bottom = height - tail
            mask.rounded_rectangle((0, 0, width, bottom), radius, 255)
            mask.polygon(((tail, bottom - 1), (2 * tail, bottom - 1), (tail, height)), 255)

        x, y, width, height = plan.bubble
        _cut_out(canvas, x, y, width * _FINE, height * _FINE + tail, WHITE, bubble)


def _cut_out(
    canvas: Image, x: int, y: int, width: int, height: int, fill: Colour, paint: Callable[[ImageDraw, int, int], None]
) -> None:
    """Paste a shape of `fill` at (x, y); `paint` draws it as white of a fine mask, given its last column and row."""
    from PIL import Image, ImageDraw

    mask = Image.new("L", (width, height), 0)
    paint(ImageDraw.Draw(mask), width - 1, height - 1)
    canvas.paste(fill, (x, y), mask.reduce(_FINE))


def _mark(canvas: Image, plan: Layout, shade: Colour) -> None:
    """Write DRAFT across the picture, plain to see, and the picture plain to see through it."""
    box = plan.picture
    bottom = plan.caption.y if plan.caption else box.bottom
    below = plan.bubble.bottom if plan.bubble else box.y
    top = below if bottom - below > (bottom - box.y) * 0.5 else box.y
    face = Typeface.of(_MARK, BLACK)
    px = round(min((bottom - top) * 0.45, box.width * 0.8 / face.ems(_MARK)))
    if px < 6:
        return
    drop = max(1, px // 40)
    for colour, opacity, shift in ((shade, _SHADE_OPACITY, drop), (WHITE, _MARK_OPACITY, 0)):
        mask = _mark_mask(px, opacity)
        x = box.x + (box.width - mask.width) // 2 + shift
        y = top + (bottom - top - mask.height) // 2 + shift
        canvas.paste(colour, (x, y, x + mask.width, y + mask.height), mask)


@lru_cache(maxsize=16)
def _mark_mask(px: int, opacity: float) -> Image:
    from PIL import Image, ImageDraw

    face = Typeface.of(_MARK, BLACK)
    mask = Image.new("L", (face.width_px(_MARK, px), round(px * 0.78)), 0)
    face.draw(ImageDraw.Draw(mask), _MARK, px, 0, round(px * 0.76), round(255 * opacity))
    return mask.rotate(_MARK_TURN, Image.Resampling.BICUBIC, expand=True)


def _round_corners(draw: ImageDraw, width: int, height: int, radius: int, paper: Colour) -> None:
    radius = min(radius, width // 2, height // 2)
    for corner_x, corner_y, start in ((0, 0, 180), (width, 0, 270), (width, height, 0), (0, height, 90)):
        x, y = abs(corner_x - radius), abs(corner_y - radius)
        angles = [math.radians(start + step * 7.5) for step in range(13)]
        arc = [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
        draw.polygon([(corner_x, corner_y), *arc], fill=paper)


def _indexed(canvas: Image, colours: Palette, texts: Iterable[tuple[Colour, Colour]]) -> Image:
    """Return the canvas in mode P: its flat colours exactly, the edges between them in some steps."""
    from PIL import Image

    flat = list(dict.fromkeys([*_flat(colours), WHITE]))
    marked = [colour.mixed(WHITE, _MARK_OPACITY) for colour in flat]
    edges = [one.mixed(other, share) for one, other in combinations(flat, 2) for share in (0.25, 0.5, 0.75)]
    pairs = list(texts)
    base = list(dict.fromkeys([*(colour for pair in pairs for colour in pair), *flat, *marked]))
    steps = max(2, min(16, (_COLOURS - len(base) - len(edges)) // max(1, len(pairs))))
    blends = [one.mixed(other, step / steps) for one, other in pairs for step in range(1, steps)]
    entries = list(dict.fromkeys([*base, *blends, *edges]))[:_COLOURS]
    table = Image.new("P", (1, 1))
    table.putpalette([part for entry in entries for part in entry])
    return canvas.quantize(palette=table, dither=Image.Dither.NONE)


def _flat(colours: Palette) -> tuple[Colour, ...]:
    return (
        colours.paper, colours.ink, colours.ground, colours.light, colours.main, colours.deep, colours.second,
        colours.third, colours.pop,
    )  # fmt: skip


# --- scenes: each fills a picture of width x height with flat shapes; `chance` is 32 bytes that vary it ---


def _hills(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """A sun over hills."""
    radius = min(width, height) * (0.15 + chance[1] / 255 * 0.07)
    x, y = width * (0.56 + chance[2] / 255 * 0.24), height * (0.3 + chance[3] / 255 * 0.1)
    _disc(draw, x, y, radius, colours.pop)
    for layer, colour in enumerate((colours.third, colours.second, colours.main, colours.deep)):
        base = height * (0.5 + 0.13 * layer)
        phase, waves = chance[4 + layer] / 255 * math.tau, 0.7 + chance[8 + layer] / 255 * 0.7
        swing = min(height * 0.06, width * 0.08)
        crest = [(width * at / 64, base + math.sin(phase + waves * math.tau * at / 64) * swing) for at in range(65)]
        draw.polygon([(0, height), *crest, (width, height)], fill=colour)


def _tiles(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """A grid of quarter discs, discs, half discs and triangles."""
    side = min(width, height) / (3 if chance[0] % 2 else 2.5)
    columns, rows = max(1, round(width / side)), max(1, round(height / side))
    wide, high = width / columns, height / rows
    fills = (colours.main, colours.second, colours.third, colours.pop, colours.deep, colours.light, colours.ground)
    for number in range(columns * rows):
        x, y = number % columns * wide, number // columns * high
        kind, under, over = (chance[(number * step + step) % 32] for step in (3, 5, 7))
        below = fills[(under + number) % len(fills)]
        above = fills[(under + number + 1 + over % (len(fills) - 1)) % len(fills)]
        draw.rectangle((x, y, x + wide, y + high), fill=below)
        corner_x, corner_y = x + wide * (over % 2), y + high * (over // 2 % 2)
        if kind % 5 < 2:
            start = {(0, 0): 0, (1, 0): 90, (1, 1): 180, (0, 1): 270}[over % 2, over // 2 % 2]
            box = (corner_x - wide, corner_y - high, corner_x + wide, corner_y + high)
            draw.pieslice(box, start, start + 90, fill=above)
        elif kind % 5 == 2:
            _disc(draw, x + wide / 2, y + high / 2, min(wide, high) * 0.36, above)
        elif kind % 5 == 3:
            draw.pieslice((x, y + high / 2, x + wide, y + high * 1.5), 180, 360, fill=above)
        else:
            draw.polygon(((x, y + high), (x + wide, y + high), (corner_x, y)), fill=above)


def _arches(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Sets of concentric arches, one beside the other."""
    sets = max(1, round(width / height * (1.6 if chance[1] % 2 else 1.2)))
    orders = (
        (colours.main, colours.light, colours.second, colours.pop),
        (colours.deep, colours.third, colours.main, colours.light),
        (colours.second, colours.pop, colours.third, colours.deep),
    )
    room = width / sets
    for number in range(sets):
        centre, outer = room * (number + 0.5), min(room * 0.5, height * 0.5)
        middle = height * (0.42 + chance[2 + number % 24] / 255 * 0.2) + outer * 0.2
        for ring, colour in enumerate(orders[(number + chance[0]) % 3]):
            radius = outer * (1 - ring * 0.245)
            draw.pieslice((centre - radius, middle - radius, centre + radius, middle + radius), 180, 360, fill=colour)
            draw.rectangle((centre - radius, middle, centre + radius, height), fill=colour)


def _rays(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Rays from a low centre, and a ringed disc in front of them."""
    x, y = width * (0.38 + chance[1] / 255 * 0.24), height * (0.62 + chance[2] / 255 * 0.14)
    reach, rays = math.hypot(width, height), 24
    turn = chance[3] / 255 * math.tau / rays
    for number in range(0, rays, 2):
        colour = (colours.light, colours.third, colours.light, colours.main)[number // 2 % 4]
        angles = [turn + math.tau * edge / rays for edge in (number, number + 1)]
        draw.polygon([(x, y), *((x + reach * math.cos(a), y + reach * math.sin(a)) for a in angles)], fill=colour)
    for share, colour in ((0.25, colours.deep), (0.21, colours.second), (0.13, colours.pop)):
        _disc(draw, x, y, min(width, height) * share, colour)


def _orbits(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Rings around a point near a corner, small discs on them."""
    x, y = width * (0.15 + 0.7 * (chance[1] % 2)), height * (0.72 + chance[2] / 255 * 0.16)
    rings = (colours.light, colours.third, colours.second, colours.main, colours.deep, colours.pop)
    step = max(width, height) * 0.145
    for ring, colour in enumerate(rings):
        _disc(draw, x, y, step * (len(rings) - ring - 0.35), colour)
    for ring in range(1, len(rings)):
        angle = math.pi * (1.15 + 0.7 * chance[4 + ring] / 255)
        distance = step * (len(rings) - ring - 0.35)
        at_x, at_y = x + distance * math.cos(angle), y + distance * math.sin(angle)
        _disc(draw, at_x, at_y, step * (0.12 + chance[12 + ring] / 255 * 0.1), rings[ring - 3])


def _peaks(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Mountains under a moon."""
    radius = min(width, height) * 0.13
    _disc(draw, width * (0.25 + chance[1] / 255 * 0.5), height * (0.24 + chance[2] / 255 * 0.1), radius, colours.pop)
    peaks = max(2, round(width / height * 2))
    for layer, (shade, side) in enumerate(
        ((colours.third, colours.light), (colours.second, colours.third), (colours.deep, colours.main))
    ):
        for number in range(-1, peaks + 1):
            random = chance[(layer * 7 + number * 3 + 5) % 32] / 255
            x = width * (number + 0.5 + (layer % 2) * 0.5 + (random - 0.5) * 0.5) / peaks
            top = height * (0.36 + 0.17 * layer + random * 0.12)
            half = width / peaks * (0.85 - 0.08 * layer)
            draw.polygon(((x - half, height), (x, top), (x + half, height)), fill=shade)
            draw.polygon(((x - half, height), (x, top), (x - half * 0.2, height)), fill=side)


def _disc(draw: ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


_Scene = Callable[["ImageDraw", int, int, Palette, bytes], None]
_SCENES: tuple[_Scene, ...] = (_hills, _tiles, _arches, _rays, _orbits, _peaks)
