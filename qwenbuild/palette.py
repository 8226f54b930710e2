"""Colours of a draft: from the colour words of its prompt, English and Chinese, and from its seed.

The same words and seed give the same colours. Whatever the words, ink on paper has a contrast of
at least 7:1, and `readable` brings any other text to 4.5:1 (WCAG 2.2, levels AAA and AA).
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass
from typing import NamedTuple

from .digest import sha256


class Colour(NamedTuple):
    """Red, green and blue, 0 to 255."""

    red: int
    green: int
    blue: int

    def mixed(self, other: Colour, share: float) -> Colour:
        """Return this colour with `share` (0 to 1) of another in it."""
        return Colour(*(round(a + (b - a) * share) for a, b in zip(self, other, strict=True)))

    @property
    def luminance(self) -> float:
        """Relative luminance, 0 to 1 (WCAG 2.2)."""
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in self)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


WHITE, BLACK = Colour(255, 255, 255), Colour(12, 14, 22)

_HEX = {
    "red": "d93636", "crimson": "b8143c", "scarlet": "d6281f", "burgundy": "7a1f35", "maroon": "742030",
    "orange": "f08a24", "apricot": "f5b17b", "peach": "f7b58f", "coral": "f2785c", "terracotta": "c4623f",
    "rust": "b0512b", "amber": "f0a51f", "sunset": "ef7f4a", "yellow": "f6cf3b", "gold": "d9a62b",
    "golden": "d9a62b",
    "lemon": "f5e05a", "mustard": "cf9f2b", "honey": "e3a437", "green": "3f9e58", "emerald": "1e8f64",
    "olive": "7d8442",
    "lime": "9ccb3b", "mint": "8fd8b5", "sage": "9caf88", "forest": "2c6b43", "teal": "1e8a8a", "turquoise": "36b7b0",
    "cyan": "2fb6cf", "aqua": "45bfc4", "blue": "2f6fd0", "sky blue": "6db6ec", "sea blue": "2a7fa8", "navy": "22346b",
    "indigo": "4146a3", "cobalt": "2351b5", "purple": "7a4bb0", "violet": "8257c2", "lavender": "b3a1dd",
    "lilac": "c3a5d9", "plum": "7d3f77", "magenta": "c93a94", "pink": "f080a8", "rose": "de6585", "brown": "7d5539",
    "chocolate": "5b3a28", "coffee": "6b4a35", "beige": "dcc9a6", "cream": "f1e4c6", "sand": "dcc391",
    "ivory": "efe8d3",
    "white": "f4f3ef", "silver": "b4bac2", "grey": "868c94", "gray": "868c94", "charcoal": "3a3f47", "black": "23252c",
    "pastel": "f2b8c6", "moonlit": "26335e", "midnight": "1b2347", "neon": "e63fd0",
    "红": "d93636", "橙": "f08a24", "橘": "f08a24", "黄": "f6cf3b", "金": "d9a62b", "绿": "3f9e58", "青": "1e8a8a",
    "蓝": "2f6fd0", "天蓝": "6db6ec", "紫": "7a4bb0", "粉": "f080a8", "棕": "7d5539", "褐": "7d5539", "白": "f4f3ef",
    "银": "b4bac2", "灰": "868c94", "黑": "23252c",
}  # fmt: skip
_WORDS = {name: Colour(*bytes.fromhex(code)) for name, code in _HEX.items()}
_DARK = re.compile(r"\b(?:night|midnight|moonlit|dark|black background|neon)\b|夜|黑色背景|暗", re.IGNORECASE)
# Chinese names of colours are single characters that other words hold too; a following 色 tells.
_FIND = re.compile(
    r"\b(" + "|".join(sorted((w for w in _WORDS if w.isascii()), key=len, reverse=True)) + r")s?\b"
    r"|(天蓝|[" + "".join(w for w in _WORDS if len(w) == 1) + r"])(?=色)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one draft: what it is drawn on, its text, and at least four accents."""

    paper: Colour
    ink: Colour
    accents: tuple[Colour, ...]


def colours(text: str) -> list[Colour]:
    """Return the colours that a text names, in order, each once."""
    found = (_WORDS[(match[1] or match[2]).lower()] for match in _FIND.finditer(text))
    return list(dict.fromkeys(found))


def palette(text: str, seed: int) -> Palette:
    """Return the palette for a prompt and a seed."""
    chance = bytes.fromhex(sha256(f"palette {seed}".encode()))
    named = [colour for colour in colours(text) if colour not in (_WORDS["white"], _WORDS["black"])]
    if not named:
        hue = int.from_bytes(bytes.fromhex(sha256(text.encode())[:4])) / 65536 + chance[0] / 1024
        named = [_hsv(hue, 0.55, 0.86), _hsv(hue + 0.45, 0.5, 0.8)]
    accents = list(named[:6])
    turn = 0
    while len(accents) < 4:  # neighbours of the named colours, which ones by the seed
        hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in named[turn % len(named)]))
        shift = (0.06 + chance[1 + turn] / 255 * 0.08) * (1 if chance[8 + turn] % 2 else -1)
        accents.append(_hsv(hue + shift, max(0.25, saturation * 0.85), min(0.95, value * 1.05 + 0.04)))
        turn += 1
    turned = chance[16] % 2 if len(named) < 3 else chance[16] % 3
    accents = [*accents[turned:], *accents[:turned]]
    if _DARK.search(text):
        paper = named[0].mixed(BLACK, 0.86)
        return Palette(paper, named[0].mixed(WHITE, 0.9), tuple(accents))
    paper = named[0].mixed(WHITE, 0.9)
    return Palette(paper, readable(named[0].mixed(BLACK, 0.75), paper, 7.0), tuple(accents))


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((one.luminance, other.luminance), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def readable(colour: Colour, ground: Colour, ratio: float = 4.5) -> Colour:
    """Return `colour`, darkened or lightened until text in it can be read on `ground`."""
    target = BLACK if contrast(BLACK, ground) > contrast(WHITE, ground) else WHITE
    for step in range(21):
        mixed = colour.mixed(target, step / 20)
        if contrast(mixed, ground) >= ratio:
            return mixed
    return target


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return Colour(*(round(part * 255) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value)))
