"""Tests of plain values: their texts are those of Python, and nothing else has a text."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.specs.limits import MAX_DEPTH, LimitError, Meter, OutOfSteps
from qwenbuild.specs.plain_values import Group, key_of, named, printable, text_of, weigh
from qwenbuild.specs.rows import Row

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes() | st.times()
KEYS = st.text() | st.integers() | st.booleans()
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner)
        | st.builds(lambda values: Row(values, "r1"), st.dictionaries(st.text(), inner))
    ),
)


@given(PLAIN)
def test_a_text_is_that_of_python(value: Any) -> None:
    """Lists and tables look as Python prints them; a row looks like its id, and like a table within a list."""
    assert text_of(Meter(), value) == str(value)


@pytest.mark.parametrize(
    "thing",
    [len, range(3), iter([1]), (x for x in "a"), {}.keys(), object(), int, {1}, b"a", 1j, Meter(), "a".upper],
    ids=lambda thing: type(thing).__name__,
)
def test_other_objects_have_no_text(thing: object) -> None:
    """Neither by themselves nor within a list or a table."""
    for value in (thing, [thing], (thing, 1), {"a": thing}, [[{"a": (thing,)}]], Group(thing, [])):
        with pytest.raises(TypeError, match="this prints a function or an iterator"):
            text_of(Meter(), value)
    with pytest.raises(TypeError, match="can't print this: it has no text"):
        printable(thing)


def test_an_undefined_value_is_reported_wherever_it_is() -> None:
    """Also within a list, where Python would print `Undefined`."""
    undefined = jinja2.StrictUndefined(name="mood")
    for value in (undefined, [undefined], {"a": (undefined,)}):
        with pytest.raises(jinja2.UndefinedError, match="'mood' is undefined"):
            text_of(Meter(), value)


def test_a_weight_counts_what_is_walked_through() -> None:
    """A list that occurs twice counts twice, and a text by its characters."""
    meter, inner = Meter(), [1, 2]
    assert [weigh(meter, value) for value in (1, "a", inner, [inner, inner], {"a": 1}, "x" * 160)] == [
        1,
        1,
        3,
        7,
        3,
        11,
    ]
    assert meter.spent == 1 + 3 + 7 + 3 + 11  # a number costs nothing


def test_a_value_that_unfolds_without_end_is_too_much() -> None:
    """Forty lists that each hold the one before twice would be a million million values."""
    value: Any = [1]
    for _ in range(40):
        value = [value, value]
    for use in (weigh, text_of):
        with pytest.raises(OutOfSteps):
            use(Meter(), value)


@pytest.mark.parametrize("view", [dict.keys, dict.values, dict.items])
def test_a_view_of_a_table_weighs_what_is_in_it(view: Any) -> None:
    """Comparing two tables' pairs walks through all values."""
    assert weigh(Meter(), view({1: 2, 3: 4})) > 2
    assert weigh(Meter(), [view({1: 2, 3: 4})]) > 3
    assert weigh(Meter(), {1: [5, 6]}.items()) == 6


def test_a_value_has_a_depth() -> None:
    """Python's own functions crash on tuples that are nested a hundred thousand times."""
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = (value,)
    assert weigh(Meter(), value) == MAX_DEPTH
    assert key_of(Meter(), value) is value
    for _ in range(100_000):
        value = (value,)
    for use in (weigh, text_of, key_of):
        with pytest.raises(LimitError, match="more than 100 lists and tables inside each other"):
            use(Meter(), value)


def test_integers_that_share_a_hash_count_as_what_a_table_takes_for_them() -> None:
    """Each one is compared with all before it, so a table of them takes the square of their number."""
    meter = Meter()
    for number in range(1_000):
        key_of(meter, number, number)
    assert meter.spent == 0
    with pytest.raises(OutOfSteps):
        for number in range(2_000):
            key_of(meter, number * (2**61 - 1) * 2**61, number)


@pytest.mark.parametrize(
    ("value", "words"),
    [(Row({}, "en"), 'the row "en"'), ({}, "the table"), ([], "the list"), ((), "the list"), ("", "the text"),
     (1, "the number"), (1.5, "the number"), (True, "the truth value"), (None, "null"), (len, "the value")],
)  # fmt: skip
def test_values_have_words(value: object, words: str) -> None:
    """Messages name no Python classes."""
    assert named(value) == words


@pytest.mark.parametrize(
    "value", ["a", 1, 1.5, True, Row({}, "en"), date(2026, 2, 10), datetime(2026, 2, 10), time(1, 2)]
)
def test_values_that_a_prompt_may_hold(value: object) -> None:
    """They are printed as they are."""
    assert printable(value) is value


@pytest.mark.parametrize(
    ("value", "what"),
    [([], "a list (use | join)"), ({}, "a table (name one of its fields)"), (None, "null"), (timedelta(1), "this")],
)
def test_values_that_a_prompt_does_not_hold(value: object, what: str) -> None:
    """A prompt with `None` or `['a']` would be paid for."""
    with pytest.raises(TypeError) as caught:
        printable(value)
    assert str(caught.value).startswith(f"can't print {what}")
