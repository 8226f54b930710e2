"""Axis values: the forms of an axis in a spec, and the values that each form stands for.

The build and shell completion share these rules. Like `discovery`, this module loads neither pydantic nor Jinja.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from qwenbuild.problems import plain

from .rows import Row


def form(written: object) -> Literal["list", "file", "range", "value"]:
    """Return the form of an axis as TOML has it: a list, a table that names a data file, a range, or one value."""
    match written:
        case list() | tuple():
            return "list"
        case dict() if "file" in written:
            return "file"
        case dict():
            return "range"
        case _:
            return "value"


def numbers(start: int, count: int, step: int) -> range:
    """Return the numbers of a range: `count` of them from `start`, `step` apart."""
    return range(start, start + count * step, step)


def table_row(table: Mapping[str, Any], number: int) -> Row:
    """Return a table of a spec as a row. The row's id is the table's `id`, else `number`.

    Raises TypeError if the `id` is neither a text nor a number.
    """
    name = table.get("id", number)
    if not isinstance(name, str | int | float):
        raise TypeError("an id must be a text or a number")
    return Row(table, plain(name))


def length(values: Sequence[Any]) -> int:
    """Return the number of values. Unlike `len`, this also works for a range of more than `sys.maxsize` numbers."""
    if isinstance(values, range):
        return (values[-1] - values[0]) // values.step + 1
    return len(values)


def combinations(axes: Iterable[Sequence[Any]]) -> int:
    """Return the number of combinations of the axes' values.

    Above 10**24 it is a lower bound, because Python can't print a number of any length.
    """
    product = 1
    for values in axes:
        if product < 10**24:
            product *= length(values)
    return product
