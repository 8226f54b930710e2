"""Formats such as `%02d`: fills values into a text as Python's `%` does, with a limit on widths."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .limits import LimitError, Meter, integer
from .plain_values import TABLES, printable

MAX_WIDTH = 1_000
"""The largest width and the largest number of decimals of a format, in characters."""

_FIELD = re.compile(r"%(?:\(([^()%]{0,100})\))?([#0\- +]{0,5})(\d*)(?:\.(\d*))?(.?)", re.DOTALL)
_NUMBERS = frozenset("diuoxXeEfFgG")
_WHOLE = frozenset("diuoxX")


def filled(meter: Meter, text: str, values: tuple[Any, ...] | Mapping[str, Any]) -> str:
    """Return `text` with its fields, such as `%s` and `%03d`, replaced by the values, in order or by name.

    Raises TypeError for a value that does not fit its field or is missing, and LimitError.
    """
    by_name = values if isinstance(values, Mapping) else None
    rest = iter(() if by_name is not None else values)
    size = len(text)

    def field(found: re.Match[str]) -> str:
        nonlocal size
        name, flags, width, decimals, kind = found.groups()
        if kind == "%" and found[0] == "%%":
            return "%"
        shape = _shape(flags, width, decimals, kind, found[0])
        if by_name is not None:
            if name is None:
                raise TypeError(f'"{found[0]}" needs a name: "%(name)s"')
            if name not in by_name:
                raise TypeError(f'there is no value "{name}" for "{found[0]}"')
            value = by_name[name]
        else:
            if name is not None:
                raise TypeError(f'"{found[0]}" needs a value with this name')
            value = next(rest, rest)
            if value is rest:
                raise TypeError("the text has more fields than there are values")
        out = shape(_fitting(value, kind, found[0]))
        size += len(out)
        meter.produce(size)
        return out

    meter.read(text)
    out = _FIELD.sub(field, text)
    if by_name is None and next(rest, rest) is not rest:
        raise TypeError("there are more values than fields in the text")
    return out


def _shape(flags: str, width: str, decimals: str | None, kind: str, shown: str) -> Callable[[Any], str]:
    """Return the function that writes a value in a field."""
    if kind not in _NUMBERS and kind != "s":
        raise ValueError(f'"{shown}" is no format; a percent sign is written %%')
    for digits in (width, decimals or ""):
        if len(digits.lstrip("0")) > 4 or int(digits or 0) > MAX_WIDTH:
            raise LimitError(f"a format is wider than {MAX_WIDTH:,} characters")
    form = f"%{flags}{width}{'' if decimals is None else '.' + decimals}{kind}"
    return lambda value: form % (value,)


def _fitting(value: Any, kind: str, shown: str) -> Any:
    """Return a value as its field takes it."""
    if kind == "s":
        return str(printable(value))
    if isinstance(printable(value), int | float):
        return integer(int(value)) if kind in _WHOLE else value
    if type(value) in TABLES or isinstance(value, str):
        raise TypeError(f'"{shown}" needs a number: a text such as "7" becomes one with | int')
    raise TypeError(f'"{shown}" needs a number')
