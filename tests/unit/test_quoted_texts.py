"""Tests of quoted texts: which quotes count, and where the texts stand."""

from __future__ import annotations

import pytest

from qwenbuild.quoted_texts import Quoted, find


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a sign: “Tea”", ["Tea"]),
        ('a sign: "Tea"', ["Tea"]),
        ("a sign: 'Tea'", ["Tea"]),
        ("招牌写着「茶」和『酒』", ["茶", "酒"]),
        ("un panneau : « Thé »", ["Thé"]),
        ("a sign: ‘Don’t stop’", ["Don’t stop"]),
        ("the dog's bowl and the cats' toys", []),
        ('a 5" pipe and a 24" monitor', []),
        ("“  ” and “two\n  lines”", ["two lines"]),
    ],
)
def test_words(prompt: str, expected: list[str]) -> None:
    """Apostrophes and inches are no quotes. White space inside becomes single spaces."""
    assert [quoted.words for quoted in find(prompt)] == expected


def test_places() -> None:
    """A place includes the quotes."""
    assert list(find("a “b” c")) == [Quoted(2, 5, "b")]
