"""Tests of the filters of texts: they give what Jinja's own give, take all that has a text, and have limits."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.specs.limits import LimitError, Meter, OutOfSteps
from qwenbuild.specs.sandbox import environment, typographic
from qwenbuild.specs.text_filters import metered

JINJAS = jinja2.Environment(keep_trailing_newline=True)
OWN = environment(jinja2.DictLoader({}))
WORDS = st.text(st.sampled_from("ab cD-<>&'\"\n.éß1"), max_size=40)


def call(name: str, *arguments: Any, **named: Any) -> Any:
    """Return what a filter gives, with all steps that a text may have."""
    OWN.meter.begin(1_000_000)
    return OWN.filters[name](*arguments, **named)


@given(WORDS, WORDS)
def test_filters_give_what_jinjas_own_give(text: str, other: str) -> None:
    """For texts of all kinds."""
    calls: list[tuple[str, list[Any]]] = [
        ("capitalize", []), ("center", [30]), ("e", []), ("escape", []), ("forceescape", []), ("indent", []),
        ("indent", [2, True, True]), ("indent", [other]), ("int", []), ("float", []), ("lower", []),
        ("replace", [other, "x"]), ("replace", ["a", other, 1]), ("safe", []), ("string", []), ("striptags", []),
        ("title", []), ("trim", []), ("trim", ["a"]), ("truncate", [10]),
        ("truncate", [10, True, "…", 0]), ("upper", []), ("wordcount", []), ("wordwrap", [5]),
        ("wordwrap", [5, False, other]),
    ]  # fmt: skip
    for name, arguments in calls:
        result = call(name, text, *arguments)
        assert result == (text if "escape" in name or name == "e" else JINJAS.call_filter(name, text, arguments)), name
        assert type(result) in (str, int, float)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("format", ["%03d", 7], "007"),
        ("format", ["%s of %s", 1, 2], "1 of 2"),
        ("round", [42.55], 43.0),
        ("round", [42.55, 1, "floor"], 42.5),
        ("round", [1234, -2], 1200),
        ("abs", [-1], 1),
        ("filesizeformat", [1500], "1.5 kB"),
        ("int", ["ff", 0, 16], 255),
        ("int", ["x", 5], 5),
        ("upper", [True], "TRUE"),
        ("upper", [["a"]], "['A']"),
        ("tojson", [{"b": [1, None], "a": "x"}], '{"a": "x", "b": [1, null]}'),
        ("tojson", [[1], 2], "[\n  1\n]"),
        ("tojson", ['Tom & Ann\'s <新年快乐> "😀" \n'], '"Tom & Ann\'s <新年快乐> \\"😀\\" \\n"'),
        ("tojson", [{"b": "é", "a": 1}, None, True, (",", ":"), False], '{"b":"\\u00e9","a":1}'),
        ("tojson", [[datetime.date(2026, 1, 2)]], '["2026-01-02"]'),
        ("e", ["Tom & Ann's <b>"], "Tom & Ann's <b>"),
        ("slug", ["A b", 2], "a"),
        ("listed", [["a", "b"], "or"], "a or b"),
    ],
)
def test_filters(name: str, arguments: list[Any], expected: object) -> None:
    """Numbers, lists and tables have a text, too."""
    assert call(name, *arguments) == expected


def test_format_takes_values_by_name() -> None:
    """Either in order or by name."""
    assert call("format", "%(a)s", a="x") == "x"
    with pytest.raises(jinja2.exceptions.FilterArgumentError):
        call("format", "%(a)s", 1, a="x")


LONG = "x" * 99_999


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("center", ["a", 10**9], "the text is longer than 100,000 characters"),
        ("indent", ["a\n" * 9_000, 1_000], "the text is longer than 100,000 characters"),
        ("indent", ["a\n" * 9_000, "x" * 1_000], "the text is longer than 100,000 characters"),
        ("replace", ["aaa", "a", LONG], "the text is longer than 100,000 characters"),
        ("wordwrap", ["a " * 9_000, 1, True, "x" * 1_000], "the text is longer than 100,000 characters"),
        ("tojson", [[1], 10**9], "tojson indents by at most 32 spaces"),
        ("tojson", [[LONG, LONG]], "the text is longer than 100,000 characters"),
        ("round", [5, -(10**9)], "round takes at most 1,000 decimals"),
        ("round", [5, 10**9, "floor"], "round takes at most 1,000 decimals"),
        ("int", ["f" * 5_000, 0, 16], "a number has more than 1,000 digits"),
        ("int", ["9" * 4_000], "a number has more than 1,000 digits"),
        ("format", ["%999999999d", 1], "a format is wider than 1,000 characters"),
    ],
)
def test_results_have_limits(name: str, arguments: list[Any], reason: str) -> None:
    """A text is refused before it is made."""
    with pytest.raises(LimitError) as caught:
        call(name, *arguments)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wordwrap", LONG),
        ("wordwrap", "a" + "-" * 99_000 + "a"),
        ("striptags", "<" * 99_999),
        ("slug", "\u0316\u0301" * 49_000),
    ],
)
def test_texts_for_which_a_function_of_python_takes_the_square_of_their_length(name: str, text: str) -> None:
    """Long words, rows of hyphens, brackets that open, and marks on one letter count as what they take."""
    arguments = [1] if name == "wordwrap" else []
    with pytest.raises(OutOfSteps):
        call(name, text, *arguments)
    assert call(name, text[:50], *arguments) is not None


QUICK = {"d", "default", "safe", "string", "length", "count", "attr", "first", "last"}  # whatever the text's length
NO_TEXTS = {
    "abs",
    "dictsort",
    "float",
    "groupby",
    "items",
    "filesizeformat",
    "round",
    "selectattr",
    "rejectattr",
    "sum",
}


@pytest.mark.parametrize("name", sorted(set(OWN.filters) - QUICK))
def test_every_filter_counts_long_texts(name: str) -> None:
    """A filter in a loop ends, whatever it does with its text."""
    arguments: dict[str, list[Any]] = {
        "replace": ["y", "z"], "map": ["upper"], "batch": [9], "slice": [9], "groupby": ["a"], "selectattr": ["a"],
        "rejectattr": ["a"],
    }  # fmt: skip
    OWN.meter.begin(100_000)
    with pytest.raises((OutOfSteps, TypeError, ValueError, jinja2.UndefinedError, AttributeError)) as caught:
        for _ in range(10_000):
            result = OWN.filters[name]("x " * 40_000, *arguments.get(name, []))
            if isinstance(result, Iterator):
                list(result)
    assert caught.type is OutOfSteps or name in NO_TEXTS


def test_a_filter_of_texts_is_counted_before_it_runs() -> None:
    """Every four characters of a long text are a step."""
    meter = Meter()
    filter_ = metered(meter, typographic)
    assert filter_("x" * 200) == "x" * 200
    assert meter.spent == 0
    filter_("x" * 1_600)
    assert meter.spent == 500
