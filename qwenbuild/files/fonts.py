"""Fonts: the font files that are installed with qwenbuild."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

CJK: Final = "justmytype_intl_cjk"
"""The package of the fonts for Chinese, Korean and Japanese: SC, KR and JP."""

OTHERS: Final = "manimgx_fonts"
"""The package of all other fonts."""


def path(name: str, package: str = OTHERS) -> Path:
    """Return the path of a font such as `NotoSans`. Raises ImportError if its package is not installed."""
    folder = Path(str(resources.files(package)))
    if package == CJK:
        folder = folder / "fonts" / "ofl" / name.lower()
    return folder / file_name(name)


def file_name(name: str) -> str:
    """Return the name of a font's file."""
    return f"{name}[wght].ttf"


def paths() -> list[Path]:
    """Return the paths of the fonts in the order in which a glyph is looked for; the first has Latin letters.

    They are TrueType files, variable in weight. Raises ImportError if a package of fonts is not installed.
    """
    latin = path("NotoSans")
    cjk = [path(f"NotoSans{name}", CJK) for name in ("SC", "KR", "JP")]
    return [latin, *cjk, *sorted({*latin.parent.glob("Noto*.ttf")} - {latin})]
