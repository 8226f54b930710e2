"""The font files of drafts: which file each font is, and which font a character's script needs.

The fonts are Noto Sans (SIL Open Font License), all variable in weight. Those for Chinese, Korean and Japanese are from
the package justmytype-intl-cjk, all others from manimgx-fonts. Fonts of the machine are never used.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from qwenbuild.files import fonts

MISSING = -1
"""Stands in place of a font's number: no font has the glyph."""

SC, KR, JP, NOTO, SYMBOLS, EMOJI = range(6)

# Scripts whose characters are named after them in Unicode ("ARABIC LETTER BEH"), with a font of the same name.
_SCRIPTS = (
    "Arabic", "Armenian", "Bengali", "Devanagari", "Ethiopic", "Georgian", "Gujarati", "Gurmukhi", "Hebrew", "Kannada",
    "Khmer", "Lao", "Malayalam", "Myanmar", "Oriya", "Sinhala", "Tamil", "Telugu", "Thai",
)  # fmt: skip
_FONTS = (  # name and package
    *((f"NotoSans{name}", fonts.CJK) for name in ("SC", "KR", "JP")),
    *((name, fonts.OTHERS) for name in ("NotoSans", "NotoSansSymbols", "NotoEmoji")),
    *((f"NotoSans{name}", fonts.OTHERS) for name in _SCRIPTS),
)
_HEAVIEST = {SC: 900, KR: 900, JP: 900}  # weights; the others end at 700

COUNT = len(_FONTS)
"""How many fonts there are. Their numbers begin at 0."""


def path(font: int) -> Path:
    """Return the path of a font's file; raises ImportError if its package is not installed."""
    return fonts.path(*_FONTS[font])


def package(font: int) -> str:
    """Return the name of the package that installs a font."""
    return _FONTS[font][1].replace("_", "-")


def name(font: int) -> str:
    """Return the name of a font's file."""
    return fonts.file_name(_FONTS[font][0])


def weight_of(font: int, weight: int) -> int:
    """Return the nearest weight to `weight` that a font has."""
    return min(weight, _HEAVIEST.get(font, 700))


@lru_cache(maxsize=4096)
def script(char: str) -> str:
    """Return the script of a character in English, such as "Tibetan"; "emoji" or "symbols" for what is no letter."""
    if unicodedata.category(char) == "So":
        return "emoji" if unicodedata.east_asian_width(char) == "W" else "symbols"
    return unicodedata.name(char, "unknown").split()[0].title().partition("-")[0]


def script_font(char: str) -> int | None:
    """Return the font made for the script of a character, None if there is none."""
    wanted = script(char)
    return EMOJI + 1 + _SCRIPTS.index(wanted) if wanted in _SCRIPTS else None
