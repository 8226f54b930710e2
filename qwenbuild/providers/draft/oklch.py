"""Colours in sRGB and OKLCH (lightness, chroma, hue: CSS Color 4), and the contrast of two colours (WCAG 2.2).

Hues, tints and shades are computed in OKLCH, because equal steps in OKLCH look equal.
"""

from __future__ import annotations

import cmath
import math
from typing import NamedTuple


class Colour(NamedTuple):
    """Red, green and blue, each from 0 to 255."""

    red: int
    green: int
    blue: int

    def mixed(self, other: Colour, share: float) -> Colour:
        """Return a mixture: `share` (0 to 1) of `other`, and the rest of this colour."""
        return Colour(*(round(a + (b - a) * share) for a, b in zip(self, other, strict=True)))

    @property
    def luminance(self) -> float:
        """Relative luminance, 0 to 1 (WCAG 2.2)."""
        red, green, blue = map(_linear, self)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue


BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((one.luminance, other.luminance), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def readable(colour: Colour, ground: Colour, ratio: float = 4.5) -> Colour:
    """Return `colour`, darkened or lightened until its contrast on `ground` is at least `ratio`."""
    target = max(BLACK, WHITE, key=lambda end: contrast(end, ground))
    for step in range(21):
        mixed = colour.mixed(target, step / 20)
        if contrast(mixed, ground) >= ratio:
            return mixed
    return target


def hue_distance(one: float, other: float) -> float:
    """Return how far two hues are apart, 0 to 180 degrees."""
    return abs((one - other + 180) % 360 - 180)


def _linear(part: int) -> float:
    """Return the linear light, 0 to 1, of an sRGB component of 0 to 255."""
    share = part / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def lch(colour: Colour) -> tuple[float, float, float]:
    """Return lightness (0 to 1), chroma (0 to about 0.37) and hue in degrees."""
    r, g, b = map(_linear, colour)
    x = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    y = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    z = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    lightness = 0.2104542553 * x + 0.7936177850 * y - 0.0040720468 * z
    green_red = 1.9779984951 * x - 2.4285922050 * y + 0.4505937099 * z
    blue_yellow = 0.0259040371 * x + 0.7827717662 * y - 0.8086757660 * z
    chroma, angle = cmath.polar(complex(green_red, blue_yellow))
    return lightness, chroma, math.degrees(angle)


def rgb(lightness: float, chroma: float, hue: float) -> Colour:
    """Return the sRGB colour. A chroma that sRGB can't show is reduced until it can."""
    while True:
        a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
        x = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        y = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        z = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        parts = (
            4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z,
            -1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z,
            -0.0041960863 * x - 0.7034186147 * y + 1.7076147010 * z,
        )
        if chroma < 0.005 or all(-0.001 <= part <= 1.001 for part in parts):
            clipped = (min(1.0, max(0.0, part)) for part in parts)
            encoded = (12.92 * p if p <= 0.0031308 else 1.055 * p ** (1 / 2.4) - 0.055 for p in clipped)
            return Colour(*(round(part * 255) for part in encoded))
        chroma -= 0.004
