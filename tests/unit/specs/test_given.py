"""Tests of what the command line gives: how `--var` is read and recorded, and which texts are refused."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as given_values
from hypothesis import strategies as st

from qwenbuild.errors import UsageError
from qwenbuild.options import Options
from qwenbuild.specs.given import Given


def value_of(text: str) -> Any:
    """Return the value of `--var x=text`."""
    return Given.of(Options(variables=[f"x={text}"])).variables["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("spring", "spring"), ("Summer sale", "Summer sale"), ("", ""), ("a=b", "a=b"), ("#fff", "#fff"),
        ("1, 2", "1, 2"), ("01234", "01234"), ("3 # three", "3 # three"), ("1\ny = 2", "1\ny = 2"),
        ("nan", "nan"), ("inf", "inf"),
        ("春节", "春节"), ("True", "True"), ("it's", "it's"), ('say "hi"', 'say "hi"'),
        ('"1.10"', "1.10"), ("'x'", "x"), ("7", 7), ("-2", -2), ("1.5", 1.5), ("true", True), ("false", False),
        ("2026-11-27", datetime.date(2026, 11, 27)), ('["a", 2]', ["a", 2]), ('{ name = "Ann" }', {"name": "Ann"}),
    ],
)  # fmt: skip
def test_a_value_is_toml_or_a_text(text: str, value: object) -> None:
    """Text that is no TOML value is taken as it is: shells take quotes away."""
    assert (value_of(text), type(value_of(text))) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("x", "--var x: a value is missing"),
        ("", "--var : a value is missing"),
        ("a b=1", '--var a b=1: "a b" is no name of a variable'),
        ("=1", '--var =1: "" is no name of a variable'),
        ("true=1", '--var true=1: "true" is no name of a variable'),
        ("size=1:1", "--var size: qwenbuild sets size, and --var sets variables only"),
        ("spec=x", "--var spec: qwenbuild sets spec, and --var sets variables only"),
        ("x=1.10", "--var x=1.10 is a value that templates print as 1.1"),
        ("x=1_000", "--var x=1_000 is a value that templates print as 1000"),
        ("x=1e3", "--var x=1e3 is a value that templates print as 1000.0"),
        ("x=0xff", "--var x=0xff is a value that templates print as 255"),
        ("x=2026-11-27T10:00:00Z", "--var x=2026-11-27T10:00:00Z is a value that templates print as 2026-11-27 10:00"),
        ("x=\udcff", "--var x: not valid UTF-8"),
        ('x=["a"', "--var x: not valid TOML: unclosed array"),
        ('x="a', '--var x: not valid TOML: '),
        ("x={a=1", "--var x: not valid TOML: unclosed inline table"),
    ],
)  # fmt: skip
def test_what_is_likely_a_mistake_is_refused(text: str, claim: str) -> None:
    """A name that no variable has, an open bracket, and a number that would be printed in another form."""
    with pytest.raises(UsageError) as caught:
        Given.of(Options(variables=[text]))
    assert caught.value.claim.startswith(claim)


def test_a_field_is_not_set_by_a_variable() -> None:
    """The hint says what sets a field."""
    with pytest.raises(UsageError) as caught:
        Given.of(Options(variables=["seed=3"]))
    hint = '-w seed=VALUE selects cells of an axis; a spec may read a variable, as in seed = "{{ my_seed }}"'
    assert caught.value.hint == hint


def test_the_last_value_wins() -> None:
    """As with `terraform -var`, so that a script's value can be replaced."""
    assert Given.of(Options(variables=["a=1", "b=2", "a=3"])).variables == {"a": 3, "b": 2}


def test_a_value_that_is_too_large_is_refused() -> None:
    """Nesting beyond the limits of TOML files is told, not a traceback."""
    with pytest.raises(UsageError, match="--var x"):
        value_of("[" * 5000 + "]" * 5000)


_values = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.integers(-9, 10**9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé ", max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given_values(_values)
@example("1.10")
@example("true")
@example(' "')
@example("")
def test_a_recorded_value_gives_the_same_value(value: object) -> None:
    """What locks and images record can be given to `--var` again, and stands on one line."""
    [text] = Given({"x": value}).written(["x"])
    assert "\n" not in text
    assert Given.of(Options(variables=[text])).variables == {"x": value}


def test_a_long_value_is_recorded_by_its_digest() -> None:
    """A lock repeats it for each output."""
    [text] = Given({"x": "a" * 1001}).written(["x"])
    assert text.startswith("x=sha256:") and len(text) == len("x=sha256:") + 64


def test_an_empty_profile_is_an_error() -> None:
    """Such as that of a variable of the shell that is not set."""
    with pytest.raises(UsageError, match="--profile names no profile"):
        Given.of(Options(profile=""))
