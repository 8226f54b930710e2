"""How texts are shortened and wrapped, and how large a terminal is."""

from __future__ import annotations

import io
import os
import pty
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.problems import columns
from qwenbuild.terminal import screen


def test_a_pipe_has_no_size() -> None:
    """So nothing is shortened or wrapped there."""
    assert (screen.size(io.StringIO()), screen.width(io.StringIO())) == (None, None)
    assert screen.shortened("x" * 500, None) == screen.cut("x" * 500, None) == "x" * 500
    assert screen.wrapped("x y " * 500, None) == ["x y " * 500]


def test_the_size_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has the last word, as everywhere; a terminal that does not tell has 80 by 24."""
    master, slave = pty.openpty()
    with open(slave, "w") as stream:
        for name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name, raising=False)
        assert screen.size(stream) == (80, 24)
        termios.tcsetwinsize(slave, (40, 120))
        assert screen.size(stream) == (120, 40)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("LINES", "none")
        assert screen.size(stream) == (100, 40)
    os.close(master)


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("puppies/poster[seed=1]", 22, "puppies/poster[seed=1]"),
        ("puppies/poster[seed=1]", 12, "puppie…ed=1]"),
        ("puppies/poster[seed=1]", 1, "…"),
        ("puppies/poster[seed=1]", 0, ""),
        ("海报/夏天的海报[seed=1]", 12, "海报/…ed=1]"),
        ("海报海报", 4, "海…"),
    ],
)
def test_names_keep_both_ends(text: str, room: int, expected: str) -> None:
    """Wide characters count twice, and are never cut in half."""
    assert screen.shortened(text, room) == expected


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60), st.integers(0, 70))
def test_nothing_is_wider_than_its_room(text: str, room: int) -> None:
    """Neither a shortened text nor a line of a wrapped one; what fits is unchanged."""
    assert columns(screen.shortened(text, room)) <= room or not text
    assert columns(screen.cut(text, room)) <= room
    if columns(text) <= room:
        assert screen.shortened(text, room) == screen.cut(text, room) == text
    assert all(columns(line) <= max(room, 2) for line in screen.wrapped(text, max(room, 2)))


@given(st.lists(st.sampled_from(["a", "bcd", "efghi", "长城"]), min_size=1, max_size=40), st.integers(5, 30))
def test_wrapped_lines_keep_all_words(words: list[str], room: int) -> None:
    """They break at blanks, and lose nothing if there are lines enough."""
    lines = screen.wrapped(" ".join(words), room, most=99)
    assert " ".join(lines).split() == words


def test_too_many_lines_end_with_an_ellipsis() -> None:
    """A text of any length takes a few lines."""
    assert screen.wrapped("one two three four five", 9, most=2) == ["one two", "three fo…"]
    assert screen.wrapped("x" * 20, 9) == ["x" * 9, "x" * 9, "xx"]


def test_a_hanging_text_stands_below_itself() -> None:
    """No line begins at the first column."""
    assert list(screen.hanging("note", "one two three", 19)) == [
        "      note  one two", "            three"
    ]  # fmt: skip
    assert list(screen.hanging("note", "one two three", None)) == ["      note  one two three"]
