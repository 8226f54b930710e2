"""The provider's findings for the doctor: servers, nodes and model files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from qwenbuild.finding import Finding
from tests.support.comfy_server import UNET, Comfy, workflow

from .conftest import made


def findings(root: Path, own: str = "comfyui", nodes: Any = None, **table: Any) -> list[Finding]:
    return list(asyncio.run(made(root, nodes, **table).diagnose(own)))


def told(found: list[Finding]) -> list[tuple[str, str]]:
    return [(it.level.value, it.claim) for it in found]


def test_a_server_with_all_that_is_needed(tmp_path: Path, comfy: Comfy) -> None:
    """Nothing is queued."""
    found = findings(tmp_path, base_url=comfy.url)
    assert told(found) == [
        ("ok", f"{comfy.url} answers"), ("ok", f"{comfy.url} has all 10 nodes of the workflow"),
    ]  # fmt: skip
    assert found[0].facts == ("comfyui: 0.12.3", "device: cpu")
    assert comfy.prompts == []


def test_lacking_nodes_and_files_are_named(tmp_path: Path, comfy: Comfy) -> None:
    """Each with its class, and a file with the nearest one that is there. Holes are no files."""
    del comfy.nodes["ModelSamplingAuraFlow"]
    nodes = workflow(n37={"unet_name": "qwen_image_fp8.safetensors"}, n38={"clip_name": "x"}, n39={"vae_name": "$vae"})
    found = findings(tmp_path, nodes=nodes, base_url=comfy.url)
    assert told(found)[1:] == [
        ("fail", f"{comfy.url} lacks nodes of the workflow"),
        ("fail", f"{comfy.url} does not know values of the workflow"),
    ]
    assert found[1].facts == ("node 66 (ModelSamplingAuraFlow)",)
    assert found[2].facts == (
        f'node 37 (UNETLoader): unet_name = "qwen_image_fp8.safetensors"; did you mean "{UNET}"?',
        'node 38 (CLIPLoader): clip_name = "x"',
    )


def test_another_projects_provider_is_only_a_warning(tmp_path: Path, comfy: Comfy) -> None:
    """A web page, no server, and a workflow with a mistake."""
    comfy.page = "<html>"
    urls = [comfy.url, "http://127.0.0.1:9"]
    assert told(findings(tmp_path, "dashscope", workflow(n6={"text": ""}), base_url=urls)) == [
        ("warn", 'the workflow has no "$prompt"'),
        ("warn", f"what answers at {comfy.url} is no ComfyUI"),
        ("warn", "can't reach http://127.0.0.1:9"),
    ]


def test_who_does_not_use_it_hears_nothing(tmp_path: Path) -> None:
    """Without settings, and with another provider, there is nothing to examine."""
    provider = made(tmp_path)
    provider._settings.table.clear()  # type: ignore[attr-defined]
    assert list(asyncio.run(provider.diagnose("dashscope"))) == []
