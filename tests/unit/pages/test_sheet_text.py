"""The lettering of a contact sheet: small fonts, widths, broken and shortened lines, scripts that need shaping."""

from __future__ import annotations

import io

import pytest
from PIL import ImageFont

from qwenbuild.files import fonts
from qwenbuild.pages.sheet_text import Lettering


def test_a_font_has_only_what_the_sheet_needs() -> None:
    """Fonts of megabytes become some kilobytes, in which Pillow finds the letters."""
    lettering = Lettering(["seed=1", "palette=小狗"])
    latin, chinese = lettering.fonts
    assert len(latin) + len(chinese) < 20_000
    assert ImageFont.truetype(io.BytesIO(chinese), 100).getlength("小") == 100
    assert lettering.missing == []


def test_equal_texts_give_equal_fonts() -> None:
    """The bytes of a sheet depend on nothing else."""
    texts = ["palette=小狗", "ключ", "كلب"]
    assert Lettering(texts).fonts == Lettering(reversed(texts)).fonts


@pytest.mark.parametrize(
    "text",
    ["Ελλάδα", "Київ", "Đường Việt", "عربي", "עברית", "ไทย", "हिन्दी", "日本語", "한국어", "中文", "ქართული", "🐶"],
)
def test_scripts_of_the_world_have_fonts(text: str) -> None:
    """Each character has a glyph."""
    lettering = Lettering([text])
    assert (lettering.missing, lettering.ems(text) > 0) == ([], True)


def test_a_character_without_a_font_is_a_box() -> None:
    """It is told, and it has a width."""
    lettering = Lettering(["a\U00012000"])
    assert lettering.missing == ["\U00012000"]
    assert [run for _, run, _ in lettering.runs("a\U00012000")] == ["a", "□"]


def test_characters_that_draw_nothing_are_no_box() -> None:
    """A joiner or a stray mark is not missing."""
    assert Lettering(["a\u200d\U000e0001b"]).missing == []


def test_marks_stay_with_their_letters() -> None:
    """A word of Devanagari is one run, and its letters join."""
    lettering = Lettering(["w=हिन्दी", "कै"])
    assert [run for _, run, _ in lettering.runs("w=हिन्दी")] == ["w=", "हिन्दी"]
    assert lettering.missing == []
    assert lettering.ems("हिन्दी") < lettering.ems("हिन") + lettering.ems("दी")


def test_letters_of_arabic_are_joined() -> None:
    """A joined word is narrower than its letters alone, and needs shaping."""
    lettering = Lettering(["كلب", "seed=1"])
    [(font, run, width)] = lettering.runs("كلب")
    assert width < sum(lettering.ems(char) for char in "كلب")
    assert (lettering.is_plain(font, run), lettering.is_plain(0, "seed=1")) == (False, True)


def test_a_space_does_not_part_words_of_arabic() -> None:
    """The words stand in one run, so their order is right."""
    lettering = Lettering(["pet=كلب جميل"])
    assert [run for _, run, _ in lettering.runs("pet=كلب جميل")] == ["pet=", "كلب جميل"]


def test_digits_in_latin_words_are_plain() -> None:
    """Fonts have rules for them, which would part a word of a PDF."""
    lettering = Lettering(["h5p: 20 drafts"])
    [(font, run, _)] = lettering.runs("h5p: 20 drafts")
    assert lettering.is_plain(font, run) is True


def test_lines_break_after_words() -> None:
    """A short text is one line; a long one breaks at spaces, and after signs of cell names."""
    text = "palette=fresh greens and some more"
    lettering = Lettering([text])
    assert lettering.lines(text, 100, 3) == [text]
    assert lettering.lines(text, 7, 3) == ["palette=fresh", "greens and", "some more"]


def test_a_long_text_is_shortened_in_the_middle() -> None:
    """Its start and its end differ most from those of its neighbours."""
    text = "a prompt that begins here, has many words, and ends there"
    lettering = Lettering([text])
    assert lettering.lines(text, 9, 2) == ["a prompt that be…", "and ends there"]
    assert all(lettering.ems(line) <= 9 for line in lettering.lines(text, 9, 2))
    assert lettering.lines(text, 0.1, 1) == ["…"]


def test_a_text_without_spaces_breaks_anywhere() -> None:
    """As Chinese does, and a word that is wider than a line."""
    lettering = Lettering(["新年快乐海报", "x" * 40])
    assert lettering.lines("新年快乐海报", 4, 2) == ["新年快乐", "海报"]
    assert lettering.lines("x" * 40, 10, 3) == ["x" * 18, "x" * 18, "xxxx"]


def test_ink_is_where_the_letters_are() -> None:
    """A mask stands on the baseline; a space has none."""
    lettering = Lettering(["I "])
    found = lettering.ink(0, "I", 100)
    assert found is not None
    mask, left, top = found
    assert (0 <= mask.height + top <= 1, 0 <= left < 20, mask.getextrema()[1]) == (True, True, 255)
    assert lettering.ink(0, " ", 100) is None


def test_one_font_may_be_all_there_is() -> None:
    """Then it has all characters that can be drawn."""
    lettering = Lettering(["añ小"], [path for path in fonts.paths() if path.name == "NotoSans[wght].ttf"])
    assert (len(lettering.fonts), lettering.missing) == (1, ["□", "小"])
