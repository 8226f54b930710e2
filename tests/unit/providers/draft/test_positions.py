"""Tests of positions: which words place a quoted text, and which do not."""

from __future__ import annotations

import pytest

from qwenbuild.providers.draft.positions import ANYWHERE, Horizontal, Spot, Vertical, spot

TOP, MIDDLE, BOTTOM = Vertical.TOP, Vertical.MIDDLE, Vertical.BOTTOM
LEFT, CENTRE, RIGHT = Horizontal.LEFT, Horizontal.CENTRE, Horizontal.RIGHT


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("at the top ", (TOP, None)),
        ("At the very bottom of the poster, ", (BOTTOM, None)),
        ("In the top left corner, the words ", (TOP, LEFT)),
        ("upper-right corner: ", (TOP, RIGHT)),
        ("bottom center ", (BOTTOM, CENTRE)),
        ("centered at the bottom ", (BOTTOM, CENTRE)),
        ("in the middle ", (MIDDLE, CENTRE)),
        ("dead center, ", (MIDDLE, CENTRE)),
        ("On the left side, ", (None, LEFT)),
        ("to the right, a sign that says ", (None, RIGHT)),
        ("in the corner ", (BOTTOM, RIGHT)),
        ("Left upper: ", (TOP, LEFT)),
        ("Bottom - left: ", (BOTTOM, LEFT)),
        ("Upward right: ", (TOP, RIGHT)),
        ("Center title: ", (MIDDLE, None)),
        ("左上角写着", (TOP, LEFT)),
        ("右下角是", (BOTTOM, RIGHT)),
        ("画面中央是大字", (MIDDLE, CENTRE)),
        ("标题居中，写着", (None, CENTRE)),
        ("底部的文字", (BOTTOM, None)),
        ("对联左书", (None, LEFT)),
        ("横批", (TOP, None)),
        # no place in the image
        ("A castle on top of the hill, and the words ", (None, None)),
        ("A dog at the bottom of a lake says ", (None, None)),
        ("In the middle of the road, a sign: ", (None, None)),
        ("What is left? ", (None, None)),
        ("Right now, ", (None, None)),
        ("the bottle on the right, a badge ", (None, None)),
        ("at the top. Below, ", (None, None)),
        ("其下方是", (None, None)),
        ("", (None, None)),
    ],
)
def test_words_before_a_text_place_it(before: str, expected: Spot) -> None:
    """The clause that leads to the text counts, and one before it that only names a place."""
    assert spot(before, "") == (Spot(*expected), 0)


@pytest.mark.parametrize(
    ("after", "expected", "used"),
    [
        (" at the top, and", (TOP, None), 11),
        (" in the top right corner.", (TOP, RIGHT), 24),
        ("位于左上角，", (TOP, LEFT), 5),
        (" and at the bottom ", (None, None), 0),
        (", at the bottom ", (None, None), 0),
        (" “Cake” at the bottom", (None, None), 0),
        ("", (None, None), 0),
    ],
)
def test_words_after_a_text_place_it(after: str, expected: Spot, used: int) -> None:
    """They count up to the next clause, text or "and"."""
    assert spot("", after) == (Spot(*expected), used)


def test_words_before_count_more_than_words_after() -> None:
    """A text has one place."""
    assert spot("At the top, ", "") == (Spot(TOP), 0)
    assert spot("at the top ", " at the bottom") == (Spot(TOP), 0)
    assert spot("the bottle on the right, a badge ", " in the top left corner") == (Spot(TOP, LEFT), 23)
    assert Spot() == ANYWHERE
