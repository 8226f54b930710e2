"""Draws a draft: the abstract picture, the furniture on it, and the texts of a layout.

Shapes are drawn at twice their size and reduced, which smooths their edges. The image is then
reduced to 256 colours: its flat colours and blends between them. Nobody sees a difference, and the
PNG is encoded five times as fast.
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
from .layout import layout
from .motifs import MOTIFS
from .oklch import WHITE, Colour, contrast, readable
from .palette import Palette, palette
from .placed import Layout, On
from .scenes import SCENES
from .workers import Draft

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_MARK = "DRAFT"
_MARK_OPACITY, _SHADE_OPACITY = 0.48, 0.17  # of the letters, and of their shadow (for light grounds)
_MARK_TURN = 18  # degrees
_FINE = 2  # shapes are drawn at this many times their size
_COLOURS = 256  # of a PNG palette


def draft(request: Request) -> Draft:
    """Return the draft of a request."""
    out, plan = io.BytesIO(), layout(request)
    # Level 1: drafts are flat. Higher levels take three times as long and save a tenth of the bytes.
    _image(request, plan).save(out, "PNG", compress_level=1)
    return Draft(out.getvalue(), plan.missing)


def image(request: Request) -> Image:
    """Return the draft of a request as an image of mode P, exactly of the request's size."""
    return _image(request, layout(request))


def _image(request: Request, plan: Layout) -> Image:
    from PIL import Image, ImageDraw

    colours = palette(request.prompt, request.seed, request.negative_prompt)
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
        On.PANEL: colours.paper,
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
    # Only the first words and the seed choose the scene, so edits of colours and texts keep it.
    opening = " ".join(request.prompt.split()[:3])[:24]
    chosen = int(sha256(f"{request.seed} {opening}".encode("utf-8", "replace"))[:4], 16)
    chance = bytes.fromhex(sha256(f"{request.seed} {request.prompt}".encode("utf-8", "replace")))
    caption = plan.caption.height * _FINE if plan.caption else 0
    draws = MOTIFS.get(plan.kind) or SCENES[chosen % len(SCENES)]
    # A motif stands in the middle of what the caption leaves; a scene goes on below the caption.
    draws(draw, art.width, art.height - (caption if plan.kind in MOTIFS else 0), colours, chance)
    if caption:
        draw.rectangle((0, art.height - caption, *art.size), fill=colours.light)
    _round_corners(draw, *art.size, round(plan.unit * _FINE * 0.02), colours.paper)
    return art.reduce(_FINE)


def _furnish(canvas: Image, plan: Layout, colours: Palette) -> None:
    """Draw the badge and the speech bubble, without their texts."""
    if plan.badge:
        x, y, side, _ = plan.badge
        ring = max(1, round(plan.unit * 0.005))
        for inset, colour in ((0, colours.paper), (ring, colours.pop)):
            size = (side - 2 * inset) * _FINE
            _cut_out(
                canvas, x + inset, y + inset, size, size, colour, lambda mask, w, h: mask.ellipse((0, 0, w, h), 255)
            )
    if plan.panel:
        radius = round(plan.unit * 0.02) * _FINE
        x, y, width, height = plan.panel
        _cut_out(
            canvas, x, y, width * _FINE, height * _FINE, colours.paper,
            lambda mask, w, h: mask.rounded_rectangle((0, 0, w, h), radius, 255),
        )  # fmt: skip
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
    """Paste a shape of the colour `fill` at (x, y).

    `width` and `height` are those of a mask at `_FINE` times the size. `paint` draws the shape on the
    mask in white; it gets the mask's last column and last row.
    """
    from PIL import Image, ImageDraw

    mask = Image.new("L", (width, height), 0)
    paint(ImageDraw.Draw(mask), width - 1, height - 1)
    canvas.paste(fill, (x, y), mask.reduce(_FINE))


def _mark(canvas: Image, plan: Layout, shade: Colour) -> None:
    """Write DRAFT across the picture, half transparent, with a shadow in the colour `shade`."""
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
    """Return the canvas in mode P, with at most 256 colours.

    `texts` are pairs of text colour and ground colour. Flat colours stay exact; edges between them
    and edges of letters keep some steps of blending.
    """
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
