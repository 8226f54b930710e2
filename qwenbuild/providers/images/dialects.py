"""The dialects: how each kind of server wants a request to be written, and what it would ignore or misread. No I/O.

Sources, as read in November 2026: vLLM-Omni 0.30.0 (`entrypoints/openai/protocol/images.py`), SGLang 0.5.23
(`multimodal_gen/runtime/entrypoints/openai/protocol.py`), Xinference 4.1.0 (`api/schemas/requests.py`,
`model/image/stable_diffusion/core.py`), LocalAI (`core/http/endpoints/openai/image.go`), stable-diffusion.cpp
(`examples/server/api.md`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from qwenbuild.errors import UsageError, WrongSettings
from qwenbuild.problems import did_you_mean, listing
from qwenbuild.request import Request

from . import options

_COMPRESSION: Final = 50  # vLLM-Omni's default of 100 does not compress PNGs at all
_SEPARATOR: Final = "|"  # at LocalAI, the negative prompt follows it
_CACHES: Final = {"none": {}, "teacache": {"enable_teacache": True}, "cache-dit": {"enable_cache_dit": True}}
"""What SGLang is told about caching, by qwenbuild's own names."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of server is spoken to.

    `body` makes the JSON of a request from its parameters. `sent` are the parameters that the server is told. `stated`
    are those that its start command sets: they only name what it does. `ranges` are the limits of the server itself.
    `address` is where it listens if nobody says otherwise. `ignores_model`: it renders with whatever model it serves.
    `has_jobs`: it answers with a job, not with the image. `version_path`: where it tells its version.
    """

    name: str
    title: str
    address: str
    body: Callable[[Request, Mapping[str, Any]], dict[str, Any]]
    sent: tuple[str, ...]
    stated: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    ignores_model: bool = False
    has_jobs: bool = False
    version_path: str = ""

    @property
    def known(self) -> tuple[str, ...]:
        """The parameters that a request may have."""
        return (*self.sent, *self.stated, *options.LABELS)

    def checked(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters in their one form. Raises WrongSettings, with what is wrong by name."""
        found: dict[str, Any] = {}
        faults: list[tuple[str, UsageError]] = []
        for name, value in table.items():
            try:
                found[name] = self._checked(name, value)
            except UsageError as error:
                faults.append((name, error))
        if faults:
            raise WrongSettings(faults)
        return found

    def _checked(self, name: str, value: object) -> object:
        if name not in self.known:
            where = [it.title for it in DIALECTS.values() if name in it.known]
            fact = f"only {listing(where)} take it" if where else f"known: {listing(self.known)}"
            claim = f'the dialect {self.name} has no parameter "{name}"'
            raise UsageError(claim, facts=[fact], hint=did_you_mean(name, self.known), name="parameter-not-taken")
        checked = options.checked(name, value)
        low, high = self.ranges.get(name, (None, None))
        if low is not None and high is not None and not low <= checked <= high:
            claim = f"{self.title} takes {name} from {low:g} to {high:g}, not {checked:g}"
            raise UsageError(claim, name="parameter-not-taken")
        if self.name == "sglang" and name == "cache" and checked not in _CACHES:
            hint = did_you_mean(str(checked), _CACHES)
            claim = f'{self.title} has no cache "{checked}"'
            raise UsageError(claim, facts=[f"known: {listing(_CACHES)}"], hint=hint, name="parameter-not-taken")
        if self.name == "vllm-omni" and name == "loras" and len(checked) > 1:
            claim = f"{self.title} takes one LoRA for a request, not {len(checked)}"
            raise UsageError(claim, hint="merge them into one file", name="parameter-not-taken")
        return checked

    def wrong_fields(self, request: Request) -> dict[str, UsageError]:
        """Return what the server would ignore or misread in a request, by the field."""
        found = {}
        for name in ("prompt_extend", "watermark"):
            if getattr(request, name):
                claim = f"{self.title} has no {name}: only the vendor's service does"
                found[name] = UsageError(claim, hint=f"{name} = false", name="parameter-not-taken")
        for name in ("prompt", "negative_prompt") if self.name == "localai" else ():
            before, separator, _ = getattr(request, name).partition(_SEPARATOR)
            if separator:
                claim = f'LocalAI would cut the {name.replace("_", " ")} at "{_SEPARATOR}"'
                hint = "write another character, and the negative prompt into negative_prompt"
                found[name] = UsageError(claim, facts=[f"before it: {before[-30:]}"], hint=hint, name="prompt-cut")
        return found


def _openai(request: Request) -> dict[str, Any]:
    return {
        "model": request.model, "prompt": request.prompt, "n": 1, "size": str(request.size), "seed": request.seed,
        "response_format": "b64_json",
    }  # fmt: skip


def _negative(request: Request) -> dict[str, Any]:
    return {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}


def _renamed(parameters: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that have names at the server, with these names."""
    return {there: parameters[here] for here, there in names.items() if here in parameters}


_DIFFUSERS: Final = {
    "steps": "num_inference_steps", "guidance_scale": "guidance_scale", "true_cfg_scale": "true_cfg_scale",
}  # fmt: skip
_TORCH: Final = {**_DIFFUSERS, "flow_shift": "flow_shift", "generator_device": "generator_device"}


def _vllm_omni(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    body = {**_openai(request), "output_format": "png", "output_compression": _COMPRESSION, **_negative(request)}
    for lora in parameters.get("loras", ()):  # one at most
        body["lora"] = {"name": PurePath(lora["path"]).stem, **lora}
    return body | _renamed(parameters, _TORCH)


def _sglang(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    caching = _CACHES[parameters["cache"]] if "cache" in parameters else {}
    png = {"output_format": "png"}  # without it, SGLang writes JPEG
    return {**_openai(request), **png, **_negative(request), **_renamed(parameters, _TORCH), **caching}


def _xinference(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    names = {**_DIFFUSERS, "sampler": "sampler_name", "scheduler": "scheduler"}
    kwargs = {"seed": request.seed, **_negative(request), **_renamed(parameters, names)}
    body = {**_openai(request), "size": request.size.wire, "kwargs": json.dumps(kwargs, ensure_ascii=False)}
    del body["seed"]  # at the top it is ignored
    return body


def _localai(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    prompt = _SEPARATOR.join(filter(None, (request.prompt, request.negative_prompt)))
    return {**_openai(request), "prompt": prompt, **_renamed(parameters, {"steps": "step"})}


def _sdcpp(request: Request, parameters: Mapping[str, Any]) -> dict[str, Any]:
    sample = _renamed(parameters, {"steps": "sample_steps", "sampler": "sample_method", "scheduler": "scheduler",
                                   "flow_shift": "flow_shift"})  # fmt: skip
    guidance = _renamed(parameters, {"true_cfg_scale": "txt_cfg", "guidance_scale": "distilled_guidance"})
    if guidance:
        sample["guidance"] = guidance
    loras = [{"path": lora["path"], "multiplier": lora["scale"]} for lora in parameters.get("loras", ())]
    return {
        "prompt": request.prompt, "negative_prompt": request.negative_prompt, "width": request.size.width,
        "height": request.size.height, "seed": request.seed, "batch_count": 1, "output_format": "png",
        **({"sample_params": sample} if sample else {}), **({"lora": loras} if loras else {}),
        **_renamed(parameters, {"cache": "cache_mode"}),
    }  # fmt: skip


_SCALES: Final = ("guidance_scale", "true_cfg_scale")

DIALECTS: Final = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "vllm-omni", "vLLM-Omni", "http://127.0.0.1:8091/v1", _vllm_omni,
            ("steps", *_SCALES, "flow_shift", "generator_device", "loras"), ("cache",),
            {"steps": (1, 200), **dict.fromkeys(_SCALES, (0, 20))}, version_path="/version",
        ),
        Dialect(
            "sglang", "SGLang", "http://127.0.0.1:30010/v1", _sglang,
            ("steps", *_SCALES, "flow_shift", "generator_device", "cache"), ("loras",), ignores_model=True,
            version_path="/server_info",
        ),
        Dialect(
            "xinference", "Xinference", "http://127.0.0.1:9997/v1", _xinference,
            ("steps", *_SCALES, "sampler", "scheduler"), ("loras", "cache"), version_path="/v1/cluster/version",
        ),
        Dialect(
            "localai", "LocalAI", "http://127.0.0.1:8080/v1", _localai,
            ("steps",), (*_SCALES, "flow_shift", "sampler", "scheduler", "loras", "cache"), version_path="/version",
        ),
        Dialect(
            "sdcpp", "stable-diffusion.cpp", "http://127.0.0.1:1234", _sdcpp,
            ("steps", *_SCALES, "flow_shift", "sampler", "scheduler", "loras", "cache"), ("generator_device",),
            ignores_model=True, has_jobs=True,
        ),
    )
}  # fmt: skip
"""The dialects by name."""
