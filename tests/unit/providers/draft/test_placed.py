"""Tests of the nouns of a layout."""

from __future__ import annotations

from qwenbuild.providers.draft.placed import Box, Layout
from qwenbuild.request import Size


def test_a_box_knows_its_far_edges() -> None:
    """They are the first column and row behind it."""
    assert (Box(2, 3, 10, 20).right, Box(2, 3, 10, 20).bottom) == (12, 23)


def test_measures_are_shares_of_the_shorter_side() -> None:
    """The unit is the shorter side, whichever it is."""
    assert [Layout(size, 0, Box(0, 0, 1, 1), ()).unit for size in (Size(300, 200), Size(100, 400))] == [200, 100]
