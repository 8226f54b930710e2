"""The motifs of drafts: an icon, a logo, a badge, a pattern, for prompts that want one of these instead of a scene.

Each function fills a picture of `width` x `height` pixels with flat shapes. `chance` is 32 bytes that vary the shapes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .oklch import Colour, contrast
from .palette import Palette
from .scenes import Scene
from .wishes import Kind

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw


def _icon(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """A tile with round corners, and a simple sign on it."""
    side = min(width, height) * 0.62
    x, y = width / 2, height / 2
    tile = _seen(colours, (colours.main, colours.deep, colours.second))
    _rounded(draw, x - side / 2, y - side / 2, side, side, side * 0.22, tile)
    sign = max((colours.light, colours.paper, colours.deep), key=lambda each: contrast(each, tile))
    small = side * 0.27
    kind = chance[0] % 4
    if kind == 0:  # a ring around a disc
        _disc(draw, x, y, small, sign)
        _disc(draw, x, y, small * 0.68, tile)
        _disc(draw, x, y, small * 0.4, colours.pop)
    elif kind == 1:  # three bars
        for number, share in enumerate((0.55, 1.0, 0.75)):
            left, bar = x - small + number * small * 0.74, small * 0.5
            fill = colours.pop if number == 1 else sign
            _rounded(draw, left, y + small - 2 * small * share, bar, 2 * small * share, bar * 0.3, fill)
    elif kind == 2:  # two sheets, one before the other
        _rounded(draw, x - small, y - small, small * 1.45, small * 1.45, small * 0.25, colours.pop)
        _rounded(draw, x - small * 0.45, y - small * 0.45, small * 1.45, small * 1.45, small * 0.25, sign)
    else:  # four petals
        for step in range(4):
            angle = math.pi / 4 + step * math.pi / 2
            fill = colours.pop if step == chance[1] % 4 else sign
            _disc(draw, x + math.cos(angle) * small * 0.66, y + math.sin(angle) * small * 0.66, small * 0.46, fill)


def _logo(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """A mark of a few shapes, alone on its ground."""
    radius = min(width, height) * 0.3
    x, y = width / 2, height / 2
    first = _seen(colours, (colours.main, colours.deep, colours.ink))
    second = _seen(colours, (colours.pop, colours.second, colours.deep))
    kind = chance[0] % 4
    if kind == 0:  # two discs that overlap
        for shift, fill in ((-0.42, first), (0.42, second)):
            _disc(draw, x + shift * radius, y, radius * 0.72, fill)
        draw.polygon(_lens(x, y, radius * 0.72, radius * 0.42), fill=colours.deep)
    elif kind == 1:  # three leaves that rise from one point
        for step, fill in ((-1, first), (1, first), (0, second)):
            angle = -math.pi / 2 + step * 0.62
            _leaf(draw, x, y + radius * 0.9, angle, radius * 1.8, radius * 0.36, fill)
    elif kind == 2:  # a cut disc
        draw.pieslice((x - radius, y - radius, x + radius, y + radius), 90, 360, fill=first)
        draw.pieslice((x - radius, y - radius, x + radius, y + radius), 0, 90, fill=second)
        _disc(draw, x, y, radius * 0.42, colours.ground)
    else:  # a hexagon of two halves
        points = [(x + radius * math.cos(math.tau * n / 6 - math.pi / 2),
                   y + radius * math.sin(math.tau * n / 6 - math.pi / 2)) for n in range(6)]  # fmt: skip
        draw.polygon(points, fill=first)
        draw.polygon([points[0], points[1], points[2], points[3]], fill=second)
        _disc(draw, x, y, radius * 0.36, colours.ground)


def _badge(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """A disc with a toothed edge and a ring. Its inside has the colour of the paper, for the text."""
    x, y, radius = width / 2, height / 2, min(width, height) * 0.46
    edge = _seen(colours, (colours.main, colours.deep, colours.second))
    teeth, depth = 20 + chance[0] % 3 * 6, 0.05 if chance[1] % 2 else 0.08
    points = []
    for step in range(teeth * 2):
        reach = radius * (1 - depth * (step % 2))
        angle = math.tau * step / (teeth * 2)
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    draw.polygon(points, fill=edge)
    _disc(draw, x, y, radius * 0.86, colours.pop)
    _disc(draw, x, y, radius * 0.82, colours.paper)


def _pattern(draw: ImageDraw, width: int, height: int, colours: Palette, chance: bytes) -> None:
    """Small shapes in rows that are shifted by half a step, up to all edges."""
    step = min(width, height) / (4.5 + chance[0] % 3)
    fills = [
        colour for colour in (colours.main, colours.second, colours.pop, colours.deep, colours.third)
        if contrast(colour, colours.ground) > 1.15
    ] or [colours.deep]  # fmt: skip
    for row in range(-1, math.ceil(height / (step * 0.87)) + 1):
        for column in range(-1, math.ceil(width / step) + 1):
            x, y = (column + row % 2 / 2) * step, row * step * 0.87
            number = (row * 2 + column) % 3
            fill = fills[(number + chance[1]) % len(fills)]
            if number == 0:
                _disc(draw, x, y, step * 0.24, fill)
                _disc(draw, x, y, step * 0.1, colours.ground)
            elif number == 1:
                angle = math.pi / 4 * (1 + 2 * (chance[2] % 2))
                _leaf(draw, x - math.cos(angle) * step * 0.3, y - math.sin(angle) * step * 0.3, angle, step * 0.6,
                      step * 0.16, fill)  # fmt: skip
            else:
                for petal in range(5):
                    turn = math.tau * petal / 5
                    _disc(draw, x + math.cos(turn) * step * 0.14, y + math.sin(turn) * step * 0.14, step * 0.1, fill)


def _seen(colours: Palette, wanted: tuple[Colour, ...]) -> Colour:
    """Return the first of the colours that stands out from the ground, else the one that does most."""
    plain = [colour for colour in wanted if contrast(colour, colours.ground) >= 1.6]
    return plain[0] if plain else max(wanted, key=lambda each: contrast(each, colours.ground))


def _disc(draw: ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _rounded(
    draw: ImageDraw, x: float, y: float, width: float, height: float, radius: float, fill: Colour
) -> None:  # fmt: skip
    draw.rounded_rectangle((x, y, x + width, y + height), min(radius, width / 2, height / 2), fill)


def _leaf(
    draw: ImageDraw, x: float, y: float, angle: float, length: float, half: float, fill: Colour
) -> None:  # fmt: skip
    """A leaf from (x, y) in the direction `angle`; `half` is half of its width."""
    along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    edge = [(share / 16, math.sin(math.pi * share / 16)) for share in range(17)]
    sides = [*edge, *((at, -bow) for at, bow in reversed(edge))]
    draw.polygon(
        [(x + along[0] * at * length + across[0] * bow * half, y + along[1] * at * length + across[1] * bow * half)
         for at, bow in sides],
        fill=fill,
    )  # fmt: skip


def _lens(x: float, y: float, radius: float, shift: float) -> list[tuple[float, float]]:
    """Return the outline of what two discs share; their centres are `shift` left and right of (x, y)."""
    most = math.acos(min(1.0, shift / radius))
    angles = [most * (step / 8 - 1) for step in range(17)]
    right = [(x - shift + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
    left = [(x + shift - radius * math.cos(a), y + radius * math.sin(a)) for a in reversed(angles)]
    return right + left


MOTIFS: dict[Kind, Scene] = {
    Kind.ICON: _icon, Kind.LOGO: _logo, Kind.BADGE: _badge, Kind.PATTERN: _pattern,
}  # fmt: skip
"""The motif of each kind of image. A `Kind.SCENE` has none."""
