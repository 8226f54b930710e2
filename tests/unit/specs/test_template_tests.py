"""Tests of Jinja's tests (`is …`): they give what Jinja's own give, except where those differ between runs."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from jinja2.tests import TESTS

from qwenbuild.specs.rows import Row
from qwenbuild.specs.sandbox import environment

OWN: Any = environment(jinja2.DictLoader({}))
JINJAS = jinja2.Environment()
VALUES: list[Any] = [
    0,
    1,
    2,
    1.5,
    True,
    None,
    "",
    "a",
    "A",
    "upper",
    "odd",
    [],
    [1],
    (1,),
    {},
    {"a": 1},
    Row({}, "r"),
    range(2),
]


def outcome(do: Any, *arguments: Any) -> Any:
    try:
        return bool(do(*arguments))
    except Exception as error:
        return type(error)


def test_every_test_of_jinja_is_there() -> None:
    """None was taken away."""
    assert sorted(OWN.tests) == sorted(TESTS)


@pytest.mark.parametrize("name", sorted(TESTS))
def test_tests_give_what_jinjas_own_give(name: str) -> None:
    """For values of all types, with and without a second value."""
    needs = {"divisibleby", "sameas", "in", "eq", "ne", "gt", "ge", "lt", "le", "equalto", "greaterthan", "lessthan"}
    others = VALUES if name in needs or not name.isalpha() else [...]
    for value in VALUES:
        for other in others:
            arguments = [] if other is ... else [other]
            if name in ("divisibleby", "odd", "even") and isinstance(value, str):
                continue  # Jinja fills its fields
            if name in ("filter", "test") and not isinstance(value, str):
                continue  # Jinja may raise an error
            if name in ("lower", "upper") and isinstance(value, range):
                continue  # it has no text here
            if name == "in" and isinstance(other, str) and not isinstance(value, str):
                continue
            own = outcome(OWN.tests[name], value, *arguments)
            assert own == outcome(lambda: JINJAS.call_test(name, value, arguments)), (value, arguments)  # noqa: B023


@pytest.mark.parametrize("name", ["odd", "even", "divisibleby"])
def test_a_text_is_not_filled_by_a_test(name: str) -> None:
    """In Python, `%` after a text fills its fields: this one is a billion characters wide."""
    with pytest.raises(TypeError, match=r"a text is neither odd nor even: use \| int"):
        OWN.tests[name]("%0999999999d", *([1] if name == "divisibleby" else []))


def test_equal_texts_are_the_same() -> None:
    """Whether Python has one copy of a text or two differs between versions and processes."""
    assert OWN.tests["sameas"]("".join(["a", "b"]), "ab")
    assert OWN.tests["sameas"](10**20, 10**19 * 10)
    assert not OWN.tests["sameas"](1, True)
    assert not OWN.tests["sameas"]([1], [1])
