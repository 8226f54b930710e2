"""Tests of typesetting: what fits, where lines break, and that no ink leaves the box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from qwenbuild.providers.draft.fonts import BLACK, BOLD, REGULAR
from qwenbuild.providers.draft.typeset import Block, draw, fit, fit_ends
from tests.support.drafts import PROMPTS


def lines(text: str, width: int, height: int = 1000, px: int = 20, **options: int) -> list[str]:
    """Return the lines of a text at one font size."""
    return list(fit(text, width, height, most_px=px, least_px=px, weight=REGULAR, **options).lines)


def test_a_text_is_set_as_large_as_fits() -> None:
    """A font size one pixel larger would not fit the box."""
    block = fit("Come Play Ball!", 500, 200, most_px=200, least_px=10, weight=BLACK)
    larger = fit("Come Play Ball!", 500, 200, most_px=block.size_px + 1, least_px=block.size_px + 1, weight=BLACK)
    assert (block.whole, larger.whole) == (True, False)


def test_lines_are_balanced() -> None:
    """A text has as few lines as the width allows, of about equal length."""
    assert lines("one two three four five six", 200) == ["one two three", "four five six"]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("我们又可以和好朋友一起玩球啦！", 170, ["我们又可以和好朋", "友一起玩球啦！"]),
        ("「甲」「乙」「丙」", 85, ["「甲」", "「乙」", "「丙」"]),
        ("Go 去北京 now", 60, ["Go 去", "北京", "now"]),
        ("한국어 문장", 80, ["한국어", "문장"]),
    ],
)
def test_lines_break_as_the_script_does(text: str, width: int, expected: list[str]) -> None:
    """Chinese breaks between characters, but closing marks never start a line and opening marks never end one."""
    assert lines(text, width) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("many boats and seagulls and lanterns", ["many boats..."]),
        ("我们又可以和好朋友一起玩球啦", ["我们又可以和…"]),
        ("X" * 40, ["XXXXXXXXXXXX..."]),
    ],
)
def test_a_text_that_does_not_fit_ends_in_an_ellipsis(text: str, expected: list[str]) -> None:
    """The ellipsis follows a whole word if the text has several."""
    block = fit(text, 150, 30, most_px=20, least_px=20, weight=REGULAR)
    assert (list(block.lines), block.whole) == (expected, False)


def test_a_word_too_long_is_broken_before_it_gets_tiny() -> None:
    """A long word is broken into lines instead of being set very small."""
    block = fit("X" * 60, 1000, 400, most_px=150, least_px=20, weight=BLACK)
    assert (len(block.lines) > 1, block.size_px > 60, "".join(block.lines)) == (True, True, "X" * 60)


def test_a_phrase_without_spaces_keeps_together() -> None:
    """It is set smaller on two lines, not larger on three."""
    block = fit("一起来玩球吧！", 590, 900, most_px=190, least_px=20, weight=BLACK, most_lines=4)
    assert block.lines == ("一起来玩", "球吧！")


def test_a_name_too_long_loses_its_middle() -> None:
    """Both ends of a cell's name stay visible."""
    name = "puppies/poster[copy=en,palette=sunset,seed=1,size=1328x1328]"
    short = fit_ends(name, 300, px=20, weight=REGULAR)
    (line,) = short.lines
    assert (line[:12], line[-12:], "..." in line, short.width <= 300) == (name[:12], name[-12:], True, True)
    assert fit_ends(name, 2000, px=20, weight=REGULAR).lines == (name,)
    assert fit_ends(name, 3, px=20, weight=REGULAR).lines == ()


@pytest.mark.parametrize("text", ["", "  \n "])
def test_no_text_is_a_block_without_lines(text: str) -> None:
    """A blank text takes no space."""
    block = fit(text, 100, 100, most_px=20, least_px=10, weight=REGULAR)
    assert (block.lines, block.width, block.height, block.whole) == ((), 0, 0, True)


@given(
    st.text(max_size=80) | st.sampled_from(PROMPTS),
    st.integers(0, 900),
    st.integers(0, 400),
    st.integers(7, 40),
    st.integers(0, 120),
    st.sampled_from([REGULAR, BOLD, BLACK]),
    st.integers(1, 6),
)
def test_no_block_leaves_its_box(
    text: str, width: int, height: int, least_px: int, more_px: int, weight: int, most_lines: int
) -> None:
    """For any text and box, no line is wider than the box, and all lines together are not higher."""
    block = fit(
        text, width, height, most_px=least_px + more_px, least_px=least_px, weight=weight, most_lines=most_lines
    )
    assert [block.face.width_px(line, block.size_px) <= width for line in block.lines] == [True] * len(block.lines)
    assert block.height <= height
    assert len(block.lines) <= most_lines
    assert not block.lines or least_px <= block.size_px <= least_px + more_px


def ink(block: Block, width: int, align: float) -> tuple[int, int, int, int] | None:
    """Draw a block with a margin of 100 pixels around its box. Return the bounds of the ink."""
    canvas = Image.new("L", (width + 200, block.height + 200), 0)
    draw(ImageDraw.Draw(canvas), block, 100, 100, width, align=align, fill=255)
    return canvas.getbbox()


@pytest.mark.parametrize("align", [0, 0.5, 1])
@pytest.mark.parametrize("text", ["Jolly Ågy fjord!", "一起来玩球吧！", "🐶🎉 مرحبا", "한국어"])
def test_what_is_drawn_is_inside_the_box(text: str, align: float) -> None:
    """The ink lies in the block's box; overhangs and accents leave it by at most 0.15 em."""
    block = fit(text, 600, 400, most_px=60, least_px=60, weight=BLACK)
    bounds = ink(block, 600, align)
    assert bounds is not None
    overhang_px = 60 * 0.15
    assert bounds[0] >= 100 - overhang_px
    assert bounds[1] >= 100 - overhang_px
    assert bounds[2] <= 700 + overhang_px
    assert bounds[3] <= 100 + block.height + overhang_px


def test_lines_of_all_sizes_stand_on_the_same_left_edge() -> None:
    """The white space at the left of large letters is removed."""
    edges = set()
    for px in (20, 60, 120):
        bounds = ink(fit("Dawn", 600, 300, most_px=px, least_px=px, weight=BLACK), 600, 0)
        assert bounds is not None
        edges.add(bounds[0])
    assert edges <= {99, 100, 101}
