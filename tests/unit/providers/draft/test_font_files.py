"""Tests of the font files: each is installed, and each script has its font."""

from __future__ import annotations

import sys

import pytest

from qwenbuild.providers.draft import font_files
from qwenbuild.providers.draft.font_files import EMOJI, KR, MISSING, NOTO


def test_every_font_comes_from_a_package() -> None:
    """Fonts of the machine are never used."""
    paths = [font_files.path(font) for font in range(font_files.COUNT)]
    assert [path.is_file() and str(path).startswith(sys.prefix) for path in paths] == [True] * 25
    assert {font_files.package(font) for font in range(font_files.COUNT)} == {"justmytype-intl-cjk", "manimgx-fonts"}


def test_no_font_gets_a_weight_that_it_lacks() -> None:
    """Black becomes bold where a font ends at bold."""
    assert [font_files.weight_of(font, 900) for font in (KR, NOTO, EMOJI)] == [900, 700, 700]
    assert font_files.weight_of(NOTO, 400) == 400


@pytest.mark.parametrize(
    ("char", "script", "font"),
    [
        ("ب", "Arabic", "NotoSansArabic[wght].ttf"),
        ("ש", "Hebrew", "NotoSansHebrew[wght].ttf"),
        ("ไ", "Thai", "NotoSansThai[wght].ttf"),
        ("न", "Devanagari", "NotoSansDevanagari[wght].ttf"),
        ("א", "Hebrew", "NotoSansHebrew[wght].ttf"),
        ("a", "Latin", None),
        ("漢", "Cjk", None),
        ("བ", "Tibetan", None),
        ("🐶", "emoji", None),
        ("☃", "symbols", None),
        ("🮪", "symbols", None),
        ("\ue000", "Unknown", None),
    ],
)
def test_a_character_knows_its_script(char: str, script: str, font: str | None) -> None:
    """The script is the first word of the character's name in Unicode. Some scripts have a font of their own."""
    own = font_files.script_font(char)
    assert (font_files.script(char), None if own is None else font_files.name(own)) == (script, font)
    assert own != MISSING
