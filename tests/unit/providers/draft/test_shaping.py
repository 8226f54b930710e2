"""Tests of shaping: letters join, lines run from right to left, and marks and emoji stay with what they belong to."""

from __future__ import annotations

import bidi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.providers.draft import font_files, shaping
from qwenbuild.providers.draft.font_files import EMOJI, MISSING, NOTO
from qwenbuild.providers.draft.fonts import REGULAR, Typeface
from qwenbuild.providers.draft.shaping import Shaped, clusters, shaped


def line(text: str, px: int = 64) -> Shaped:
    """Return a text, shaped in its own typeface."""
    face = Typeface.of(text, REGULAR)
    return shaped(text, face.fonts, REGULAR, px, face.rtl)


def numbers(text: str) -> list[int]:
    return [glyph.number for glyph in line(text).glyphs]


def test_arabic_letters_join() -> None:
    """A letter has another form inside of a word than alone, and lam with alef is a form of its own."""
    assert numbers("ببب") != numbers("ب") * 3
    assert numbers("لا") != [*numbers("ا"), *numbers("ل")]


def test_devanagari_letters_combine() -> None:
    """The vowel sign that is written after its consonant is drawn before it, and क + ् + ष is one glyph."""
    assert len(numbers("क्ष")) == 1
    assert numbers("कि")[1:] == numbers("क")


def test_hebrew_runs_from_right_to_left() -> None:
    """The first letter is the last glyph. Digits inside still run from left to right."""
    alef, bet = numbers("א"), numbers("ב")
    assert numbers("אב") == bet + alef
    assert [glyph.font for glyph in line("א 12").glyphs][:2] == [NOTO, NOTO]
    assert numbers("א 12")[-1:] == alef
    assert numbers("א 12")[:2] == numbers("ї12")[1:]
    assert [glyph.x for glyph in line("אבג").glyphs] == sorted(glyph.x for glyph in line("אבג").glyphs)


_MIXED = st.text(alphabet="אבגabc 12.,!-()", min_size=1, max_size=16)


@given(_MIXED, st.booleans())
def test_runs_have_the_order_of_the_bidirectional_algorithm(text: str, rtl: bool) -> None:
    """A second implementation of the algorithm gives the same order of characters."""
    runs = shaping._runs(text, (NOTO,), rtl)
    mirrored = str.maketrans("()", ")(")
    ours = "".join(part[::-1].translate(mirrored) if level % 2 else part for _, part, level in runs)
    if "(" in text or ")" in text:  # pairs of brackets have a rule of their own, which the first implementation lacks
        assert sorted(ours.translate(mirrored) + ours) == sorted(text.translate(mirrored) + text)
        return
    assert ours == bidi.get_display(text, base_dir="R" if rtl else "L")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab", ["a", "b"]),
        ("e\u0301a", ["e\u0301", "a"]),
        ("👨‍👩‍👧👍🏽", ["👨‍👩‍👧", "👍🏽"]),
        ("🇺🇦🇫🇷", ["🇺🇦", "🇫🇷"]),
        ("❤️1️⃣", ["❤️", "1️⃣"]),
        ("नि", ["नि"]),
        ("น้ำ", ["น้", "ำ"]),
        ("\u0301", ["\u0301"]),
        ("", []),
    ],
)
def test_what_is_drawn_as_one_stays_together(text: str, expected: list[str]) -> None:
    """Marks, skin tones, flags and joined emoji belong to the character before them."""
    assert clusters(text) == expected


@pytest.mark.parametrize("text", ["👨‍👩‍👧", "👍🏽", "🇺🇦", "❤️"])
def test_an_emoji_sequence_is_one_glyph(text: str) -> None:
    """A family, a skin tone and a flag are drawn as one emoji."""
    glyphs = [glyph for glyph in line(text).glyphs if line(text).width_px]
    assert {glyph.font for glyph in glyphs} == {EMOJI}
    assert line(text).width_px <= line("🐶\u200d").width_px * 1.1


def test_characters_that_no_font_has_are_bars() -> None:
    """A bar stands for a group of letters, and the script is named."""
    text = "བཀྲ་ and نص"
    assert [glyph.font for glyph in line(text).glyphs].count(MISSING) >= 1
    assert shaping.missing(text, Typeface.of(text, REGULAR).fonts) == ["Tibetan"]


def test_a_persian_word_keeps_its_gap() -> None:
    """The zero-width non-joiner between two letters parts them."""
    assert numbers("می\u200cخواهم") != numbers("میخواهم")


_SCRIPTS = "نص عربي \u2066\u202e\u200c\U000e0fff שלום สวัสดี नमस्ते 🐶👨‍👩‍👧 é e\u0301 বাংলা தமிழ் ꯃ བ 12"


@given(st.text(alphabet=_SCRIPTS, max_size=12), st.integers(7, 80))
def test_glyphs_stay_within_the_width_of_their_line(text: str, px: int) -> None:
    """Any text has a width that no glyph's place leaves, and the same text has the same glyphs."""
    found = line(text, px)
    assert all(-px <= glyph.x / shaping.PARTS <= found.width_px + px for glyph in found.glyphs)
    assert found == line(text, px)


@pytest.mark.parametrize(
    "text",
    [
        "Příliš žluťoučký kůň", "Ὅμηρος", "їжак ґаздує Єнакієве", "Tiếng Việt thật dễ thương", "مرحبا بالعالم ؟",
        "שָׁלוֹם", "สวัสดีชาวโลก", "नमस्ते दुनिया", "🎉🐶☕🇺🇦", "বাংলা", "தமிழ்", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "ગુજરાતી",
        "ਪੰਜਾਬੀ", "ଓଡ଼ିଆ", "සිංහල", "ລາວ", "ខ្មែរ", "မြန်မာ", "ქართული", "Հայերեն", "አማርኛ", "Ŋ ə ɛ ʃ ⱥ",
    ],
)  # fmt: skip
def test_these_scripts_have_all_their_glyphs(text: str) -> None:
    """No character of common scripts is drawn as a bar or as the font's missing box."""
    fonts = Typeface.of(text, REGULAR).fonts
    assert shaping.missing(text, fonts) == []
    assert [glyph for glyph in line(text).glyphs if glyph.number == 0] == []


def test_ink_is_measured_from_the_start_of_the_line() -> None:
    """The mask's place says where the ink is, and a blank line has none."""
    text = line("שלום")
    ink = shaping.mask(text, REGULAR, 64)
    assert ink is not None
    mask, left, top = ink
    assert left == shaping.ink_left(text, REGULAR, 64)
    assert (0 <= left < 10, -64 < top < -30, mask.width + left <= text.width_px + 1) == (True, True, True)
    assert shaping.mask(line("  "), REGULAR, 64) is None


def test_lines_that_need_no_shaping_are_known() -> None:
    """Latin, Greek, Cyrillic, Chinese, Japanese and Korean letters stand alone."""
    plain = "Größe Ωμέγα Привіт 漢字かな 한국어 “★” 🐶 ქართული"
    assert shaping.NEEDED.search(plain) is None
    assert [bool(shaping.NEEDED.search(text)) for text in ("نص", "ש", "ไ", "न", "e\u0301", "👍🏽", "🇺🇦")] == [True] * 7


def test_every_script_font_is_used_for_its_script() -> None:
    """A word of Arabic among Latin words comes from the Arabic font."""
    fonts = {font_files.name(glyph.font) for glyph in line("Hello نص").glyphs}
    assert fonts == {"NotoSans[wght].ttf", "NotoSansArabic[wght].ttf"}
