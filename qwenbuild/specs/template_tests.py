"""Jinja's tests, counted: what follows `is` in a template."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jinja2
from jinja2.runtime import Undefined
from jinja2.tests import TESTS

from .limits import Meter
from .operators import SIZED, Operators
from .plain_values import SIMPLE, text_of

_COMPARED = {
    "==": "eq", "eq": "eq", "equalto": "eq", "!=": "ne", "ne": "ne", ">": "gt", "gt": "gt", "greaterthan": "gt",
    "ge": "gteq", ">=": "gteq", "<": "lt", "lt": "lt", "lessthan": "lt", "<=": "lteq", "le": "lteq",
}  # fmt: skip
_UNCHANGED = ("defined", "undefined", "none", "boolean", "false", "true", "integer", "float", "string", "mapping",
              "number", "callable", "escaped")  # fmt: skip


class TemplateTests:
    """The tests of templates."""

    def __init__(self, environment: jinja2.Environment, meter: Meter, operators: Operators) -> None:
        self._environment, self._meter, self._operators = environment, meter, operators

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """Return the tests by the names that they have in templates."""
        return {
            **{name: _jinjas(name) for name in _UNCHANGED},
            **{name: partial(self._operators.compare, kind) for name, kind in _COMPARED.items()},
            "divisibleby": self._divisibleby, "even": self._even, "filter": self._filter,
            "in": self._operators.contains, "iterable": self._iterable, "lower": self._lower, "odd": self._odd,
            "sameas": self._sameas, "sequence": self._sequence, "test": self._test, "upper": self._upper,
        }  # fmt: skip

    # On a text, Jinja's own three would fill its fields: '%9999999999d' is odd.

    def _odd(self, value: Any) -> bool:
        return bool(_number(value) % 2 == 1)

    def _even(self, value: Any) -> bool:
        return bool(_number(value) % 2 == 0)

    def _divisibleby(self, value: Any, num: Any) -> bool:
        return bool(_number(value) % num == 0)

    def _filter(self, value: Any) -> bool:
        return isinstance(value, str) and value in self._environment.filters

    def _test(self, value: Any) -> bool:
        return isinstance(value, str) and value in self._environment.tests

    def _lower(self, value: Any) -> bool:
        return text_of(self._meter, value).islower()

    def _upper(self, value: Any) -> bool:
        return text_of(self._meter, value).isupper()

    def _sequence(self, value: Any) -> bool:
        if isinstance(value, Undefined):
            len(value)  # reports what is undefined
        return type(value) in SIZED

    def _iterable(self, value: Any) -> bool:
        try:
            self._operators.rounds(value, 0)
        except TypeError:
            return False
        return True

    def _sameas(self, value: Any, other: Any) -> bool:
        """Return whether both are one object. Equal texts and numbers count: Python may have several copies of one."""
        if type(value) in SIMPLE or type(value) is str:
            return type(value) is type(other) and bool(self._operators.compare("eq", value, other))
        return value is other


def _jinjas(name: str) -> Callable[..., Any]:
    return TESTS[name]  # type: ignore[return-value]  # Jinja's type names no signature


def _number(value: Any) -> Any:
    """Return a value; raises TypeError if it is a text."""
    if isinstance(value, str):
        raise TypeError("a text is neither odd nor even: use | int")
    return value
