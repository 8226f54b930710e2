"""Tests of colours: conversion to OKLCH and back, contrast, and the distance of hues."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.providers.draft.oklch import BLACK, WHITE, Colour, contrast, hue_distance, lch, readable, rgb

_COLOUR = st.builds(Colour, *[st.integers(0, 255)] * 3)


@given(_COLOUR)
def test_a_colour_survives_the_way_to_oklch_and_back(colour: Colour) -> None:
    """Each component differs by at most 2 of 255."""
    assert max(abs(one - other) for one, other in zip(rgb(*lch(colour)), colour, strict=True)) <= 2


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


@pytest.mark.parametrize(("one", "other", "expected"), [(10, 350, 20), (0, 180, 180), (-30, 30, 60), (400, 40, 0)])
def test_hues_are_compared_around_the_circle(one: float, other: float, expected: float) -> None:
    """No two hues are more than 180 degrees apart."""
    assert hue_distance(one, other) == expected


def test_a_mixture_lies_between_its_colours() -> None:
    """A share of 0 is the colour itself, a share of 1 the other one."""
    assert [BLACK.mixed(WHITE, share).red for share in (0, 0.5, 1)] == [0, 128, 255]
