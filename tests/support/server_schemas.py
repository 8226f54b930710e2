"""The request models of the servers of open weights, as JSON Schemas: recorded from their own wheels.

The wheels have 8 to 56 MB, too much for each run of the gate. So `tests/data/image_requests.json` holds what they say.
`python -m tests.support.server_schemas` downloads the wheels, and writes it. A test with the mark `wheels` compares.
LocalAI and stable-diffusion.cpp are no Python: their fields are copied from their documentation by hand, below.
"""

from __future__ import annotations

import ast
import contextlib
import json
import subprocess
import sys
import tempfile
import types
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[1] / "data" / "image_requests.json"

WHEELS = {
    "vllm-omni": ("vllm-omni", "vllm_omni/entrypoints/openai/protocol/images.py", "ImageGenerationRequest"),
    "sglang": (
        "sglang",
        "sglang/multimodal_gen/runtime/entrypoints/openai/protocol.py",
        "ImageGenerationsRequest",
    ),
    "xinference": ("xinference", "xinference/api/schemas/requests.py", "TextToImageRequest"),
}
"""By dialect: the name of the wheel, the module inside it, and the class of a request."""

_TEXT, _WHOLE, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def _table(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


BY_HAND: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "localai": (
        "core/schema/openai.go and core/http/endpoints/openai/image.go, November 2026",
        _table(model=_TEXT, prompt=_TEXT, n=_WHOLE, size=_TEXT, seed=_WHOLE, step=_WHOLE, response_format=_TEXT),
    ),
    "sdcpp": (
        "examples/server/api.md, November 2026",
        _table(
            prompt=_TEXT,
            negative_prompt=_TEXT,
            width=_WHOLE,
            height=_WHOLE,
            seed=_WHOLE,
            batch_count=_WHOLE,
            sample_params=_table(
                scheduler=_TEXT,
                sample_method=_TEXT,
                sample_steps=_WHOLE,
                flow_shift=_NUMBER,
                guidance=_table(txt_cfg=_NUMBER, distilled_guidance=_NUMBER),
            ),
            lora={"type": "array", "items": _table(path=_TEXT, multiplier=_NUMBER)},
            cache_mode=_TEXT,
            output_format=_TEXT,
        ),
    ),
}


def recorded(dialect: str) -> Mapping[str, Any]:
    """Return the recorded JSON Schema of the requests of a dialect."""
    found: Mapping[str, Any] = json.loads(PATH.read_text("utf-8"))[dialect]["schema"]
    return found


def faults(schema: Mapping[str, Any], value: Any, where: str = "") -> Iterator[str]:
    """Yield what is wrong with a request, as FastAPI would say it. A name that the schema lacks is a fault, too."""
    choices = schema.get("anyOf")
    if choices is not None:
        found = [list(faults(choice, value, where)) for choice in choices]
        yield from min(found, key=len)
        return
    kinds = {"string": str, "integer": int, "number": int | float, "boolean": bool, "object": dict, "array": list}
    kind = schema.get("type")
    if kind == "null" or (
        kind in kinds and (not isinstance(value, kinds[kind]) or (value is True and kind != "boolean"))
    ):
        yield f"{where}: not of the type {kind}"
    elif isinstance(value, dict) and "properties" in schema:
        for name, each in value.items():
            if name not in schema["properties"]:
                yield f"{where}{name}: an unknown field"
            else:
                yield from faults(schema["properties"][name], each, f"{where}{name}.")
    elif isinstance(value, list) and "items" in schema:
        for each in value:
            yield from faults(schema["items"], each, where)
    elif isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: out of range"


def of_wheel(dialect: str, folder: Path) -> tuple[str, type[Any]]:
    """Return (the name of the file, the class of a request) of a dialect's newest wheel, downloaded into a folder."""
    wheel, module, name = WHEELS[dialect]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wheel]
    subprocess.run(pip, check=True)
    [path] = folder.glob(f"{wheel.replace('-', '_')}-*.whl")
    with zipfile.ZipFile(path) as whole:
        return path.name, _class(whole.read(module).decode(), name)


def _class(source: str, name: str) -> type[Any]:
    """Return a pydantic model, made of its own source. All that surrounds it needs torch, and is left out."""
    module = types.ModuleType("request_model")
    sys.modules[module.__name__] = module  # pydantic looks for names there
    space = module.__dict__
    exec("from typing import *\nfrom enum import Enum\nfrom pydantic import *", space)
    space["validate_layered_layers"] = lambda value: value
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) or (isinstance(node, ast.ClassDef) and node.name in (name, "ResponseFormat")):
            with contextlib.suppress(NameError):  # constants of other classes
                exec(ast.unparse(node), space)
    found: type[Any] = space[name]
    return found


def schema_of(model: type[Any]) -> dict[str, Any]:
    """Return the fields of a request with their types and ranges, without their descriptions."""
    whole = model.model_json_schema()
    fields = {name: _plain(each, whole.get("$defs", {})) for name, each in whole["properties"].items()}
    return {"type": "object", "properties": fields}


def _plain(schema: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _plain(known[schema["$ref"].rpartition("/")[2]], known)
    kept = ("type", "minimum", "maximum", "enum")
    found = {name: schema[name] for name in kept if name in schema}
    if "anyOf" in schema:
        found["anyOf"] = [_plain(each, known) for each in schema["anyOf"]]
    return found


def main() -> None:
    """Write the recorded schemas anew."""
    date, found = datetime.now(UTC).date().isoformat(), {}
    for dialect in WHEELS:
        with tempfile.TemporaryDirectory() as folder:
            source, model = of_wheel(dialect, Path(folder))
        found[dialect] = {"source": source, "date": date, "schema": schema_of(model)}
    for dialect, (source, schema) in BY_HAND.items():
        found[dialect] = {"source": source, "date": date, "schema": dict(schema)}
    PATH.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
