"""Projects that render at ComfyUI: edits of the workflow, kills, interrupts, approvals and refusals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.files.provenance import read_provenance_file
from tests.support.comfy_server import Comfy, workflow

from .harness import Sandbox
from .test_watch import read_until

SPEC = """\
size = "64x32"
negative_prompt = "blurry"

[image.fox]
prompt = "a {{ colour }} fox"
matrix = { colour = ["red", "blue"] }
"""


@pytest.fixture
def comfy() -> Iterator[Comfy]:
    with Comfy().running() as server:
        yield server


@pytest.fixture
def foxes(tmp_path: Path, comfy: Comfy) -> Sandbox:
    """A project of two images that ComfyUI makes."""
    sandbox = Sandbox(tmp_path / "project", tmp_path / "store")
    config = f'provider = "comfyui"\n[providers.comfyui]\nworkflow = "flows/fox.json"\nbase_url = "{comfy.url}"\n'
    return sandbox.write({"qwenbuild.toml": config, "specs/a.toml": SPEC, **flow()})


def flow(**changes: Any) -> dict[str, str]:
    return {"flows/fox.json": json.dumps(workflow(**changes), indent=2)}


def test_an_edit_of_the_workflow_is_an_edit_of_its_images(foxes: Sandbox, comfy: Comfy) -> None:
    """The no-op check, `plan` and `explain` see it. Another edit of a title changes nothing; an undone one is free."""
    assert foxes.build_here()["rendered"] == 2
    path = foxes.root / "out/a/fox-red.png"
    provenance = read_provenance_file(path)
    assert provenance
    assert provenance["request"]["family"] == "comfyui"
    assert (provenance["server"], provenance["comfyui"]) == (comfy.url, "0.12.3")
    assert b"tEXtprompt" in path.read_bytes()  # ComfyUI's own chunk: its editor opens the image
    foxes.write(flow(n3={"steps": 4}))
    assert all("parameter workflow changed" in it for it in foxes.changed().values()), foxes.changed()
    explained = foxes.here("explain", "a/fox[colour=red]")
    assert "parameter workflow" in explained.out
    assert "flows/fox.json" not in explained.err
    assert foxes.build_here()["rendered"] == 2
    assert [it["prompt"]["3"]["inputs"]["steps"] for it in comfy.prompts] == [20, 20, 4, 4]
    titled = workflow(n3={"steps": 4})
    titled["3"]["_meta"]["title"] = "Sampler"
    foxes.write({"flows/fox.json": json.dumps(titled)})
    assert foxes.changed() == {}
    foxes.write(flow())
    assert foxes.build_here()["restored"] == 2
    assert len(comfy.prompts) == 4


def test_a_force_asks_for_another_run(foxes: Sandbox, comfy: Comfy) -> None:
    """Each gets an id of its own; without a store, the last run of the key is found again."""
    foxes.build_here("a/fox[colour=red]")
    foxes.build_here("a/fox[colour=red]", "--force")
    assert len({it["prompt_id"] for it in comfy.prompts}) == len(comfy.prompts) == 2
    foxes.store = foxes.store / "another"
    (foxes.root / "qwenbuild.lock").unlink()
    (foxes.root / "out/a/fox-red.png").unlink()
    foxes.build_here("a/fox[colour=red]")
    assert len(comfy.prompts) == 2


def test_a_killed_build_finds_its_runs_again(foxes: Sandbox, comfy: Comfy) -> None:
    """Nothing is queued twice, whether a run has ended meanwhile or not."""
    comfy.is_held = True
    with foxes.popen("build") as process:
        comfy.wait(lambda: comfy.now and comfy.pending)
        process.send_signal(signal.SIGKILL)
    comfy.is_held = False
    comfy._step()  # the first run ends while nobody follows it
    assert foxes.build_here()["rendered"] == 2
    assert len(comfy.prompts) == 2


def test_the_second_ctrl_c_takes_the_runs_back(foxes: Sandbox, comfy: Comfy) -> None:
    """One is interrupted, the other leaves the queue; the next build queues both again under other ids, if need be."""
    comfy.is_held = True
    with foxes.popen("build", start_new_session=True) as process:
        comfy.wait(lambda: comfy.now and comfy.pending)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        read_until(process.stderr, "stopping")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert (comfy.now, comfy.pending, len(comfy.interrupted)) == ([], [], 1)
    comfy.is_held = False
    assert foxes.build_here()["rendered"] == 2


def test_watch_follows_the_workflow(foxes: Sandbox, comfy: Comfy) -> None:
    """A save of the file renders its images; a mistake is shown at its place, and the last good plan stays."""
    process = foxes.popen("watch", "--no-preview")
    try:
        assert process.stderr is not None
        read_until(process.stderr, r"\[2/2\]")
        foxes.write(flow(n6={"text": "$promt"}))
        frame = read_until(process.stderr, "keeping the last good plan")
        assert 'did you mean "$prompt"?' in frame
        foxes.write(flow(n3={"steps": 4}))
        read_until(process.stderr, r"\[2/2\]")
    finally:
        process.kill()
        process.communicate()
    assert [it["prompt"]["3"]["inputs"]["steps"] for it in comfy.prompts] == [20, 20, 4, 4]


def test_a_server_elsewhere_gets_nothing_without_approval(foxes: Sandbox, comfy: Comfy) -> None:
    """`plan` names it, a build stops, and `trust` records it; the variable is the user's own word."""
    foxes.edit("qwenbuild.toml", comfy.url, "http://gpu.example:8188")
    ran = foxes.here("build")
    assert ran.code == 1
    assert "not approved: prompts and the workflow would go to http://gpu.example:8188" in ran.err
    assert "http://gpu.example:8188" in foxes.here("trust", "--yes").out
    assert "not approved" not in foxes.here("plan").err
    foxes.extra["QWENBUILD_COMFYUI_URL"] = comfy.url
    assert foxes.build_here()["rendered"] == 2


def test_refusals_name_what_to_do(foxes: Sandbox, comfy: Comfy) -> None:
    """Before anything is sent: holes and fields. At the server: its errors; then the server is gone."""
    foxes.write({**flow(n3={"steps": "$steps"}, n7={"text": ""})})
    ran = foxes.here("plan")
    assert ran.code == 2
    assert 'nothing fills "$steps" in flows/fox.json' in ran.err
    foxes.edit("specs/a.toml", "[image.fox]", "parameters = { steps = 4, cfg = 1 }\n[image.fox]")
    ran = foxes.here("plan")
    assert "parameters = { steps = 4, cfg = 1 }" in ran.err
    assert 'the workflow has no "$cfg"' in ran.err
    foxes.edit("specs/a.toml", ", cfg = 1", "")
    ran = foxes.here("plan")
    assert 'the workflow has no "$negative_prompt"' in ran.err
    foxes.edit("specs/a.toml", 'negative_prompt = "blurry"\n', "")
    del comfy.nodes["VAEDecode"]
    ran = foxes.here("build")
    assert ran.code == 1
    assert "ComfyUI refuses the workflow: Node 'VAEDecode' not found. The custom node may not be installed." in ran.err
    assert "node 8 (VAEDecode)" in foxes.here("doctor").out
    foxes.extra["QWENBUILD_COMFYUI_URL"] = "http://127.0.0.1:9"
    ran = foxes.here("build")
    assert "can't reach http://127.0.0.1:9" in ran.err


def test_images_choose_between_providers(foxes: Sandbox, comfy: Comfy) -> None:
    """A workflow with a mistake stops only projects whose images use it."""
    foxes.edit("specs/a.toml", 'size = "64x32"\nnegative_prompt = "blurry"\n', 'provider = "null"\n')
    foxes.edit("qwenbuild.toml", 'provider = "comfyui"\n', "")
    foxes.write({"flows/fox.json": "{"})
    assert foxes.build_here()["rendered"] == 2
    foxes.edit("specs/a.toml", 'provider = "null"', 'provider = "comfyui"\nsize = "64x32"')
    assert "flows/fox.json is not JSON" in foxes.here("plan").err
    assert comfy.calls.total() == 0
    foxes.write(flow())
    assert foxes.build_here()["rendered"] == 2
    assert len(comfy.prompts) == 2


def test_a_clone_does_not_replace_what_the_lock_pins(foxes: Sandbox, comfy: Comfy, tmp_path: Path) -> None:
    """Another server would give other bytes: so what nobody has is lacking until --relock says to make it anew."""
    foxes.build_here()
    clone = Sandbox(tmp_path / "clone", tmp_path / "empty-store")
    for name in ("qwenbuild.toml", "specs/a.toml", "flows/fox.json", "qwenbuild.lock"):
        clone.write({name: (foxes.root / name).read_text("utf-8")})
    comfy.restart()
    ran = clone.here("build")
    assert ran.code == 3
    assert "the lock pins 2 images that nobody here has" in ran.err
    assert len(comfy.prompts) == 2
    assert clone.build_here("--relock")["rendered"] == 2
