"""Tests of colours: which words name colours, how colours are ranked, and that text can be read."""

from __future__ import annotations

import colorsys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.providers.draft.palette import BLACK, WHITE, Colour, colours, contrast, palette, readable
from tests.support.drafts import CHINESE, ENGLISH, PROMPTS


def hue(colour: Colour) -> float:
    """Return the hue in degrees of the colour wheel: red 0, green 120, blue 240."""
    return colorsys.rgb_to_hsv(*(part / 255 for part in colour))[0] * 360


def saturation(colour: Colour) -> float:
    return colorsys.rgb_to_hsv(*(part / 255 for part in colour))[1]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("a red car", ["red"]),
        ("sky blue over blue water", ["sky blue", "blue"]),
        ("fresh-cut grass", []),
        ("greens and blues", ["green", "blue"]),
        ("a reddish fox in Redmond", []),
        ("粉色和蓝色", ["pink", "blue"]),
        ("粉、蓝色", ["pink", "blue"]),
        ("天蓝色的墙", ["sky blue"]),
        ("青年在白天使用蓝牙", []),
        ("GREEN", ["green"]),
        ("a forest green coat", ["forest green"]),
        ("sunset", ["orange", "coral", "plum"]),
        ("日落", ["orange", "coral", "plum"]),
        ("", []),
    ],
)
def test_words_name_colours(words: str, names: list[str]) -> None:
    """English and Chinese colour names count, but only as whole words."""
    assert colours(words) == [colour for name in names for colour in colours(name)][: len(names)]


def test_a_word_before_a_colour_changes_it() -> None:
    """Pale is lighter, deep is darker, muted is greyer. Chinese words do the same."""
    (plain,), (pale,), (deep,), (muted,) = map(colours, ("green", "pale green", "deep green", "muted green"))
    assert deep.luminance < plain.luminance < pale.luminance
    assert saturation(muted) < saturation(plain)
    assert colours("深绿色") == [deep]


@pytest.mark.parametrize(
    ("word", "wanted"), [("red", 0), ("green", 120), ("blue", 220), ("yellow", 45), ("purple", 270)]
)
def test_the_palette_follows_the_words(word: str, wanted: int) -> None:
    """With every seed, ground and main colour have the hue that the prompt names."""
    for seed in range(20):
        found = palette(f"a {word} kettle", seed)
        for colour in (found.main, found.ground):
            assert abs((hue(colour) - wanted + 180) % 360 - 180) < 40


@pytest.mark.parametrize("prompt", [ENGLISH, CHINESE])
def test_the_references_palette(prompt: str) -> None:
    """The poster's greens and blues are the main colours; pink and yellow are the accents."""
    for seed in range(20):
        found = palette(prompt, seed)
        assert [75 < hue(colour) < 260 for colour in (found.main, found.second)] == [True, True]
        assert {300 < hue(found.third) < 360, 35 < hue(found.pop) < 65} == {True}


def test_a_sentence_about_colours_counts_most() -> None:
    """The sentence about the palette counts most, the sentence about lettering least."""
    prompt = "A red house. The title “x” in purple letters. The colour palette is teal."
    assert palette(prompt, 0).main in (colours("teal")[0], colours("red")[0])
    assert palette("A house. The title “x” in purple letters. Teal tones.", 4).main == colours("teal")[0]


def test_the_seed_varies_the_palette() -> None:
    """Different seeds give different palettes, and the same seed gives the same."""
    assert len({palette("a fox", seed) for seed in range(20)}) == 20
    assert palette("a fox", 3) == palette("a fox", 3)


@pytest.mark.parametrize("prompt", ["black and white photo of a dog", "a monochrome sketch", "黑白照片"])
def test_monochrome_has_no_hue(prompt: str) -> None:
    """A prompt for black and white gets only greys."""
    found = palette(prompt, 1)
    colours_used = (
        found.paper,
        found.ink,
        found.ground,
        found.light,
        found.main,
        found.deep,
        found.second,
        found.third,
    )
    assert [max(colour) - min(colour) <= 2 for colour in (*colours_used, found.pop)] == [True] * 9


@pytest.mark.parametrize("prompt", ["a street at night", "星空下的夜晚", "neon lights"])
def test_nights_are_dark(prompt: str) -> None:
    """At night the paper is darker than the ink."""
    assert palette(prompt, 1).paper.luminance < 0.1 < palette(prompt, 1).ink.luminance


@given(st.text(max_size=60) | st.sampled_from(PROMPTS), st.integers(0, 2_147_483_647))
def test_ink_can_be_read_on_paper(prompt: str, seed: int) -> None:
    """Ink on paper has a contrast of at least 7:1 for any prompt and seed."""
    found = palette(prompt, seed)
    assert contrast(found.ink, found.paper) >= 7


_COLOUR = st.builds(Colour, *[st.integers(0, 255)] * 3)


@given(_COLOUR, _COLOUR)
def test_any_text_can_be_made_readable(colour: Colour, ground: Colour) -> None:
    """`readable` gives a contrast of at least 4.5:1, and keeps a colour that already has it."""
    found = readable(colour, ground)
    assert contrast(found, ground) >= 4.5
    assert readable(found, ground) == found


def test_contrast_is_that_of_wcag() -> None:
    """Black on white has 21:1. Grey #767676 on white has 4.54:1."""
    assert contrast(BLACK, WHITE) == 21
    assert round(contrast(Colour(0x76, 0x76, 0x76), WHITE), 2) == 4.54
    assert contrast(BLACK, BLACK) == 1
