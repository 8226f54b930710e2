"""Tests of columns: the values that each request field accepts from an axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProjectError
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Place, Problem
from qwenbuild.request import Size
from qwenbuild.specs import rows
from qwenbuild.specs.axes import WrittenAxis
from qwenbuild.specs.columns import checked, column, size_label

MODEL = builtin().models["qwen-image-plus"]


def nowhere() -> Place:
    return Place("a.toml")


@pytest.mark.parametrize(
    ("axis", "value"),
    [("size", 5), ("size", "5:4"), ("seed", "1"), ("seed", True), ("seed", -1), ("watermark", "true"),
     ("prompt_extend", 1), ("negative_prompt", 1), ("mood", "x" * 10_001)],
)  # fmt: skip
def test_what_a_field_does_not_take_is_an_error(axis: str, value: Any) -> None:
    """The error names the axis and the value."""
    with pytest.raises(ProjectError) as caught:
        checked(axis, value, MODEL, nowhere)
    assert caught.value.problems[0].claim.startswith((f"{axis}:", f"{axis} ", f"axis {axis}"))


def test_a_size_is_that_of_the_model() -> None:
    """Without a model it stays as written."""
    assert checked("size", "1:1", MODEL, nowhere).value == Size(1328, 1328)
    assert checked("size", "1:1", None, nowhere)[::3] == ("1:1", "1:1")
    assert [size_label(text, MODEL) for text in ("1:1", "1328*1328", "big")] == ["1328x1328", "1328x1328", "big"]


def test_rows_have_the_same_values_for_each_model_and_axis(tmp_path: Path) -> None:
    """They are made once, unless one of them is a problem: each axis tells its own."""
    source = TomlFile.parse("a.toml", "x = 1\n")
    table = tmp_path / "a.csv"
    table.write_text(f"id\nrose\n{'x' * 10_001}\n", "utf-8")
    problems: list[Problem] = []
    found = rows.read(table, "a.csv")
    for axis in ("flower", "plant"):
        column(axis, found, WrittenAxis([], source, ("x",), tmp_path), MODEL, problems)
    assert [it.claim.partition(":")[0] for it in problems] == ["axis flower", "axis plant"]
    fine = rows.Rows(found[:1])
    values = column("flower", fine, WrittenAxis([], source, ("x",), tmp_path), MODEL, problems)
    assert [it.label for it in values] == ["rose"]
    assert column("plant", fine, WrittenAxis([], source, ("x",), tmp_path), None, problems) is values
    assert column("size", fine, WrittenAxis([], source, ("x",), tmp_path), MODEL, problems) == []
    assert problems[2].claim.startswith("size: ")
