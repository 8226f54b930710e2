"""The provider: its settings, what plans ask of it, and one render."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwenbuild.errors import ProviderError, Untrusted, UsageError, WrongSettings
from qwenbuild.own_servers import choosy, default_model, parametrised, reading, serves_any_model
from qwenbuild.parameters import as_text
from qwenbuild.provider import Rendered
from qwenbuild.providers.comfyui.provider import ComfyUIProvider
from qwenbuild.request import Request, Size
from tests.support.comfy_server import Comfy, workflow

from .conftest import made


class Journal:
    """The journal of a free render: nothing is recorded."""

    is_forced = False

    async def intend(self, context: object) -> None:
        raise AssertionError

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        raise AssertionError

    async def refused(self) -> None:
        raise AssertionError

    def delayed(self, error: ProviderError, wait_s: float) -> None:
        pass


def rendered(provider: ComfyUIProvider, **parameters: Any) -> Rendered:
    table = provider.checked_parameters({**provider.parameters, **parameters})
    request = Request(
        "comfyui", "workflow", "a cat", "", Size(64, 32), 7, False, False, parameters=as_text(dict(table))
    )

    async def render() -> Rendered:
        async with provider.session():
            return await provider.render(request, Journal())

    return asyncio.run(render())


def test_what_the_contract_asks(tmp_path: Path) -> None:
    """It is free, serves any model in any size, and reads a file of the project."""
    provider = made(tmp_path, base_url=["http://127.0.0.1:1", "http://127.0.0.1:2"])
    assert (provider.price("x"), provider.check("x"), provider.shortest_s({"x": 9}), provider.concurrency) == (
        None, None, 0.0, 4,
    )  # fmt: skip
    assert (serves_any_model(provider), default_model(provider)) == (True, "workflow")
    assert [parametrised(provider), choosy(provider), reading(provider)] == [provider] * 3
    assert list(provider.files()) == [tmp_path / "workflow.json"]


def test_the_workflow_is_read_again_and_is_a_parameter(tmp_path: Path) -> None:
    """An edit changes the digest; a mistake is returned, and the digest is gone until it is right again."""
    provider = made(tmp_path, workflow(n3={"steps": "$steps"}), output_node="60")
    assert provider.parameters == {"output_node": "60"}
    assert provider.read_files() == []
    before = provider.parameters["workflow"]
    assert provider.checked_parameters({**provider.parameters, "steps": 4}) == {
        "workflow": before, "output_node": "60", "steps": 4,
    }  # fmt: skip
    with pytest.raises(WrongSettings, match='the workflow has no "\\$step"'):
        provider.checked_parameters({**provider.parameters, "step": 4})
    (tmp_path / "workflow.json").write_text("{")
    assert [it.claim.partition(":")[0] for it in provider.read_files()] == ["workflow.json is not JSON"]
    assert provider.parameters == {"output_node": "60"}
    (tmp_path / "workflow.json").write_text(json.dumps(workflow(n3={"steps": 9})))
    assert provider.read_files() == []
    assert provider.parameters["workflow"] != before


def test_what_is_wrong_with_the_files(tmp_path: Path) -> None:
    """No workflow, one that is not there, and an output node that it has not."""
    without = made(tmp_path)
    without._path = None
    assert [it.claim for it in without.read_files()] == ["the provider comfyui needs a workflow"]
    missing = made(tmp_path, workflow="nowhere.json")
    assert [it.claim for it in missing.read_files()] == ["no such file: nowhere.json"]
    [problem] = made(tmp_path, output_node=600).read_files()
    assert (problem.claim, problem.hint) == (
        'output_node = "600": the workflow has no such node', 'did you mean "60"?',
    )  # fmt: skip


def test_all_mistakes_in_the_settings_are_told_at_once(tmp_path: Path) -> None:
    """Unknown keys, wrong types, and a file outside of the project."""
    with pytest.raises(WrongSettings) as caught:
        made(tmp_path, workflow="../x.json", base_url=7, timeout_s=0, output_node=[], workflows="x")
    assert [key for key, _ in caught.value.faults] == ["workflows", "base_url", "workflow", "output_node", "timeout_s"]


def test_an_image_is_rendered_with_its_parameters(tmp_path: Path, comfy: Comfy) -> None:
    """The provenance says which run of which server made it."""
    provider = made(tmp_path, workflow(n3={"steps": "$steps"}), base_url=comfy.url)
    provider.read_files()
    found = rendered(provider, steps=4)
    assert Image.open(io.BytesIO(found.png)).size == (64, 32)
    [body] = comfy.prompts
    assert found.facts == {"run": body["prompt_id"], "server": comfy.url, "comfyui": "0.12.3", "device": "cpu"}
    assert (body["prompt"]["3"]["inputs"]["steps"], body["prompt"]["3"]["inputs"]["seed"]) == (4, 7)
    assert found.verified


def test_a_build_goes_on_with_the_workflow_that_was_planned(tmp_path: Path, comfy: Comfy) -> None:
    """An edit after the plan does not reach its renders; a workflow that nobody planned is an error."""
    provider = made(tmp_path, base_url=comfy.url)
    provider.read_files()
    planned = dict(provider.parameters)
    (tmp_path / "workflow.json").write_text(json.dumps(workflow(n3={"steps": 9})))
    provider.read_files()
    provider.checked_parameters = lambda table: planned  # type: ignore[method-assign]
    assert rendered(provider).png
    assert comfy.prompts[0]["prompt"]["3"]["inputs"]["steps"] == 20
    planned["workflow"] = "0" * 64
    with pytest.raises(ProviderError, match=r"workflow\.json is not the one that was planned"):
        rendered(provider)


def test_what_a_server_leaves_out_is_told_once(tmp_path: Path, comfy: Comfy) -> None:
    """The warning quotes the server."""
    comfy.is_warning = True
    preview = {"class_type": "PreviewImage", "inputs": {}, "_meta": {"title": "x"}}
    provider = made(tmp_path, {**workflow(), "9": preview}, base_url=comfy.url)
    provider.read_files()
    [warning] = rendered(provider).warnings
    assert (warning.claim, list(warning.facts)) == (
        "ComfyUI leaves out a part of the workflow", ["node 9 (PreviewImage): Required input is missing: images"],
    )  # fmt: skip
    comfy.restart()
    assert rendered(provider).warnings == []


def test_a_server_that_only_the_project_names_gets_nothing(tmp_path: Path) -> None:
    """Neither a session nor a diagnosis connects before the user approved it."""
    provider = made(tmp_path, base_url="http://gpu.example:8188")
    assert [item.value for item in provider.asks()] == ["http://gpu.example:8188"]
    with pytest.raises(Untrusted):
        rendered(provider)
    with pytest.raises(Untrusted):
        asyncio.run(provider.diagnose("comfyui"))
    with pytest.raises(UsageError, match="outside of its session"):
        asyncio.run(provider.render(Request("comfyui", "m", "a", "", Size(1, 1), 1, False, False), Journal()))


def test_a_seed_that_does_not_count_is_told(tmp_path: Path, comfy: Comfy) -> None:
    """Two seeds, and the same picture: the hole stands at a node that makes no noise."""
    nodes = workflow(n3={"seed": 1}, n60={"seed": "$seed"})
    comfy.is_same = True
    provider = made(tmp_path, nodes, base_url=comfy.url)
    provider.read_files()
    request = Request(
        "comfyui", "workflow", "a", "", Size(64, 32), 7, False, False, parameters=as_text(dict(provider.parameters))
    )

    async def both() -> list[str]:
        async with provider.session():
            found = [await provider.render(request._replace(seed=seed), Journal()) for seed in (1, 2)]
        return [warning.claim for it in found for warning in it.warnings]

    assert asyncio.run(both()) == ["the workflow made the same image for different seeds"]
