"""The abstract scenes of drafts: hills, tiles, arches, rays, orbits, peaks.

Each function fills a picture of `width` x `height` pixels with flat shapes. `chance` is 32 bytes
that vary the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .oklch import Colour
from .palette import Palette

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw


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
    """A grid of quarter discs, discs, half discs and triangles, one in each cell."""
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
    """Sets of concentric arches, side by side."""
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
    """Rings around a point near a corner, with small discs on them."""
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


Scene = Callable[["ImageDraw", int, int, Palette, bytes], None]
SCENES: tuple[Scene, ...] = (_hills, _tiles, _arches, _rays, _orbits, _peaks)
"""All scenes. Their order decides which seed gets which scene, so it is a part of every draft's pixels."""
