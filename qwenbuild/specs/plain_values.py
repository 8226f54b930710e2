"""Plain values: texts, numbers, dates, lists and tables. They alone have a text; functions and iterators have none.

Every way from a value to a text leads through `text_of` or `printable`, so no prompt can hold an object's address.
"""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

from jinja2 import Undefined
from jinja2.environment import TemplateModule

from .limits import MAX_DEPTH, LimitError, Meter, integer
from .rows import Row


class Group(NamedTuple):
    """A group of the filter `groupby`: the common value, and the items that have it."""

    grouper: Any
    list: list[Any]


SIMPLE = frozenset({int, float, bool, type(None), date, datetime, time, timedelta})
"""The types of values that hold no other values and are compared at once."""

TABLES = frozenset({dict, Row})
LISTS = frozenset({list, tuple, Group})
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
"""The types of a table's keys, values and pairs. They have no text, but are compared with all that is in them."""

_PRINTED = (str, int, float, Row, date, time, Undefined)
_MODULUS = sys.hash_info.modulus
_NO_TEXT = "this prints a function or an iterator: call it with (), or use | join"


def printable(value: Any) -> Any:
    """Return `value`; raises TypeError if it would print as `[…]` or `None`, or if it has no text."""
    if isinstance(value, _PRINTED):
        return value
    kinds: dict[type, str] = {list: "a list (use | join)", dict: "a table (name one of its fields)", type(None): "null"}
    raise TypeError(f"can't print {kinds.get(type(value), 'this: it has no text')}")


def text_of(meter: Meter, value: Any) -> str:
    """Return the text of any value that has one; lists and tables look as in Python.

    Raises TypeError for functions, iterators and other objects, and UndefinedError.
    """
    kind = type(value)
    if kind is str:
        return meter.read(value)
    if kind is int:
        return str(integer(value))
    if kind in SIMPLE or kind is Row or isinstance(value, Undefined):
        return str(value)
    if kind is TemplateModule:  # an imported template: the text that it prints
        return meter.concatenated(value._body_stream)
    if kind in LISTS or kind is dict:
        weigh(meter, value)
        written = _written(value)
        meter.produce(len(written))
        return written
    raise TypeError(_NO_TEXT)


def _written(value: Any) -> str:
    """Return a value as part of a list or a table: texts with quotation marks."""
    kind = type(value)
    if kind is int:
        return str(integer(value))
    if kind is str or kind in SIMPLE:
        return repr(value)
    if kind is list:
        return f"[{', '.join(map(_written, value))}]"
    if kind in LISTS:
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    if kind in TABLES:
        return f"{{{', '.join(f'{_written(key)}: {_written(item)}' for key, item in value.items())}}}"
    if isinstance(value, Undefined):
        return str(value)
    raise TypeError(_NO_TEXT)


def weigh(meter: Meter, value: Any) -> int:
    """Count all values and characters within `value` as steps, and return their number, at least one.

    A value that occurs twice counts twice, as it does for everything that walks through a value: texts, comparisons,
    hashes. Raises LimitError if there are too many, or if lists are nested too deeply.
    """
    kind = type(value)
    if kind in SIMPLE:
        return 1
    total, level = 0, [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                total += 1 + (len(item) >> 4)
            elif kind in LISTS or kind in VIEWS:
                total += 1
                inner.extend(item)
            elif kind in TABLES:
                total += 1
                inner.extend(item)
                inner.extend(item.values())
            else:
                total += 1
            if total + len(inner) > meter.left:
                meter.spend(total + len(inner))
        if not inner:
            meter.spend(total)
            return total
        level = inner
    raise LimitError(f"more than {MAX_DEPTH} lists and tables inside each other")


def key_of(meter: Meter, value: Any, among: int = 0) -> Any:
    """Return `value`, which a table with `among` keys is about to take as a key.

    The hash of a tuple walks through all that is in it. Integers beyond Python's modulus may all have the same hash,
    and then each one is compared with all keys before it.
    """
    if type(value) in LISTS:
        weigh(meter, value)
    elif type(value) is int and not -_MODULUS < value < _MODULUS:
        meter.spend(among)
    return value


def named(value: object) -> str:
    """Return the words for a value in a message."""
    if isinstance(value, Row):
        return f'the row "{value}"'
    kinds: dict[type, str] = {
        dict: "the table", list: "the list", tuple: "the list", str: "the text", int: "the number",
        float: "the number", bool: "the truth value", type(None): "null",
    }  # fmt: skip
    return kinds.get(type(value), "the value")
