"""The dialects: what qwenbuild sends is what the servers' own request models take."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.errors import UsageError, WrongSettings
from qwenbuild.parameters import as_text
from qwenbuild.providers.images.dialects import DIALECTS
from tests.support import server_schemas
from tests.support.image_servers import MODEL, told, wanted
from tests.support.server_schemas import WHEELS, faults, recorded, schema_of

EVERYTHING: dict[str, Any] = {
    "steps": 30, "guidance_scale": 1, "true_cfg_scale": 4.0, "flow_shift": 3.0, "sampler": "euler",
    "scheduler": "karras", "generator_device": "cpu", "cache": "none",
    "loras": [{"path": "lightning.safetensors", "scale": 0.5}], "weights": "sha256:abc", "dtype": "bf16",
    "quantization": "fp8",
}  # fmt: skip
ONLY = "only the vendor's service does"
REQUEST = wanted("a cat 猫", negative_prompt="blurry", size=(1328, 1328))


def body_of(dialect: str, **parameters: Any) -> dict[str, Any]:
    """Return what is sent for a request with these parameters."""
    return DIALECTS[dialect].body(REQUEST, DIALECTS[dialect].checked(parameters))


def everything(dialect: str) -> dict[str, Any]:
    """Return a value for each parameter of a dialect."""
    return {name: value for name, value in EVERYTHING.items() if name in DIALECTS[dialect].known}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_field_is_one_of_the_server(dialect: str) -> None:
    """With no parameter and with all of them, by name and type. A misspelt field would be ignored in silence."""
    for parameters in ({}, everything(dialect)):
        assert list(faults(recorded(dialect), body_of(dialect, **parameters))) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_seed_and_size_are_always_sent(dialect: str) -> None:
    """And an image, not a link: two servers take a random or a fixed seed, or answer with a link, if nobody says it."""
    body = body_of(dialect)
    body |= json.loads(body.get("kwargs", "{}"))
    assert body["seed"] == 7
    if dialect == "sdcpp":
        assert (body["width"], body["height"], body["output_format"]) == (1328, 1328, "png")
    else:
        size = "1328*1328" if dialect == "xinference" else "1328x1328"
        assert (body["size"], body["response_format"], body["n"]) == (size, "b64_json", 1)


def test_what_each_server_is_told() -> None:
    """The parameters under the server's names, and the negative prompt where it wants it."""
    some = {"steps": 8, "true_cfg_scale": 4}
    vllm = body_of("vllm-omni", **some, loras=[{"path": "x/fast.safetensors"}], weights="v1")
    assert vllm == {
        "model": MODEL, "prompt": "a cat 猫", "negative_prompt": "blurry", "n": 1, "size": "1328x1328", "seed": 7,
        "response_format": "b64_json", "output_format": "png", "output_compression": 50, "num_inference_steps": 8,
        "true_cfg_scale": 4.0, "lora": {"name": "fast", "path": "x/fast.safetensors", "scale": 1.0},
    }  # fmt: skip
    assert body_of("sglang", cache="teacache")["enable_teacache"] is True
    assert json.loads(body_of("xinference", **some, sampler="Euler")["kwargs"]) == {
        "seed": 7, "negative_prompt": "blurry", "num_inference_steps": 8, "true_cfg_scale": 4.0,
        "sampler_name": "Euler",
    }  # fmt: skip
    localai = body_of("localai", **some)
    assert (localai["prompt"], localai["step"]) == ("a cat 猫|blurry", 8)
    assert body_of("sdcpp", **some, guidance_scale=3.5, sampler="euler")["sample_params"] == {
        "sample_steps": 8, "sample_method": "euler", "guidance": {"txt_cfg": 4.0, "distilled_guidance": 3.5}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "parameters", "problem"),
    [
        (
            "vllm-omni",
            {"stepz": 1},
            'the dialect vllm-omni has no parameter "stepz"\n  known: steps, guidance_scale, true_cfg_scale, '
            'flow_shift, generator_device, loras, cache, weights, dtype, quantization\n  did you mean "steps"?',
        ),
        (
            "vllm-omni",
            {"sampler": "euler"},
            'the dialect vllm-omni has no parameter "sampler"\n'
            "  only Xinference, LocalAI, stable-diffusion.cpp take it",
        ),
        ("vllm-omni", {"steps": 300}, "vLLM-Omni takes steps from 1 to 200, not 300"),
        ("vllm-omni", {"loras": [{"path": "a"}, {"path": "b"}]}, "vLLM-Omni takes one LoRA for a request, not 2"),
        ("sglang", {"cache": "teacash"}, 'SGLang has no cache "teacash"'),
    ],
)
def test_a_parameter_that_the_server_lacks(dialect: str, parameters: dict[str, Any], problem: str) -> None:
    """It is told before anything is sent, with the nearest name."""
    with pytest.raises(WrongSettings) as caught:
        DIALECTS[dialect].checked(parameters)
    [(name, error)] = caught.value.faults
    assert (name, told(error)[: len(problem)]) == (next(iter(parameters)), problem)


@pytest.mark.parametrize(
    ("dialect", "fields", "wrong"),
    [
        ("vllm-omni", {"prompt": "a|b"}, {}),
        ("localai", {"prompt": "a | b"}, {"prompt": 'LocalAI would cut the prompt at "|"'}),
        ("localai", {"negative_prompt": "x|y"}, {"negative_prompt": 'LocalAI would cut the negative prompt at "|"'}),
        (
            "sglang",
            {"prompt_extend": True},
            {"prompt_extend": "SGLang has no prompt_extend: only the vendor's service does"},
        ),
        (
            "sdcpp",
            {"watermark": True},
            {"watermark": "stable-diffusion.cpp has no watermark: only the vendor's service does"},
        ),
    ],
)
def test_what_a_server_would_misread(dialect: str, fields: dict[str, Any], wrong: dict[str, str]) -> None:
    """It is refused, by the field."""
    request = wanted(fields.pop("prompt", "a"), **fields)
    found: dict[str, UsageError] = DIALECTS[dialect].wrong_fields(request)
    assert {name: error.claim for name, error in found.items()} == wrong


def test_parameters_make_a_key() -> None:
    """They are JSON that a key can hold."""
    for dialect in DIALECTS:
        checked = DIALECTS[dialect].checked(everything(dialect))
        assert json.loads(as_text(checked)) == checked


@pytest.mark.wheels
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dialect", WHEELS)
def test_the_servers_own_models_take_it(dialect: str) -> None:
    """The newest wheel's class validates what is sent, and its fields are the recorded ones."""
    with tempfile.TemporaryDirectory() as folder:
        source, model = server_schemas.of_wheel(dialect, Path(folder))
        for parameters in ({}, everything(dialect)):
            body = body_of(dialect, **parameters)
            assert json.loads(model(**body).model_dump_json()).items() >= body.items(), source
        assert schema_of(model) == recorded(dialect), source
