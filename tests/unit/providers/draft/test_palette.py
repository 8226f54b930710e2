"""Tests of colours: which words name colours, how colours are ranked, and that text can be read."""

from __future__ import annotations

import colorsys
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.providers.draft.colour_words import colours, excluded
from qwenbuild.providers.draft.oklch import Colour, contrast, hue_distance, lch
from qwenbuild.providers.draft.palette import palette
from tests.support.drafts import CHINESE, ENGLISH, PROMPTS


def hue(colour: Colour) -> float:
    """Return the hue in degrees of the colour wheel: red 0, green 120, blue 240."""
    return colorsys.rgb_to_hsv(*(part / 255 for part in colour))[0] * 360


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


_BANS = [
    ("a fox, no orange", ""),
    ("an autumn forest, avoid red or brown", ""),
    ("a fox", "blue, green"),
    ("秋天，不要黄色", ""),
]


@pytest.mark.parametrize(("prompt", "negative_prompt"), _BANS)
def test_colours_that_are_ruled_out_do_not_appear(prompt: str, negative_prompt: str) -> None:
    """With any seed no colour that the eye sees as coloured has their hue."""
    _, banned = excluded(prompt, negative_prompt)
    for seed in range(40):
        for part in astuple(palette(prompt, seed, negative_prompt)):
            colour = Colour(*part)
            if lch(colour)[1] > 0.06:
                assert min(hue_distance(lch(colour)[2], lch(each)[2]) for each in banned) > 25


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [("a red bike on a black background", "black"), ("白色背景，红色自行车", "white"), ("navy background", "navy")],
)
def test_the_background_has_the_colour_that_is_asked_for(prompt: str, wanted: str) -> None:
    """Paper and picture have it, and the other colours are those of the subject."""
    found, ground = palette(prompt, 1), colours(wanted)[0]
    assert found.ground == ground
    assert max(abs(one - other) for one, other in zip(found.paper, ground, strict=True)) < 16
    if "bike" in prompt or "车" in prompt:
        assert abs((hue(found.main) + 180) % 360 - 180) < 20


def test_a_background_on_which_nothing_can_be_read_is_shifted() -> None:
    """Ink on a mid red has no contrast of 7:1, so the paper is darker or lighter than the picture."""
    found = palette("red background", 1)
    assert (found.ground, contrast(found.ink, found.paper) >= 7) == (colours("red")[0], True)
    assert found.paper != found.ground


def test_quoted_texts_name_no_colours() -> None:
    """A poster for “Black Friday” in teal is teal."""
    assert palette("A teal poster “Black Friday”", 1) == palette("A teal poster “”", 1)
