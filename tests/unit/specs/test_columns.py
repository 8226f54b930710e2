"""Tests of columns: the values that each request field accepts from an axis."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProjectError
from qwenbuild.problems import Place
from qwenbuild.request import Size
from qwenbuild.specs.columns import checked, size_label

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
