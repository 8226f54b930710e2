"""Fonts: the font files that are installed with qwenbuild, in the order in which a glyph is looked for."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

_LATIN = "NotoSans[wght].ttf"
_CJK = ("notosanssc/NotoSansSC[wght].ttf", "notosanskr/NotoSansKR[wght].ttf", "notosansjp/NotoSansJP[wght].ttf")


def paths() -> list[Path]:
    """Return the paths of the fonts: TrueType files, variable in weight. Latin, Greek and Cyrillic are in the first.

    Raises ImportError if a package of fonts is not installed.
    """
    cjk = Path(str(resources.files("justmytype_intl_cjk"))) / "fonts" / "ofl"
    others = Path(str(resources.files("manimgx_fonts")))
    return [others / _LATIN, *(cjk / name for name in _CJK), *sorted(set(others.glob("Noto*.ttf")) - {others / _LATIN})]
