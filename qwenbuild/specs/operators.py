"""The operators of templates: each one counts what it produces or reads, before it does so.

Operators on short texts and on numbers count nothing: they are part of a step.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from types import GeneratorType
from typing import Any

from jinja2 import Undefined
from jinja2.runtime import LoopContext

from .limits import LONG, MAX_CHARACTERS, LimitError, Meter, counted, integer, product
from .plain_values import LISTS, SIMPLE, TABLES, VIEWS, named, text_of, weigh
from .printf import filled

_KEYS, _VALUES, _ITEMS = VIEWS
SIZED = frozenset({*LISTS, *TABLES, *VIEWS, str, range})
"""The types that can be looped over, and whose length is known."""

_COMPARE = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "gteq": operator.ge, "lt": operator.lt,
    "lteq": operator.le,
}  # fmt: skip
_NUMBERS = frozenset({int, float, bool})


class Operators:
    """The operators, counted by a meter. Compiled templates call these methods."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def plus(self, left: Any, right: Any) -> Any:
        """Return `left + right`; raises LimitError."""
        kind = type(left)
        if kind in LISTS and type(right) is kind:
            self._meter.spend(len(left) + len(right))
        elif kind is str and type(right) is str:
            self._meter.produce(len(left) + len(right))
        result = left + right
        return integer(result) if type(result) is int else result

    def minus(self, left: Any, right: Any) -> Any:
        """Return `left - right` of numbers or dates. (Of the keys of tables, Python makes a set, without an order.)"""
        if type(left) in VIEWS or type(right) in VIEWS:
            raise TypeError("can't subtract keys of tables: use | reject")
        result = left - right
        return integer(result) if type(result) is int else result

    def times(self, left: Any, right: Any) -> Any:
        """Return `left * right`; raises LimitError."""
        if isinstance(left, int) and isinstance(right, int):
            return product(left, right)
        for items, often in ((left, right), (right, left)):
            if isinstance(items, str | list | tuple) and isinstance(often, int):
                if len(items) * often > MAX_CHARACTERS:
                    raise LimitError(f"the result of * is longer than {MAX_CHARACTERS:,}")
                self._meter.spend(max(0, len(items) * often) >> (4 if isinstance(items, str) else 0))
                break
        return left * right

    def power(self, left: Any, right: Any) -> Any:
        """Return `left ** right`; raises LimitError, and TypeError if the result is no real number."""
        if type(left) in _NUMBERS and type(right) in _NUMBERS:
            if abs(left) > 10**6 or abs(right) > 64:
                raise LimitError("the result of ** is too large")
            try:
                result = left**right
            except OverflowError:
                raise LimitError("the result of ** is too large") from None
            if isinstance(result, complex):
                raise TypeError("the result of ** is no real number")
            return result
        return left**right

    def modulo(self, left: Any, right: Any) -> Any:
        """Return `left % right`: the rest of a division, or a text with its fields filled. Raises LimitError."""
        if type(left) is not str:
            return left % right
        if type(right) in TABLES and "%(" in left:
            return filled(self._meter, left, right)
        return filled(self._meter, left, right if type(right) is tuple else (right,))

    def joined(self, parts: Iterable[Any]) -> str:
        """Return the texts of all parts as one text: the operator `~`. Raises LimitError, TypeError, UndefinedError."""
        texts = [part if type(part) is str else text_of(self._meter, part) for part in parts]
        text = "".join(texts) if len(texts) < 64 else self._meter.concatenated(texts)
        if len(text) > LONG:
            self._meter.produce(len(text))
        return text

    def compare(self, name: str, left: Any, right: Any) -> Any:
        """Return the result of a comparison; `name` is Jinja's. Comparing lists walks through all that is in them."""
        kind, other = type(left), type(right)
        if kind not in SIMPLE and other not in SIMPLE:
            if kind is str and other is str:
                length = min(len(left), len(right))
                if length > LONG:
                    self._meter.spend(length >> 4)
            else:
                weigh(self._meter, left)
                weigh(self._meter, right)
        return _COMPARE[name](left, right)

    def contains(self, item: Any, container: Any) -> bool:
        """Return whether `container` holds `item`. Raises LimitError, and TypeError if it can't hold anything."""
        kind = type(container)
        if kind is str:
            self._meter.read(container)
        elif kind in LISTS or kind is _VALUES or kind is _ITEMS or kind is range:
            if type(item) in SIMPLE or (type(item) is str and len(item) <= LONG):
                self._meter.spend(len(container) >> 2)
            else:
                self._meter.spend(weigh(self._meter, item) * len(container))
                for each in () if kind is range else container:
                    weigh(self._meter, each)
        elif kind in TABLES or kind is _KEYS:
            weigh(self._meter, item)
        elif kind is GeneratorType:
            return any(self.compare("eq", item, each) for each in container)
        elif not isinstance(container, Undefined):
            raise TypeError(f"{named(container)} can't hold anything")
        return item in container

    def sliced(self, items: Any, start: Any, stop: Any, step: Any) -> Any:
        """Return `items[start:stop:step]`; raises LimitError."""
        kind = type(items)
        if kind in LISTS:
            self._meter.spend(len(items))
        elif kind is str:
            self._meter.read(items)
        return items[start:stop:step]

    def rounds(self, items: Any, steps: int = 1) -> Iterable[Any]:
        """Return `items` for a loop; each item counts `steps`. Raises LimitError, and TypeError for other values."""
        kind = type(items)
        if kind in SIZED:
            self._meter.spend(len(items) * steps)
            return items  # type: ignore[no-any-return]
        if kind is GeneratorType or kind is LoopContext:
            return counted(self._meter, items, steps)
        if isinstance(items, Undefined):
            return items
        raise TypeError(f"can't loop over {named(items)}")


def reversed_items(meter: Meter, items: Any) -> Iterator[Any]:
    """Yield the items of a list or a table from the last to the first; raises TypeError if they have no order."""
    backwards = reversed(items)
    if type(items) in SIZED:
        meter.spend(len(items))
    yield from backwards
