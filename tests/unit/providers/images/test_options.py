"""Options: each parameter has one form, and a wrong value is told with what is expected."""

from __future__ import annotations

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.providers.images.options import checked


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("steps", 50, 50),
        ("true_cfg_scale", 4, 4.0),
        ("flow_shift", -1, -1.0),
        ("sampler", "euler_a", "euler_a"),
        ("loras", [{"path": "a.safetensors"}], [{"path": "a.safetensors", "scale": 1.0}]),
        ("loras", [{"path": "a", "name": "b", "scale": 2}], [{"path": "a", "name": "b", "scale": 2.0}]),
    ],
)
def test_equal_values_have_one_form(name: str, value: object, form: object) -> None:
    """So that 4 and 4.0 are one key."""
    assert repr(checked(name, value)) == repr(form)


@pytest.mark.parametrize(
    ("name", "value", "claim"),
    [
        ("steps", 0, "steps = 0 is not a whole number from 1 to 1,000"),
        ("steps", True, "steps = true is not a whole number from 1 to 1,000"),
        ("guidance_scale", "4", 'guidance_scale = "4" is not a number from 0 to 1000'),
        ("true_cfg_scale", float("nan"), "true_cfg_scale = nan is not a number from 0 to 1000"),
        ("weights", "", 'weights = "" is not a text of 1 to 200 characters that can be printed'),
        ("sampler", "a\nb", 'sampler = "a\\nb" is not a text of 1 to 200 characters that can be printed'),
    ],
)
def test_a_wrong_value(name: str, value: object, claim: str) -> None:
    """The message quotes it as TOML has it."""
    with pytest.raises(UsageError) as caught:
        checked(name, value)
    assert caught.value.problems[0].claim.replace("\n", "\\n") == claim


@pytest.mark.parametrize("value", ["x", [], ["x"], [{}], [{"path": "x", "weight": 1}], [{"path": "x", "scale": "1"}]])
def test_loras_are_tables(value: object) -> None:
    """With a path, and perhaps a name and a scale."""
    with pytest.raises(UsageError, match="is not a list of tables such as"):
        checked("loras", value)
