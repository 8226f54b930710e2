"""Tests of the filters of lists and tables: they give what Jinja's own give, and count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.specs.limits import LimitError, OutOfSteps
from qwenbuild.specs.sandbox import environment

JINJAS = jinja2.Environment()
OWN = environment(jinja2.DictLoader({}))

ITEMS = st.lists(st.fixed_dictionaries({"a": st.sampled_from(["x", "X", "y"]), "b": st.integers(0, 3)}), max_size=5)


def plain(value: Any) -> Any:
    """Return what a filter gave, as lists all the way down."""
    if isinstance(value, Iterator) or type(value) in (list, tuple) or hasattr(value, "_fields"):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, jinja2.Undefined) else value


def outcome(do: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Return the result, or the type of the error."""
    try:
        return plain(do(*arguments, **named))
    except Exception as error:
        return type(error)


CALLS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("batch", [2], {}), ("batch", [2, "-"], {}), ("first", [], {}), ("last", [], {}), ("length", [], {}),
    ("list", [], {}), ("groupby", ["a"], {}), ("groupby", ["a"], {"case_sensitive": True}),
    ("groupby", ["c"], {"default": "z"}), ("join", [", "], {"attribute": "b"}), ("map", [], {"attribute": "a"}),
    ("map", [], {"attribute": "c", "default": 1}), ("max", [], {"attribute": "b"}), ("min", [], {"attribute": "a"}),
    ("min", [True, "a"], {}), ("rejectattr", ["b"], {}), ("rejectattr", ["b", "eq", 1], {}), ("reverse", [], {}),
    ("selectattr", ["b"], {}), ("selectattr", ["b", "odd"], {}), ("selectattr", ["c", "undefined"], {}),
    ("slice", [2], {}), ("slice", [3, 0], {}), ("sort", [], {"attribute": "a"}), ("sort", [True, True, "a,b"], {}),
    ("sort", [], {"attribute": "b,a"}), ("sum", [], {"attribute": "b"}), ("sum", ["b", 10], {}),
    ("unique", [], {"attribute": "a"}), ("map", [], {}), ("map", ["nothing"], {}), ("select", ["nothing"], {}),
    ("selectattr", [], {}), ("map", [], {"attribute": "a", "x": 1}), ("select", ["mapping"], {}),
    ("reject", ["mapping"], {}), ("map", ["length"], {}),
]  # fmt: skip


@given(ITEMS)
def test_filters_of_lists_give_what_jinjas_own_give(items: list[dict[str, Any]]) -> None:
    """Errors included."""
    context = JINJAS.from_string("").new_context()
    for name, arguments, named in CALLS:
        OWN.meter.begin(1_000_000)
        own = outcome(OWN.filters[name], items, *arguments, **named)
        jinjas = outcome(JINJAS.call_filter, name, items, arguments, dict(named), context)
        assert own == jinjas, (name, arguments, named)


@given(st.dictionaries(st.sampled_from(["b", "B", "a"]), st.integers(0, 3)))
def test_filters_of_tables_give_what_jinjas_own_give(table: dict[str, int]) -> None:
    """Sorted by key or by value."""
    for name, arguments in (
        ("dictsort", []),
        ("dictsort", [True]),
        ("dictsort", [False, "value", True]),
        ("items", []),
    ):
        OWN.meter.begin(1_000_000)
        assert plain(OWN.filters[name](table, *arguments)) == plain(JINJAS.call_filter(name, table, arguments))


@pytest.mark.parametrize("items", [[1, "a", None], "text", (1, 2), {"a": 1}, range(3), []])
def test_filters_take_all_that_can_be_looped_over(items: Any) -> None:
    """Texts, tables and ranges."""
    context = JINJAS.from_string("").new_context()
    for name, arguments in (("list", []), ("first", []), ("last", []), ("join", ["-"]), ("map", ["string"]),
                            ("select", ["defined"]), ("reverse", []), ("unique", []), ("batch", [2])):  # fmt: skip
        OWN.meter.begin(1_000_000)
        own = outcome(OWN.filters[name], items, *arguments)
        assert own == outcome(JINJAS.call_filter, name, items, arguments, {}, context)


def test_lazy_filters_count_an_item_when_it_is_taken() -> None:
    """Only what is used costs steps."""
    OWN.meter.begin(1_000_000)
    upper = OWN.filters["map"](iter_of(["a", "b", "c"]), "upper")
    assert OWN.meter.spent == 0
    assert next(upper) == "A"
    spent = OWN.meter.spent
    assert list(upper) == ["B", "C"]
    assert OWN.meter.spent == 3 * spent


def iter_of(items: list[Any]) -> Iterator[Any]:
    """Return the items as an iterator of the kind that filters give."""
    yield from items


DEEP = "stands for a list in a list, 100,000 times"


def deep(value: Any) -> Any:
    """Return a value with the deep list where `DEEP` stands. (The list itself would crash pytest.)"""
    if isinstance(value, dict):
        return {name: deep(item) for name, item in value.items()}
    if isinstance(value, list):
        return [deep(item) for item in value]
    found: Any = value
    for _ in range(100_000) if value is DEEP else ():
        found = (found,)
    return found


@pytest.mark.parametrize(
    ("name", "value", "arguments", "error", "reason"),
    [
        ("batch", [1], [10**9, 0], LimitError, "batch makes lists of at most 100,000"),
        ("slice", [1], [10**9], OutOfSteps, "the template takes more than 1,000,000 steps"),
        ("unique", [DEEP], [], LimitError, "more than 100 lists and tables inside each other"),
        ("sort", [DEEP, DEEP], [], LimitError, "more than 100 lists and tables inside each other"),
        ("max", [DEEP, DEEP], [], LimitError, "more than 100 lists and tables inside each other"),
        ("groupby", [{"a": DEEP}], ["a"], LimitError, "more than 100 lists and tables inside each other"),
        ("join", ["x" * 90_000] * 2, [], LimitError, "the text is longer than 100,000 characters"),
        ("sum", [[1]] * 90_000, [None, []], OutOfSteps, "the template takes more than 1,000,000 steps"),
        ("sum", ["a"], [None, ""], TypeError, "can't add up texts: use | join"),
        ("map", ["a"], [DEEP], TypeError, "the name of a filter is a text, not the list"),
        ("select", ["a"], [DEEP], TypeError, "the name of a test is a text, not the list"),
        ("attr", "a", [DEEP], TypeError, "attr takes a name, not the list"),
        ("map", ["a"], ["random"], jinja2.TemplateRuntimeError, "No filter named 'random'."),
        ("list", 1, [], TypeError, "can't loop over the number"),
        ("list", len, [], TypeError, "can't loop over the value"),
    ],
    ids=str,
)
def test_what_is_refused(name: str, value: Any, arguments: list[Any], error: type[Exception], reason: str) -> None:
    """Widths, depths, long results, and names that are no names."""
    OWN.meter.begin(1_000_000)
    with pytest.raises(error) as caught:
        plain(OWN.filters[name](deep(value), *deep(arguments)))
    assert str(caught.value) == reason


def test_sorting_counts_its_comparisons() -> None:
    """Long texts that begin alike are compared many times."""
    few, many = ["x" * 1_600] * 2, ["x" * 1_600] * 64
    spent = []
    for items in (few, many):
        OWN.meter.begin(1_000_000)
        OWN.filters["sort"](items)
        spent.append(OWN.meter.spent)
    assert spent[1] > 32 * 1.5 * spent[0]


def test_a_name_without_quotes_is_explained() -> None:
    """As Jinja does it."""
    with pytest.raises(jinja2.TemplateRuntimeError, match=r"'upper' is undefined; did you forget to quote"):
        list(OWN.filters["map"](["a"], OWN.undefined(name="upper")))


def test_attr_finds_members_but_no_fields() -> None:
    """`copy | attr("title")` is no field; a method that is refused is refused here, too."""
    assert OWN.filters["attr"]("abc", "upper")() == "ABC"
    for value, name in (({"title": 1}, "title"), ("abc", "format"), ("abc", "__class__")):
        with pytest.raises(jinja2.TemplateError):
            str(OWN.filters["attr"](value, name))
