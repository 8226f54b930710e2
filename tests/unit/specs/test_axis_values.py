"""Tests of the forms of an axis, and of the values that each form stands for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qwenbuild.specs.axis_values import combinations, form, length, numbers, table_row


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([1, 2], "list"), ((1, 2), "list"), ({"file": "a.csv"}, "file"), ({"file": "a.csv", "id": "code"}, "file"),
        ({"start": 1, "count": 2}, "range"), ({}, "range"), ("file", "value"), (7, "value"), (True, "value"),
    ],
)  # fmt: skip
def test_an_axis_has_one_of_four_forms(written: object, expected: str) -> None:
    """A table that names no file is a range."""
    assert form(written) == expected


@pytest.mark.parametrize(
    ("start", "count", "step", "expected"),
    [(1, 3, 1, [1, 2, 3]), (5, 3, 2, [5, 7, 9]), (5, 3, -5, [5, 0, -5]), (0, 1, 100, [0])],
)
def test_a_range_has_count_numbers(start: int, count: int, step: int, expected: list[int]) -> None:
    """The step may be negative."""
    assert list(numbers(start, count, step)) == expected


@pytest.mark.parametrize(
    ("table", "name"),
    [({"id": "en"}, "en"), ({"id": 5}, "5"), ({"id": 1.5}, "1.5"), ({"id": True}, "true"), ({"title": "x"}, "3")],
)
def test_a_table_is_a_row_named_by_its_id(table: dict[str, object], name: str) -> None:
    """Without an id, the row is named by its number."""
    row = table_row(table, 3)
    assert (str(row), dict(row)) == (name, table)


def test_an_id_that_is_a_list_is_refused() -> None:
    """Names and paths need a text or a number."""
    with pytest.raises(TypeError, match="an id must be a text or a number"):
        table_row({"id": []}, 1)


@pytest.mark.parametrize("values", [[1], [1, 2, 3], range(0, 10), range(10, 0, -3), range(0, 7, 7)])
def test_a_length_is_len(values: list[int] | range) -> None:
    """Up to `sys.maxsize` values, the length equals `len`."""
    assert length(values) == len(values)


def test_a_length_beyond_len() -> None:
    """A range may have more values than `len` can count."""
    assert length(range(0, 10**30, 10)) == 10**29


def test_completion_loads_nothing_heavy_for_it() -> None:
    """Neither this module nor the other ones that completion uses load pydantic or Jinja."""
    code = (
        "import sys, qwenbuild.specs.axis_values, qwenbuild.specs.discovery, qwenbuild.specs.outline\n"
        "print(sorted({'pydantic', 'jinja2', 'httpx', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_combinations_are_counted_as_far_as_they_can_be_printed() -> None:
    """A thousand long ranges would give a number of 18,000 digits."""
    assert combinations([]) == 1
    assert combinations([range(4), ["a", "b"], range(3)]) == 24
    assert 10**24 <= combinations([range(10**18)] * 1000) <= 10**42
