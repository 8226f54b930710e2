"""Tests of members: what templates may use of each type, and what they may call."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import jinja2
import pytest
from jinja2.utils import Cycler, Namespace

from qwenbuild.specs.limits import LimitError, Meter, OutOfSteps
from qwenbuild.specs.members import WHY_NOT, Members, Refused, refusal
from qwenbuild.specs.operators import Operators
from qwenbuild.specs.rows import Row

CONTEXT: Any = None


@pytest.fixture
def members() -> Members:
    meter = Meter()
    return Members(meter, Operators(meter))


@pytest.mark.parametrize(
    ("owner", "name", "arguments", "expected"),
    [
        ("abc", "upper", (), "ABC"),
        ("a-b", "split", ("-",), ["a", "b"]),
        ("aXa", "replace", ("a", "bb"), "bbXbb"),
        ("aXa", "replace", ("a", "bb", 1), "bbXa"),
        ("abc", "replace", ("", "-"), "-a-b-c-"),
        (", ", "join", (["a", "b"],), "a, b"),
        ("7", "zfill", (3,), "007"),
        ("7", "rjust", (3,), "  7"),
        ("7", "ljust", (3, "."), "7.."),
        ("7", "center", (3, "*"), "*7*"),
        ("a\tb", "expandtabs", (4,), "a   b"),
        ({"a": 1}, "get", ("b", 2), 2),
        ({"a": 1}, "copy", (), {"a": 1}),
        ([1, 2, 1], "count", (1,), 2),
        ([1, 2, 1], "index", (2,), 1),
        ((1, 2), "index", (2,), 1),
        (date(2026, 2, 10), "isoformat", (), "2026-02-10"),
        (timedelta(1), "total_seconds", (), 86400.0),
        (range(3), "count", (1,), 1),
        (Cycler("a"), "next", (), "a"),
        (255, "bit_length", (), 8),
    ],
)
def test_methods_give_what_python_gives(
    members: Members, owner: Any, name: str, arguments: tuple[Any, ...], expected: object
) -> None:
    """Those that are counted as well as those of Python itself."""
    assert members.call(CONTEXT, members.of(owner, name), *arguments) == expected
    assert getattr(owner, name)(*arguments) == expected


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (date(2026, 2, 10), "year", 2026),
        (datetime(2026, 2, 10, 12), "hour", 12),
        (time(1, 2), "minute", 2),
        (timedelta(3), "days", 3),
        (range(3), "stop", 3),
        (Namespace(a=1), "a", 1),
    ],
)
def test_attributes(members: Members, owner: object, name: str, value: object) -> None:
    """Of dates, ranges and namespaces."""
    assert members.of(owner, name) == value


@pytest.mark.parametrize(
    "owner", ["", 1, 1.5, True, [], (), {}, Row({}, "r"), date(2026, 2, 10), time(), range(1), Cycler("a"), Namespace(),
              len, iter([]), {}.keys(), Members]
)  # fmt: skip
def test_nobody_reaches_the_inner_names_of_python(members: Members, owner: object) -> None:
    """Names that begin with an underscore are refused for all types."""
    for name in ("__class__", "__init__", "__getattribute__", "__reduce__", "__doc__"):
        with pytest.raises(Refused, match=f"access to attribute '{name}' of"):
            members.of(owner, name)


@pytest.mark.parametrize(
    ("owner", "name"),
    [("", "format"), ("", "format_map"), ("", "encode"), ("", "translate"), (1, "to_bytes"), ([], "append"),
     ([], "sort"), ({}, "update"), ({}, "pop"), (date(2026, 2, 10), "today"), (date(2026, 2, 10), "strftime"),
     (datetime(2026, 2, 10), "now"), (datetime(2026, 2, 10), "timestamp")],
)  # fmt: skip
def test_a_method_that_is_refused_says_what_to_use_instead(members: Members, owner: object, name: str) -> None:
    """The message names the method, the hint says why or what else."""
    with pytest.raises(Refused, match=f'templates can\'t use "{name}" of') as caught:
        members.of(owner, name)
    assert caught.value.hint == WHY_NOT[name]


def test_the_hint_about_formats_pads_numbers() -> None:
    """It can be used as it is written."""
    assert refusal("", "format") == (
        'templates can\'t use "format" of a text\nuse the filter format: {{ "%03d" | format(n) }}'
    )


def test_an_undefined_value_has_no_members(members: Members) -> None:
    """The message is about the value, not about the member."""
    for owner in (jinja2.StrictUndefined(name="mood"), jinja2.Undefined(name="mood")):
        for name in ("upper", "__class__", "_undefined_hint"):
            with pytest.raises(jinja2.UndefinedError, match="'mood' is undefined"):
                members.of(owner, name)


def test_a_name_that_nothing_has(members: Members) -> None:
    """That is not an error of access: the value may have an item of this name."""
    owners: tuple[object, ...] = ("", 1, [], {}, range(1), Namespace(a=1))
    for owner in owners:
        with pytest.raises(AttributeError):
            members.of(owner, "nothing")


@pytest.mark.parametrize("name", ["center", "ljust", "rjust", "zfill", "expandtabs"])
def test_widths_have_a_limit(members: Members, name: str) -> None:
    """Nothing is padded beyond what a text may have."""
    with pytest.raises(LimitError, match="the text is longer than 100,000 characters"):
        members.call(CONTEXT, members.of("a\t", name), 10**9)


def test_a_replacement_and_a_join_are_counted_before_they_are_made(members: Members) -> None:
    """Neither text ever exists."""
    for name, arguments in (("replace", ("a", "b" * 90_000)), ("join", (["b" * 90_000] * 1_000,))):
        with pytest.raises(LimitError, match="the text is longer than 100,000 characters"):
            members.call(CONTEXT, members.of("aaa", name), *arguments)


@pytest.mark.parametrize(
    ("owner", "name", "arguments"),
    [("x" * 90_000, "upper", ()), ("a", "startswith", (("b",) * 90_000,)), (list(range(90_000)), "count", (1,)),
     (list(range(90_000)), "index", (1,)), (dict.fromkeys(range(90_000)), "copy", ())],
)  # fmt: skip
def test_calls_on_long_values_count_each_time(owner: object, name: str, arguments: tuple[object, ...]) -> None:
    """A method that is fetched once and called often is no way around the limit."""
    meter = Meter()
    members = Members(meter, Operators(meter))
    method = members.of(owner, name)
    with pytest.raises(OutOfSteps):
        for _ in range(1_000):
            members.call(CONTEXT, method, *arguments)


@pytest.mark.parametrize("name", ["strip", "rstrip", "rfind", "rsplit", "rpartition"])
def test_a_search_for_a_long_text_counts_as_what_it_may_take(name: str) -> None:
    """These look at all that is sought again for each character."""
    meter = Meter()
    members = Members(meter, Operators(meter))
    with pytest.raises(OutOfSteps):
        members.call(CONTEXT, members.of("x" * 90_000, name), "y" * 90_000 + "x")
    with pytest.raises(OutOfSteps):
        members.strip("x" * 90_000, "y" * 90_000 + "x")
    meter.begin(1)
    assert members.strip("(x)", "()") == "x"
    assert members.strip(" x ", None) == "x"


@pytest.mark.parametrize("called", [print, len, "a", 1, [], Members, lambda: 1, object()])
def test_only_what_members_hand_out_can_be_called(members: Members, called: Any) -> None:
    """A function that reaches a template by accident is not called."""
    with pytest.raises(TypeError, match="object is not callable"):
        members.call(CONTEXT, called)
