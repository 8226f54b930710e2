"""Tests of the operators: they give what Python gives, and count before they do."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.specs.limits import MAX_CHARACTERS, LimitError, Meter, OutOfSteps
from qwenbuild.specs.operators import Operators, reversed_items
from qwenbuild.specs.rows import Row

VALUES = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=3) | st.lists(
    st.integers(0, 2) | st.text("ab", max_size=2), max_size=3
) | st.dictionaries(st.text("ab", max_size=1), st.integers(0, 2), max_size=2)  # fmt: skip


@pytest.fixture
def operators() -> Operators:
    return Operators(Meter())


def outcome(do: Callable[..., Any], *values: Any) -> Any:
    """Return the result, or the type of the error."""
    try:
        result = do(*values)
    except Exception as error:
        return type(error)
    return (type(result), repr(result))


@given(VALUES, VALUES)
def test_operators_give_what_python_gives(left: Any, right: Any) -> None:
    """For values of all types, also where Python raises an error."""
    made = Operators(Meter())
    for own, pythons in ((made.plus, operator.add), (made.minus, operator.sub), (made.times, operator.mul)):
        assert outcome(own, left, right) == outcome(pythons, left, right)
    if not isinstance(left, str):
        assert outcome(made.modulo, left, right) == outcome(operator.mod, left, right)
    for name in ("eq", "ne", "gt", "gteq", "lt", "lteq"):
        pythons = getattr(operator, name.replace("gteq", "ge").replace("lteq", "le"))
        assert outcome(made.compare, name, left, right) == outcome(pythons, left, right)
    assert outcome(made.contains, left, right) == outcome(operator.contains, right, left)
    assert made.joined((left, right)) == f"{left}{right}"


@given(st.lists(st.integers()), *([st.none() | st.integers(-5, 5)] * 3))
def test_a_slice_is_that_of_python(items: list[int], start: int | None, stop: int | None, step: int | None) -> None:
    """For lists, tuples and texts."""
    made = Operators(Meter())
    for value in (items, tuple(items), "".join(map(str, items))):
        assert outcome(made.sliced, value, start, stop, step) == outcome(lambda value=value: value[start:stop:step])


def test_dates_can_be_subtracted(operators: Operators) -> None:
    """As in Python."""
    assert operators.minus(date(2026, 2, 10), date(2026, 2, 1)) == timedelta(9)
    assert operators.plus(date(2026, 2, 10), timedelta(1)) == date(2026, 2, 11)


def test_keys_of_tables_can_not_be_subtracted(operators: Operators) -> None:
    """Python makes a set of them, whose order differs from run to run."""
    for left, right in (({"a": 1}.keys(), ["a"]), (["a"], {"a": 1}.keys()), ({"a": 1}.items(), [])):
        with pytest.raises(TypeError, match=r"can't subtract keys of tables: use \| reject"):
            operators.minus(left, right)


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (lambda it: it.times("a", 10**9), "the result of * is longer than 100,000"),
        (lambda it: it.times(10**9, [1]), "the result of * is longer than 100,000"),
        (lambda it: it.times(10**600, 10**600), "a number has more than 1,000 digits"),
        (lambda it: it.plus(10**1000 - 1, 1), "a number has more than 1,000 digits"),
        (lambda it: it.minus(1 - 10**1000, 1), "a number has more than 1,000 digits"),
        (lambda it: it.power(9, 9**9), "the result of ** is too large"),
        (lambda it: it.power(10**7, 2), "the result of ** is too large"),
        (lambda it: it.power(999_999.0, 64), "the result of ** is too large"),
        (lambda it: it.plus("a" * 60_000, "a" * 60_000), "the text is longer than 100,000 characters"),
        (lambda it: it.joined(["a" * 60_000] * 2), "the text is longer than 100,000 characters"),
        (lambda it: it.joined(["a" * 60_000] * 1_000), "the text is longer than 100,000 characters"),
        (lambda it: it.modulo("%0999999999d", 1), "a format is wider than 1,000 characters"),
    ],
)
def test_results_have_limits(operators: Operators, do: Callable[[Operators], object], reason: str) -> None:
    """Texts, lists and numbers."""
    with pytest.raises(LimitError) as caught:
        do(operators)
    assert str(caught.value) == reason


def test_a_power_is_a_real_number(operators: Operators) -> None:
    """Python knows complex numbers."""
    assert operators.power(2, -1) == 0.5
    assert operators.power(9, 0.5) == 3.0
    with pytest.raises(TypeError, match=r"the result of \*\* is no real number"):
        operators.power(-8, 0.5)


BIG: list[int] = list(range(MAX_CHARACTERS))


@pytest.mark.parametrize(
    "do",
    [
        lambda it: it.plus(BIG, BIG),
        lambda it: it.sliced(BIG, 1, None, None),
        lambda it: it.contains("x", BIG),
        lambda it: it.contains([1], BIG),
        lambda it: it.compare("eq", BIG, list(BIG)),
        lambda it: it.rounds(BIG, 1),
        lambda it: list(it.rounds((each for each in BIG), 1)),
        lambda it: list(reversed_items(it._meter, BIG)),
        lambda it: it.times([0], MAX_CHARACTERS),
    ],
)
def test_work_on_lists_counts(do: Callable[[Operators], object]) -> None:
    """What walks through a list takes steps each time, so it ends within a loop."""
    meter = Meter()
    with pytest.raises(OutOfSteps):
        for _ in range(100):
            do(Operators(meter))


def test_what_can_be_looped_over(operators: Operators) -> None:
    """Lists, tables, texts, ranges and iterators; nothing else."""
    for items in ([1], (1,), {"a": 1}, Row({"a": 1}, "r"), "a", range(1), {"a": 1}.keys(), {"a": 1}.items()):
        assert operators.rounds(items) is items
    assert list(operators.rounds(each for each in [1, 2])) == [1, 2]
    with pytest.raises(jinja2.UndefinedError):
        iter(operators.rounds(jinja2.StrictUndefined(name="x")))
    for other, words in ((1, "the number"), (None, "null"), (len, "the value"), (object(), "the value")):
        with pytest.raises(TypeError, match=f"can't loop over {words}"):
            operators.rounds(other)


def test_what_can_hold_something(operators: Operators) -> None:
    """Iterators are searched item by item."""
    assert operators.contains(2, (each for each in [1, 2, 3]))
    assert not operators.contains(2, {"a": 2}.keys())
    assert operators.contains(2, {"a": 2}.values())
    assert operators.contains(("a", 2), {"a": 2}.items())
    with pytest.raises(TypeError, match="the number can't hold anything"):
        operators.contains(1, 1)
