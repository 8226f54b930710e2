"""Tests of validation: pydantic's errors as problems with places."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from qwenbuild.files.toml import TomlFile
from qwenbuild.specs.validation import problems


class Part(BaseModel):
    """A table in a list."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    size: int = Field(default=1, ge=1, le=9)


class Whole(BaseModel):
    """A table with each kind of value."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mode: Literal["fast", "slow"] = "fast"
    flag: bool = False
    part: list[Part] = []

    @field_validator("flag")
    @classmethod
    def _is_off(cls, flag: bool) -> bool:
        if flag:
            raise ValueError("must be off")
        return flag


def known_keys(keys: tuple[str | int, ...]) -> list[str]:
    """Return the keys of the whole table, and of a part."""
    return [*Part.model_fields, "of_another_form"] if keys else [*Whole.model_fields]


def texts(text: str, *prefix: str) -> list[str]:
    """Validate the table at `prefix`; return each problem's text."""
    source = TomlFile.parse("a.toml", text)
    table = source.table
    for key in prefix:
        table = table[key]
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(table)
    return [str(problem) for problem in problems(caught.value, source, known_keys, prefix).values()]


@pytest.mark.parametrize(
    ("text", "claim", "label"),
    [
        ("flag = 1", "flag: wrong type, a whole number", "expected true or false"),
        ("flag = true", "flag: must be off", ""),
        ('mode = "fats"', 'mode is "fats"', "expected 'fast' or 'slow'"),
        ("part = {}", "part: wrong type, a table", "expected a list"),
        ("part = [1]", "part: wrong type, a whole number", "expected a table"),
        ("part = [{ name = 1.5 }]", "name: wrong type, a number", "expected a text in quotes"),
        ('part = [{ name = "" }]', "name is empty", ""),
        ('part = [{ name = "x", size = 0 }]', "size is 0", "expected at least 1"),
        ('part = [{ name = "x", size = 10 }]', "size is 10", "expected at most 9"),
        ("part = [{ size = 1 }]", '"name" is missing', ""),
    ],
)
def test_each_kind_of_mistake_has_its_words(text: str, claim: str, label: str) -> None:
    """The label beside the caret says what was expected."""
    [shown] = texts(text)
    lines = shown.splitlines()
    assert lines[0] == f"error: {claim}"
    assert lines[-1].partition("^")[2].lstrip("^").strip() == label


@pytest.mark.parametrize(
    ("text", "claim", "hint"),
    [
        ("flg = true", 'unknown key "flg"', 'did you mean "flag"?'),
        ("x = 1", 'unknown key "x"', "known: mode, flag, part"),
        ('[[part]]\nname = "a"\nsiz = 1', 'unknown key "siz" in [part.0]', 'did you mean "size"?'),
        (
            '[[part]]\nname = "a"\nof_another_form = 1',
            'unknown key "of_another_form" in [part.0]',
            "it can't stand beside the other keys of this table",
        ),
    ],
)
def test_an_unknown_key_has_a_hint(text: str, claim: str, hint: str) -> None:
    """The hint is the nearest known key, or all known keys. No key is its own correction."""
    [shown] = texts(text)
    assert shown.splitlines()[0] == f"error: {claim}"
    assert shown.splitlines()[-1] == f"  = hint: {hint}"


def test_problems_are_in_the_order_of_the_file() -> None:
    """Pydantic reports problems in the order of the model's fields; they are sorted by their place in the file."""
    assert [shown.splitlines()[0] for shown in texts('x = 1\nflag = 2\nmode = "m"')] == [
        'error: unknown key "x"', "error: flag: wrong type, a whole number", 'error: mode is "m"',
    ]  # fmt: skip


def test_a_table_inside_of_a_file_has_the_keys_of_the_file() -> None:
    """The prefix is a part of the place and of the table's name, but not of the known keys."""
    [shown] = texts("[tool.x]\nflga = true\n", "tool", "x")
    assert shown == (
        'error: unknown key "flga" in [tool.x]\n'
        " --> a.toml:2:1\n"
        "  |\n"
        "2 | flga = true\n"
        "  | ^^^^\n"
        '  = hint: did you mean "flag"?'
    )
