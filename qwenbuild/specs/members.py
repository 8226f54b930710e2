"""Members: the attributes and methods that templates may use of each type of value. All others are refused.

Methods that make a text longer, or walk through a list, are replaced by counted ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from functools import partial
from types import BuiltinMethodType, MethodType
from typing import Any

import jinja2
from jinja2 import Undefined
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.utils import Cycler, Joiner, Namespace

from .limits import Meter
from .operators import Operators
from .plain_values import Group, key_of, weigh
from .rows import Row

_OF_DATES = ("year", "month", "day", "isoformat", "isoweekday", "weekday")
_OF_TIMES = ("hour", "minute", "second", "isoformat")
_OF_NUMBERS = ("real", "imag", "numerator", "denominator", "conjugate", "bit_length", "bit_count", "is_integer",
               "as_integer_ratio")  # fmt: skip
_OF_MACROS = ("name", "arguments", "catch_kwargs", "catch_varargs", "caller")
_OF_TABLES = ("items", "keys", "values")
_OF_TEXTS = (
    "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal",
    "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "lower",
    "lstrip", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "upper",
)  # fmt: skip
_OF_LOOPS = ("index", "index0", "revindex", "revindex0", "first", "last", "length", "cycle", "depth", "depth0",
             "previtem", "nextitem")  # fmt: skip

_PAD = 'use the filter format: {{ "%03d" | format(n) }}'
_FIXED = "values never change; make a new one, such as {{ items + [item] }}, or keep it in a namespace"
WHY_NOT: Mapping[str, str] = {
    "format": _PAD, "format_map": _PAD,
    "encode": "a prompt is made of texts, not of bytes", "to_bytes": "a prompt is made of texts, not of bytes",
    "translate": "use replace", "maketrans": "use replace",
    **dict.fromkeys(("today", "now", "timestamp", "astimezone", "utcnow", "fromtimestamp"),
                    "a prompt can't depend on the clock; write the date into the spec"),
    **dict.fromkeys(("strftime", "ctime", "timetuple"),
                    "the names of months differ between machines; use the fields: {{ day.year }}-{{ day.month }}"),
    **dict.fromkeys(("append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse", "update",
                     "setdefault"), _FIXED),
}  # fmt: skip
"""What to use instead of a method that templates can't use, or why there is none."""


class Refused(SecurityError):
    """A template asked for a member that templates can't use; `hint` says what to use instead."""

    def __init__(self, message: str = "") -> None:
        message, _, hint = message.partition("\n")
        super().__init__(message)
        self.hint = hint or None


class Members:
    """Finds members of values, and calls what templates may call."""

    def __init__(self, meter: Meter, operators: Operators) -> None:
        self._meter, self._operators = meter, operators
        lists: dict[str, Callable[..., Any] | None] = {"index": self._index, "count": self._count, "copy": self._copy}
        tables: dict[str, Callable[..., Any] | None] = {
            **dict.fromkeys(_OF_TABLES),
            "get": self._get,
            "copy": self._copy,
        }
        self._of: dict[type, Mapping[str, Callable[..., Any] | None]] = {
            str: {**dict.fromkeys(_OF_TEXTS), "join": self._join, "replace": self.replace, "center": self.center,
                  "ljust": self._ljust, "rjust": self._rjust, "zfill": self._zfill, "expandtabs": self._expandtabs},
            list: lists, tuple: lists, Group: {**lists, "grouper": None, "list": None}, dict: tables, Row: tables,
            range: {**lists, "start": None, "stop": None, "step": None},
            date: dict.fromkeys(_OF_DATES), time: dict.fromkeys(_OF_TIMES),
            datetime: dict.fromkeys(_OF_DATES + _OF_TIMES),
            timedelta: dict.fromkeys(("days", "seconds", "microseconds", "total_seconds")),
            int: dict.fromkeys(_OF_NUMBERS), float: dict.fromkeys(_OF_NUMBERS), bool: dict.fromkeys(_OF_NUMBERS),
            LoopContext: {**dict.fromkeys(_OF_LOOPS), "changed": self._changed},
            Cycler: dict.fromkeys(("current", "items", "next", "pos", "reset")),
            Joiner: dict.fromkeys(("sep", "used")), BlockReference: dict.fromkeys(("name", "super")),
        }  # fmt: skip

    def of(self, owner: Any, name: str) -> Any:
        """Return the member `name` of a value; raises AttributeError if there is none, and Refused."""
        kind = type(owner)
        known = self._of.get(kind)
        if known is not None and name in known:
            counted = known[name]
            return getattr(owner, name) if counted is None else partial(counted, owner)
        if isinstance(owner, Undefined):
            owner._fail_with_undefined_error()  # reports what is undefined, or was refused before
        if name[:1] != "_":
            if kind is Namespace or (isinstance(owner, Macro) and name in _OF_MACROS):
                return getattr(owner, name)
            if kind is TemplateModule and name in vars(owner):
                return vars(owner)[name]
        if hasattr(kind, name):
            raise Refused(refusal(owner, name))
        raise AttributeError(name)

    def call(self, context: Context, called: Any, /, *arguments: Any, **named: Any) -> Any:
        """Return the result of a call; raises LimitError, and TypeError if templates can't call this."""
        kind = type(called)
        if kind is CountedMacro:
            return self._entered(called, called.steps, arguments, named)
        if kind is BuiltinMethodType and type(called.__self__) in self._of:  # a method of a text, a table or a date
            owner = called.__self__
            if type(owner) is str:
                self._meter.read(owner)
                for argument in arguments:
                    if type(argument) is str and len(argument) > 1:
                        self._searched(owner, argument)
                    if type(argument) is str or type(argument) is tuple:
                        self._meter.spend(len(argument) >> 4)
        elif kind is partial or kind is MethodType or kind is Joiner:
            pass
        elif kind is LoopContext and called._recurse is not None:
            (items,) = arguments
            body = called._recurse.__globals__["steps"]
            return self._entered(called, 1, (self._operators.rounds(items, body),), named)
        elif kind is BlockReference or kind is LoopContext:
            return self._entered(called, 1, arguments, named)
        elif isinstance(called, Undefined):
            pass  # reports the name that is undefined
        else:
            raise TypeError(f"'{kind.__name__}' object is not callable")
        return called(*arguments, **named)

    def _entered(self, called: Any, steps: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the result of a call that runs code of a template."""
        meter = self._meter
        meter.enter(steps)
        result = called(*arguments, **named)
        meter.level -= 1  # an error ends the text, so then the level does not matter
        return result

    def strip(self, text: str, characters: str | None) -> str:
        """Return `text.strip(characters)`; raises LimitError."""
        self._searched(text, characters or "")
        return text.strip(characters)

    def _searched(self, text: str, sought: str) -> None:
        """Count a search: `strip` looks at all that is sought for each character, and `rfind` may do so."""
        self._meter.spend(len(text) * len(sought) >> 10)

    # --- counted methods ---

    def replace(self, text: str, old: str, new: str, count: int = -1) -> str:
        """Return `text.replace(old, new, count)`; raises LimitError."""
        self._meter.read(text)
        times = text.count(old)
        if count >= 0:
            times = min(times, count)
        self._meter.produce(len(text) + times * (len(new) - len(old)))
        return text.replace(old, new, count)

    def center(self, text: str, width: int, *fill: str) -> str:
        """Return `text.center(width)`; raises LimitError."""
        self._meter.produce(max(width, len(text)))
        return text.center(width, *fill)

    def _ljust(self, text: str, width: int, *fill: str) -> str:
        self._meter.produce(max(width, len(text)))
        return text.ljust(width, *fill)

    def _rjust(self, text: str, width: int, *fill: str) -> str:
        self._meter.produce(max(width, len(text)))
        return text.rjust(width, *fill)

    def _zfill(self, text: str, width: int) -> str:
        self._meter.produce(max(width, len(text)))
        return text.zfill(width)

    def _expandtabs(self, text: str, tabsize: int = 8) -> str:
        self._meter.produce(len(text) + text.count("\t") * max(0, tabsize))
        return text.expandtabs(tabsize)

    def _join(self, text: str, items: Any) -> str:
        parts = list(self._operators.rounds(items))
        self._meter.produce(sum(map(len, parts)) + len(text) * max(0, len(parts) - 1))
        return text.join(parts)

    def _index(self, items: Any, item: Any, *between: int) -> int:
        self._operators.contains(item, items)  # counts
        return items.index(item, *between)  # type: ignore[no-any-return]

    def _count(self, items: Any, item: Any) -> int:
        self._operators.contains(item, items)  # counts
        return items.count(item)  # type: ignore[no-any-return]

    def _copy(self, items: Any) -> Any:
        self._meter.spend(len(items))
        return items.copy()

    def _get(self, table: dict[Any, Any], key: Any, default: Any = None) -> Any:
        return table.get(key_of(self._meter, key), default)

    def _changed(self, loop: LoopContext, *values: Any) -> bool:
        weigh(self._meter, values)
        return loop.changed(*values)


class CountedMacro(Macro):
    """A macro that knows how many steps one call takes, apart from its loops and calls."""

    def __init__(self, environment: jinja2.Environment, function: Callable[..., str], *rest: Any) -> None:
        super().__init__(environment, function, *rest[:-1])
        self.steps: int = rest[-1]


def refusal(owner: object, name: str) -> str:
    """Return the message of `Refused` for a member: the claim, and on a second line the hint."""
    kind = type(owner).__name__
    if name.startswith("_"):
        return f"access to attribute {name!r} of {kind!r} object is unsafe."
    kinds = {"str": "a text", "int": "a number", "float": "a number", "bool": "a truth value", "dict": "a table",
             "Row": "a row", "list": "a list", "tuple": "a list", "date": "a date", "datetime": "a date",
             "time": "a time", "CountedMacro": "a macro"}  # fmt: skip
    return f'templates can\'t use "{name}" of {kinds.get(kind, "this value")}\n{WHY_NOT.get(name, "")}'
