"""Holes: nothing of a request is left out without a word, and no hole stays empty."""

from __future__ import annotations

import json
from pathlib import Path

from qwenbuild.parameters import as_text
from qwenbuild.providers.comfyui.holes import values_of, wrong_fields, wrong_parameters
from qwenbuild.providers.comfyui.workflow import Workflow, read
from qwenbuild.request import Request, Size
from tests.support.comfy_server import workflow

OWN = {"workflow": "d" * 64}
REQUEST = Request(
    "comfyui", "workflow", "a cat", "", Size(64, 32), 7, False, False, parameters=as_text({"steps": 4, **OWN})
)


def found(folder: Path, **changes: dict[str, object]) -> Workflow:
    (folder / "w.json").write_text(json.dumps(workflow(**changes)))
    return read(folder / "w.json", "w.json")


def test_a_request_fills_the_holes() -> None:
    """Its fields and its parameters are values."""
    assert values_of(REQUEST) == {
        "prompt": "a cat", "negative_prompt": "", "seed": 7, "model": "workflow", "width": 64, "height": 32,
        "steps": 4, "workflow": "d" * 64,
    }  # fmt: skip


def test_each_parameter_fills_a_hole_and_each_hole_gets_a_value(tmp_path: Path) -> None:
    """A misspelt name gets the nearest one, on either side."""
    has = found(tmp_path, n3={"steps": "$steps", "cfg": "$cfg"})
    wrong = dict(wrong_parameters(has, "w.json", OWN, {**OWN, "step": 4, "cfg": [1]}))
    assert {name: str(error) for name, error in wrong.items()} == {
        "step": 'error: the workflow has no "$step"\n  = holes that take parameters: steps, cfg\n'
                '  = hint: did you mean "steps"?',
        "cfg": 'error: "$cfg" can\'t be filled with a table or a list\n'
               "  = hint: a hole takes a text, a number, true or false",
        "steps": 'error: nothing fills "$steps" in w.json\n  = hint: did you mean "step"?',
    }  # fmt: skip
    assert dict(wrong_parameters(has, "w.json", OWN, {**OWN, "steps": 4, "cfg": 1.0})) == {}
    [(name, error)] = wrong_parameters(found(tmp_path), "w.json", OWN, {"workflow": "other.json"})
    assert (name, error.claim) == ("workflow", "an image can't choose its workflow")


def test_a_field_without_a_hole_is_refused(tmp_path: Path) -> None:
    """A negative prompt, a model that nobody names, and what only the vendor's service has."""
    has = found(tmp_path, n7={"text": ""}, n37={"unet_name": "$model"})
    request = REQUEST._replace(negative_prompt="blurry", watermark=True)
    assert {name: error.claim for name, error in wrong_fields(has, "w.json", request, "workflow")} == {
        "negative_prompt": 'the workflow has no "$negative_prompt"',
        "model": 'nothing fills "$model" in w.json',
        "watermark": "a workflow has no watermark",
    }
    assert [*wrong_fields(has, "w.json", REQUEST._replace(model="x.safetensors"), "workflow")] == []
