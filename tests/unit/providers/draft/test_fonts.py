"""Tests of fonts: which glyphs exist, and that the fonts' missing-glyph box is never drawn."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from qwenbuild.providers.draft.fonts import BLACK, MISSING, REGULAR, Typeface, covering, runs


def names(text: str) -> list[tuple[str, str]]:
    """Return a text's runs with the fonts' names."""
    return [
        (run, {0: "SC", 1: "KR", 2: "JP", MISSING: "-"}[font]) for run, font in runs(text, Typeface.of(text, 400).fonts)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Come Play Ball!", [("Come Play Ball!", "KR")]),
        ("Größe Ωμέγα Привет", [("Größe Ωμεγα Привет", "KR")]),
        ("一起来玩球吧！", [("一起来玩球吧！", "SC")]),
        ("夏祭りの夜", [("夏祭りの夜", "JP")]),
        ("봄날의 커피", [("봄날의 커피", "KR")]),
        ("来 봄", [("来 봄", "KR")]),
        ("说“好”", [("说“好”", "SC")]),
        ("说“OK”", [("说", "SC"), ("“", "KR"), ("OK", "SC"), ("”", "KR")]),
        ("Hi 🐶", [("Hi ", "KR"), ("🐶", "-")]),
        ("👨‍👩‍👧", [("👨", "-")]),
        ("👍🏽", [("👍", "-")]),
        ("سلام عليكم", [("سلام", "-"), (" ", "KR"), ("عليكم", "-")]),
        ("a\u200b\u202eb\ufe0f", [("ab", "KR")]),
        ("𝐁𝐨𝐥𝐝", [("Bold", "KR")]),
        ("", []),
    ],
)
def test_each_character_comes_from_a_font_that_has_it(text: str, expected: list[tuple[str, str]]) -> None:
    """The script decides the font. Characters without a glyph are marked, and invisible ones are left out."""
    assert names(text) == expected


_DRAWN = st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zs", "Zl", "Zp"])


def drawing(face: Typeface, char: str) -> bytes:
    canvas = Image.new("L", (96, 64), 0)
    face.draw(ImageDraw.Draw(canvas), char, 40, 8, 48, 255)
    return canvas.tobytes()


@given(_DRAWN)
def test_no_character_is_drawn_as_the_missing_box(char: str) -> None:
    """The drawing of any Unicode character differs from the fonts' missing-glyph boxes."""
    face = Typeface.of(char, REGULAR)
    boxes = {_box(font) for font in face.fonts}
    assert drawing(face, char) not in boxes


def _box(font: int) -> bytes:
    """Return a font's missing-glyph box."""
    from qwenbuild.providers.draft import fonts

    canvas = Image.new("L", (96, 64), 0)
    font_file = fonts._font(font, REGULAR, 40)
    ImageDraw.Draw(canvas).text((8, 48), "\U0010fffe", font=font_file, fill=255, anchor="ls")
    return canvas.tobytes()


@pytest.mark.parametrize(
    "text", ["漢字かな交じり", "한국어", "Ελλας", "Tiếng Việt", "★☆→✓♥€₩¥£", "「『《«„“”»》』」", "…—–·"]
)
def test_characters_of_posters_have_glyphs(text: str) -> None:
    """East Asian scripts, Greek, Vietnamese, quotation marks and common symbols have glyphs."""
    face = Typeface.of(text, REGULAR)
    assert [char for char in text if covering(char, face.fonts) == MISSING] == []


@pytest.mark.parametrize("text", ["مرحبا", "שלום", "नमस्ते", "ไทย", "🐶", "\ue000", "\U0010fffe"])
def test_characters_without_glyphs_are_known(text: str) -> None:
    """Scripts that need shaping, emoji and private characters have no glyphs."""
    assert covering(text[0], Typeface.of(text, REGULAR).fonts) == MISSING


@given(st.text(alphabet="AVTo漢字か한🐶م 1", max_size=20), st.integers(7, 80))
def test_the_width_of_a_text_is_the_sum_of_its_characters(text: str, px: int) -> None:
    """So the next part of a line starts exactly where the last one ends."""
    face = Typeface.of("x", BLACK)
    assert face.width_px(text, px) == sum(face.width_px(char, px) for char in text)


def test_all_threads_measure_the_same_widths() -> None:
    """Each thread opens its own FreeType faces, and the widths are equal."""
    face = Typeface.of("漢字", BLACK)

    def width(px: int) -> int:
        return face.width_px(f"Come 一起来 {px % 40 + 10}", px % 40 + 10)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(width, range(200))) == [width(px) for px in range(200)]


def test_the_fonts_come_from_the_package() -> None:
    """Fonts of the machine are never used."""
    from qwenbuild.providers.draft import fonts

    path = fonts._font(0, REGULAR, 20).path
    assert str(path).startswith(sys.prefix)
