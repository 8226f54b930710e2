"""Tests of fields: plain values are checked at once, templates when their cell is known."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from qwenbuild.specs.fields import Fields, is_template


@pytest.mark.parametrize("value", ["{{ row.seed }}", "{% if a %}1{% else %}2{% endif %}", "1{# note #}"])
def test_any_field_may_be_a_template(value: str) -> None:
    """Each kind of Jinja's brackets makes a template."""
    assert is_template(value)
    for name in ("model", "size", "seed", "prompt_extend", "watermark", "negative_prompt", "output"):
        assert getattr(Fields.model_validate({name: value}), name) == value


@pytest.mark.parametrize(
    "table", [{"seed": "1"}, {"seed": -1}, {"watermark": "true"}, {"size": 1}, {"prompt_extend": 1}]
)
def test_a_value_that_is_no_template_keeps_its_type(table: dict[str, Any]) -> None:
    """A text is no number, and a number no text."""
    with pytest.raises(ValidationError):
        Fields.model_validate(table)


def test_the_schema_knows_values_and_templates() -> None:
    """Editors accept both, and nothing else."""
    schema = TypeAdapter(Fields).json_schema()["properties"]
    assert schema["seed"]["anyOf"] == [
        {"maximum": 2147483647, "minimum": 0, "type": "integer"},
        {"const": "random", "type": "string"},
        {"pattern": r"\{[{%#]", "type": "string"},
    ]
    assert [one["type"] for one in schema["watermark"]["anyOf"]] == ["boolean", "string"]
