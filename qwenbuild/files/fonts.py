"""Fonts: the font files that are installed with qwenbuild, in the order in which a glyph is looked for."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

_CJK = ("notosanssc/NotoSansSC[wght].ttf", "notosanskr/NotoSansKR[wght].ttf", "notosansjp/NotoSansJP[wght].ttf")


def paths() -> list[Path]:
    """Return the paths of the fonts: TrueType files, variable in weight. The first has nearly all that labels need.

    Raises ImportError if a package of fonts is not installed.
    """
    cjk = Path(str(resources.files("justmytype_intl_cjk"))) / "fonts" / "ofl"
    others = Path(str(resources.files("manimgx_fonts")))
    return [*(cjk / name for name in _CJK), *sorted(others.glob("Noto*.ttf"))]
