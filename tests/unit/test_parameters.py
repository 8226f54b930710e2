"""Tests of vendor parameters: names and values that may be sent as they are, and those that may not."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import pytest

from qwenbuild.parameters import FIELDS, LONGEST, MOST, as_text, field_of, name_fault, recorded, size_fault, value_fault


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_known_in_every_spelling(name: str) -> None:
    """SDKs and gateways write the same name in many ways."""
    words = name.split("_")
    for spelled in (name, name.upper(), "-".join(words), words[0] + "".join(map(str.title, words[1:])), f" {name}"):
        assert field_of(spelled) == FIELDS[name]
        assert FIELDS[name] in name_fault(spelled)


@pytest.mark.parametrize("name", ["prompt_extend_mode", "enable_thinking", "style", "nn", "seeds", "x-size", "模型"])
def test_other_names_are_the_vendors(name: str) -> None:
    """Also names that begin like a field."""
    assert (field_of(name), name_fault(name)) == (None, "")


def test_a_parameter_has_a_name() -> None:
    """TOML allows an empty key."""
    assert name_fault("") == name_fault(" ") == "a parameter needs a name"


@pytest.mark.parametrize("value", ["{{ a }}", 1, 1.5, True, [], {}, {"a": [1, "b", {"c": False}]}])
def test_values_that_json_has(value: object) -> None:
    """Texts, numbers, truths, lists and tables go as they are."""
    assert value_fault(value) == ""


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (math.nan, "nan can't be sent, because JSON has no such number"),
        (-math.inf, "-inf can't be sent, because JSON has no such number"),
        (
            datetime.date(2026, 2, 1),
            "2026-02-01 can't be sent, because JSON has no dates and times; write it as a text",
        ),
        (datetime.time(7, 30), "07:30:00 can't be sent, because JSON has no dates and times"),
        ({"a": [datetime.datetime(2026, 2, 1, 7)]}, "2026-02-01 07:00:00 can't be sent"),
    ],
)
def test_values_that_json_lacks(value: object, fault: str) -> None:
    """They are found at every depth."""
    assert value_fault(value).startswith(fault)


def test_parameters_have_limits() -> None:
    """Their number, the length of their JSON, and their depth are limited."""
    assert size_fault({str(number): 1 for number in range(MOST)}) == ""
    assert size_fault({str(number): 1 for number in range(MOST + 1)}) == "101 parameters; at most 100"
    assert size_fault({"a": "x" * (LONGEST - 8)}) == ""
    assert size_fault({"a": "x" * (LONGEST - 7)}) == "as JSON, the parameters have 10,001 characters; at most 10,000"
    deep: Any = 1
    for _ in range(101):
        deep = [deep]
    assert value_fault(deep[0]) == ""
    assert value_fault(deep) == "tables and lists are nested more than 100 deep"


def test_a_text_stands_for_its_parameters() -> None:
    """The order of names makes no difference, the type of a value does."""
    assert as_text({}) == ""
    assert as_text({"b": 1, "a": "新"}) == as_text({"a": "新", "b": 1}) == '{"a":"新","b":1}'
    assert len({as_text({"a": value}) for value in (1, 1.0, True, "1")}) == 4


def test_records_hold_parameters() -> None:
    """A record may hold a name that is refused today, but no value that JSON lacks."""
    assert recorded(json.loads('{"size":1}')) == '{"size":1}'
    surrogate = {"a": "\ud800"}
    damaged: list[Any] = [{}, [], None, "{}", {"a": None}, {"a": math.nan}, surrogate, {"a": "x" * LONGEST}]
    for table in damaged:
        with pytest.raises(ValueError, match=r"."):
            recorded(table)
