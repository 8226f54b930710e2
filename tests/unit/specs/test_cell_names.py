from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.specs.cell_names import cell_name, parse_cell_name, quoted, split_labels

_AXES = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=6).filter(str.isidentifier)
_LABELS = st.text() | st.text(st.sampled_from("ab ,=[]\"\\'\n\t\x00\x7f\u2028é猫"))


def named(image: str, cell: dict[str, str]) -> str:
    """Return the name of a cell."""
    return cell_name(image, [f"{axis}={quoted(cell[axis])}" for axis in sorted(cell)])


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ({}, "puppies/poster"),
        (
            {"size": "1328x1328", "copy": "en", "seed": "1", "palette": "sunset"},
            "puppies/poster[copy=en,palette=sunset,seed=1,size=1328x1328]",
        ),
        ({"mood": "night market"}, "puppies/poster[mood=night market]"),
        ({"mood": "red, green"}, 'puppies/poster[mood="red, green"]'),
        ({"mood": 'so "called"'}, 'puppies/poster[mood="so \\"called\\""]'),
        ({"mood": " padded "}, 'puppies/poster[mood=" padded "]'),
        ({"mood": ""}, 'puppies/poster[mood=""]'),
        ({"mood": "a[1]=b"}, 'puppies/poster[mood="a[1]=b"]'),
        ({"mood": "two\nlines"}, 'puppies/poster[mood="two\\nlines"]'),
        ({"mood": "猫"}, "puppies/poster[mood=猫]"),
        ({"mood": "16:9"}, "puppies/poster[mood=16:9]"),
    ],
)
def test_a_cells_name_has_quotes_only_if_needed(cell: dict[str, str], name: str) -> None:
    """Axes are sorted; a label that could be misread has quotes."""
    assert named("puppies/poster", cell) == name
    assert parse_cell_name(name) == ("puppies/poster", cell)


@given(st.dictionaries(_AXES, _LABELS, max_size=4))
def test_every_name_can_be_parsed(cell: dict[str, str]) -> None:
    """For all labels, parsing a name gives the cell; so two cells never share a name."""
    assert parse_cell_name(named("a/b", cell)) == ("a/b", cell)


@given(st.text('ab[]=,"\\ \n/'))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """If a text is parsed, writing the result and parsing again gives the same cell."""
    found = parse_cell_name(text)
    if found is not None:
        image, cell = found
        assert parse_cell_name(named(image, cell)) == (image, cell)


@pytest.mark.parametrize(
    "text",
    ["a/b[", "a/b[x]", "a/b[x=1", "a/b[x=1]y", 'a/b[x="1]', "a/b[x=1,,y=2]", 'a/b[x="\\q"]', "a/b[=1]", "a/b[ =1]"],
)
def test_malformed_names_are_refused(text: str) -> None:
    """Parsing a malformed name gives None."""
    assert parse_cell_name(text) is None


def test_names_may_be_typed_with_blanks() -> None:
    """A blank after a comma is ignored."""
    assert parse_cell_name("a/b[x=1, y=2]") == ("a/b", {"x": "1", "y": "2"})


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b c", ["a", "b c"]),
        ('"a, b" ,c', ["a, b", "c"]),
        ('5" pipe,"x" y', ['5" pipe', '"x" y']),
        ('"a', ['"a']),
        ("a,", ["a", ""]),
        ('"\\q",b', ['"\\q"', "b"]),
    ],
)
def test_labels_between_commas(text: str, labels: list[str]) -> None:
    """Quotes count only around a whole label."""
    assert list(split_labels(text)) == labels


@given(st.lists(_LABELS, min_size=1))
def test_quoted_labels_are_read_back(labels: list[str]) -> None:
    """Every label can stand in a list."""
    assert list(split_labels(",".join(map(quoted, labels)))) == labels
