"""Tests of colour words: what they name, what they rule out, and which one the background has."""

from __future__ import annotations

import colorsys

import pytest

from qwenbuild.providers.draft.colour_words import background, colours, excluded, toned
from qwenbuild.providers.draft.oklch import Colour


def saturation(colour: Colour) -> float:
    return colorsys.rgb_to_hsv(*(part / 255 for part in colour))[1]


def named(*names: str) -> list[Colour]:
    """Return the first colour of each name."""
    return [colours(name)[0] for name in names]


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
        ("#1E40AF to #fff", ["#1e40af", "#ffffff"]),
        ("#12345 and #abcdefg", []),
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


def test_themes_can_be_left_out() -> None:
    """A theme names several colours; a colour of letters is a single one."""
    assert colours("vintage red letters", themes=False) == colours("red")
    assert toned(colours("red")[0], "large") == colours("red")[0]


@pytest.mark.parametrize(
    ("prompt", "rest", "expected"),
    [
        ("a car, no red, blue sky", "a car,  , blue sky", ["red"]),
        ("no red, green or blue tones", "  tones", ["red", "green", "blue"]),
        ("without any red and gold", " ", ["red", "gold"]),
        ("avoid pale pink", " ", ["pale pink"]),
        ("do not use the colour blue", " ", ["blue"]),
        ("a teal car, not red but orange", "a teal car,   but orange", ["red"]),
        ("避免使用红色和黑色，蓝色", " 色，蓝色", ["red", "black"]),
        ("不要红色、绿色", " 色", ["red", "green"]),
        ("no text, a red car", "no text, a red car", []),
        ("a knot of red wool", "a knot of red wool", []),
        ("", "", []),
    ],
)
def test_colours_can_be_ruled_out(prompt: str, rest: str, expected: list[str]) -> None:
    """A list of colours after "no" ends where its "or" ends. The rest of the prompt names the others."""
    assert excluded(prompt) == (rest, named(*expected))


def test_the_negative_prompt_rules_colours_out() -> None:
    """Its colours come after those of the prompt, each once."""
    assert excluded("no red", "blurry, green, 红色") == (" ", named("red", "green"))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a fox on a black background", "black"),
        ("flat icon on a plain off-white background", "white"),
        ("A dark green background", "dark green"),
        ("isolated against a clean pale pink backdrop", "pale pink"),
        ("background: #1a2b3c", "#1a2b3c"),
        ("the background is deep blue with stars", "deep blue"),
        ("background in gold", "gold"),
        ("深蓝色背景", "深蓝色"),
        ("白底产品图", "white"),
        ("纯白背景", "white"),
        ("背景为黑色", "black"),
        ("a red car with trees in the background", None),
        ("a red car in front of a background of trees", None),
        ("底部的文字，海底世界", None),
        ("", None),
    ],
)
def test_the_background_has_a_colour_of_its_own(prompt: str, expected: str | None) -> None:
    """Only a colour right before or after the word counts."""
    assert background(prompt) == (named(expected)[0] if expected else None)
