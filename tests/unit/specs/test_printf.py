"""Tests of formats: they fill fields as Python does, within a width."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.specs.limits import LimitError, Meter
from qwenbuild.specs.printf import filled
from qwenbuild.specs.rows import Row


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("episode %02d", (7,), "episode 07"),
        ("%s of %s", ("one", 3), "one of 3"),
        ("%-5s|%5s|%05.1f", ("a", "b", 2.25), "a    |    b|002.2"),
        ("%x %X %o %e %g", (255, 255, 8, 1.5, 2.0), "ff FF 10 1.500000e+00 2"),
        ("%+d % d %#x", (1, 2, 3), "+1  2 0x3"),
        ("100%%", (), "100%"),
        ("%(a)s and %(b)03d", {"a": "x", "b": 7}, "x and 007"),
        ("%s", (Row({"a": 1}, "en"),), "en"),
        ("%d", (2.9,), "2"),
        ("%d", (True,), "1"),
        ("", (), ""),
    ],
)
def test_fields_are_filled(text: str, values: Any, expected: str) -> None:
    """In order, or by name."""
    assert filled(Meter(), text, values) == expected


FIELDS = st.tuples(st.from_regex(r"%[-+ 0#]{0,2}[0-9]{0,2}(\.[0-9])?[dsfxeg]", fullmatch=True), st.integers(-999, 999))


@given(st.lists(FIELDS), st.sampled_from(["", " ", "%%", "a, "]))
def test_the_text_is_that_of_python(fields: list[tuple[str, int]], between: str) -> None:
    """For all fields that templates can use."""
    text, numbers = between.join(field for field, _ in fields), tuple(number for _, number in fields)
    assert filled(Meter(), text, numbers) == text % numbers


@pytest.mark.parametrize(
    ("text", "values", "error", "reason"),
    [
        ("%02d", ("7",), TypeError, '"%02d" needs a number: a text such as "7" becomes one with | int'),
        ("%d", (None,), TypeError, "can't print null"),
        ("%s", ([1],), TypeError, "can't print a list (use | join)"),
        ("%s", (len,), TypeError, "can't print this: it has no text"),
        ("%r", (len,), ValueError, '"%r" is no format; a percent sign is written %%'),
        ("%a", ("a",), ValueError, '"%a" is no format; a percent sign is written %%'),
        ("%c", (65,), ValueError, '"%c" is no format; a percent sign is written %%'),
        ("100%", (), ValueError, '"%" is no format; a percent sign is written %%'),
        ("%s %s", ("a",), TypeError, "the text has more fields than there are values"),
        ("%s", ("a", "b"), TypeError, "there are more values than fields in the text"),
        ("%(a)s", ("a",), TypeError, '"%(a)s" needs a value with this name'),
        ("%(b)s", {"a": "a"}, TypeError, 'there is no value "b" for "%(b)s"'),
        ("%s", {"a": "a"}, TypeError, '"%s" needs a name: "%(name)s"'),
        ("%*d", (9, 1), ValueError, '"%*" is no format; a percent sign is written %%'),
        ("%1001d", (1,), LimitError, "a format is wider than 1,000 characters"),
        ("%.999999999f", (1,), LimitError, "a format is wider than 1,000 characters"),
        ("%0" + "9" * 5000 + "d", (1,), LimitError, "a format is wider than 1,000 characters"),
        ("%999d" * 200, (1,) * 200, LimitError, "the text is longer than 100,000 characters"),
    ],
)
def test_what_is_refused(text: str, values: Any, error: type[Exception], reason: str) -> None:
    """Missing values, objects without a text, and widths beyond the limit."""
    with pytest.raises(error) as caught:
        filled(Meter(), text, values)
    assert str(caught.value) == reason
