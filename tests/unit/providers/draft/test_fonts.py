"""Tests of fonts: which glyphs exist, and that the fonts' missing-glyph box is never drawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from qwenbuild.providers.draft.font_files import EMOJI, JP, KR, MISSING, NOTO, SC, SYMBOLS
from qwenbuild.providers.draft.fonts import BLACK, REGULAR, Typeface, covering, missing, runs


def names(text: str) -> list[tuple[str, str]]:
    """Return a text's runs with the fonts' names."""
    known = {SC: "SC", KR: "KR", JP: "JP", NOTO: "Noto", SYMBOLS: "symbols", EMOJI: "emoji", MISSING: "-"}
    return [(run, known.get(font, "script")) for run, font in runs(text, Typeface.of(text, 400).fonts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Come Play Ball!", [("Come Play Ball!", "KR")]),
        ("Größe Ω Привет", [("Größe Ω Привет", "KR")]),
        ("Größe Ωμέγα", [("Größe Ωμέγα", "Noto")]),
        ("Привіт їжак", [("Привіт їжак", "Noto")]),
        ("Příliš", [("Příliš", "Noto")]),
        ("来 Příliš", [("来 P", "SC"), ("ř", "Noto"), ("íli", "SC"), ("š", "Noto")]),
        ("ქართ", [("ქართ", "script")]),
        ("བ", [("བ", "-")]),
        ("一起来玩球吧！", [("一起来玩球吧！", "SC")]),
        ("夏祭りの夜", [("夏祭りの夜", "JP")]),
        ("봄날의 커피", [("봄날의 커피", "KR")]),
        ("来 봄", [("来 봄", "KR")]),
        ("说“好”", [("说“好”", "SC")]),
        ("说“OK”", [("说", "SC"), ("“", "KR"), ("OK", "SC"), ("”", "KR")]),
        ("Hi 🐶", [("Hi ", "KR"), ("🐶", "emoji")]),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", []),
        ("مرحبا 🐶", []),
        ("བོད Ꮳ བོད", ["Tibetan", "Cherokee"]),
        ("ᠮᠣ", ["Mongolian"]),
        ("\ue000", ["Unknown"]),
        ("\U0001fbaa", ["symbols"]),
    ],
)
def test_scripts_without_glyphs_are_named(text: str, expected: list[str]) -> None:
    """Scripts that no font has are named, so that a draft can say what its bars stand for."""
    assert missing(text) == expected


def test_a_text_that_begins_with_hebrew_runs_from_right_to_left() -> None:
    """The first letter decides, not digits or quotation marks before it."""
    texts = ("“שלום” world", "12 שלום", "Hello שלום", "Hello", "مرحبا")
    assert [Typeface.of(text, REGULAR).rtl for text in texts] == [True, True, False, False, True]


@given(st.text(alphabet="AVTo漢字か한🐶 1", max_size=20), st.integers(7, 80))
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
