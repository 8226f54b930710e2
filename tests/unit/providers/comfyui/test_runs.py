"""Runs: a workflow is queued once, found again, followed to its end, and taken back."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from qwenbuild.errors import BadImage, ProviderError, Refused, ServiceFault
from qwenbuild.providers.addresses import Address
from qwenbuild.providers.comfyui.client import Client
from qwenbuild.providers.comfyui.runs import Job, Made, Runs, Seen, is_superseded, run_id
from qwenbuild.providers.comfyui.workflow import Workflow
from tests.support.comfy_server import Comfy, workflow

FLOW = Workflow(workflow(), "d", ())
KEY = "a" * 64
RUN = run_id(KEY, 0)


def job(**values: Any) -> Job:
    filled = FLOW.filled({"prompt": "a cat", "negative_prompt": "", "seed": 7, "width": 64, "height": 32, **values})
    return Job(KEY, FLOW, filled, "", is_forced=False, tell=lambda error, wait_s: None)


def with_runs(comfy: Comfy, act: Callable[[Runs], Coroutine[Any, Any, Any]], timeout_s: float = 60.0) -> Any:
    async def acted() -> Any:
        async with Client(Address(comfy.url, is_users=False)) as client:
            return await act(Runs(client, timeout_s, patience_s=10.0))

    return asyncio.run(acted())


def made(comfy: Comfy, wanted: Job | None = None, seen: Seen | None = None, **choices: Any) -> Made:
    found = with_runs(comfy, lambda it: it.make(wanted or job(), RUN, seen or Seen("")), **choices)
    assert isinstance(found, Made)
    return found


def test_an_image_is_made() -> None:
    """The id is a UUID that follows from the key and the number."""
    assert str(uuid.UUID(RUN)) == RUN == run_id(KEY, 0)
    assert len({RUN, run_id(KEY, 1), run_id("b" * 64, 0)}) == 3


def test_a_workflow_is_queued_and_its_image_fetched(comfy: Comfy) -> None:
    """The image keeps the chunk in which ComfyUI writes the workflow."""
    found = made(comfy)
    assert (found.run, found.ignored) == (RUN, [])
    image = Image.open(io.BytesIO(found.image))
    assert (image.size, "prompt" in image.info) == ((64, 32), True)
    assert [(it["prompt_id"], it["prompt"]["6"]["inputs"]["text"]) for it in comfy.prompts] == [(RUN, "a cat")]


def test_a_lost_answer_queues_nothing_twice(comfy: Comfy) -> None:
    """The run is looked up before the workflow would be sent again; other answers are asked for again."""
    comfy.lost += ["/prompt", f"/history/{RUN}", "/queue", "/view"]
    assert made(comfy).run == RUN
    assert len(comfy.prompts) == 1


def test_a_server_that_forgot_the_run_gets_it_again(comfy: Comfy) -> None:
    """After a restart queue and history are empty. A server that restarts again and again is told."""
    comfy.is_held = True

    async def restarted(runs: Runs) -> Made:
        making = asyncio.create_task(runs.make(job(), RUN, Seen("")))
        await asyncio.to_thread(comfy.wait, lambda: comfy.now)
        comfy.restart()
        comfy.is_held = False
        return await making

    assert with_runs(comfy, restarted).run == RUN
    assert [it["prompt_id"] for it in comfy.prompts] == [RUN, RUN]


def test_a_version_that_chooses_the_id_itself_is_followed(comfy: Comfy) -> None:
    """Its own id counts."""
    comfy.is_old = True
    found = made(comfy)
    assert found.run in comfy.history
    assert found.run != RUN


def test_refused_and_failed_runs(comfy: Comfy) -> None:
    """What the server says against nodes, and what a node raised, become the message."""
    with pytest.raises(Refused) as caught:
        made(comfy, replace(job(), filled=workflow(n37={"unet_name": "x"}, n3={"steps": 0}, n58={"width": "w"})))
    assert caught.value.claim == "ComfyUI refuses the workflow: Prompt outputs failed validation"
    assert [fact.partition(": ")[0] for fact in caught.value.facts] == [
        "node 37 (UNETLoader)", "node 58 (EmptySD3LatentImage)", "node 58 (EmptySD3LatentImage)", "node 3 (KSampler)",
        "node 3 (KSampler)",
    ]  # fmt: skip
    comfy.failure = {"node_id": "8", "exception_type": "RuntimeError", "exception_message": "boom"}
    with pytest.raises(Refused) as caught:
        made(comfy)
    assert (caught.value.claim, caught.value.facts) == (
        "ComfyUI failed at node 8 (VAEDecode)", ("RuntimeError: boom",),
    )  # fmt: skip


def test_what_the_server_leaves_out_is_known(comfy: Comfy) -> None:
    """Old versions accept a workflow of which a part can't run."""
    comfy.is_warning = True
    assert made(comfy, replace(job(), filled={**job().filled, "7": workflow()["7"], "9": {
        "class_type": "PreviewImage", "inputs": {}, "_meta": {"title": "x"}}})).ignored == [
        "node 9: Required input is missing: images"]  # fmt: skip


def test_another_format_and_a_damaged_file(comfy: Comfy) -> None:
    """A JPEG, and a PNG that breaks off."""
    comfy.image_format = "JPEG"
    with pytest.raises(BadImage, match="the workflow saves a JPEG"):
        made(comfy)
    comfy.image_format = "PNG"
    comfy.restart()
    [name] = comfy.files
    entry = {"outputs": {"60": {"images": [{"filename": name, "type": "output"}]}}}
    comfy.files[name] = made(comfy).image[:-20]
    with pytest.raises(BadImage, match="truncated"):
        made(comfy, seen=Seen("ended", entry))


def test_a_cancelled_render_takes_its_run_back(comfy: Comfy) -> None:
    """A run that waits leaves the queue; one that is running is interrupted. The runs of others go on."""
    comfy.is_held = True
    others = [str(uuid.uuid4()) for _ in range(2)]

    async def cancelled(runs: Runs, run: str) -> None:
        making = asyncio.create_task(runs.make(job(), run, Seen("")))
        await asyncio.to_thread(comfy.wait, lambda: run in [*comfy.now, *comfy.pending])
        await runs.seen(run)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making

    with_runs(comfy, lambda runs: cancelled(runs, RUN))
    assert (comfy.interrupted, comfy.now) == ([RUN], [])

    async def queued(runs: Runs) -> None:
        for other in others:
            await runs.client.post("/prompt", {"prompt": job().filled, "prompt_id": other})

    with_runs(comfy, queued)
    with_runs(comfy, lambda runs: cancelled(runs, run_id(KEY, 1)))
    assert comfy.interrupted == [RUN]
    assert [*comfy.now, *comfy.pending] == others


def test_a_run_without_an_end_is_interrupted(comfy: Comfy) -> None:
    """The time counts from its begin at the server."""
    comfy.is_held = True
    with pytest.raises(Refused, match=r"ComfyUI did not finish within 0\.01 s"):
        made(comfy, timeout_s=0.01)
    assert comfy.interrupted == [RUN]


def test_which_runs_make_room() -> None:
    """Those that failed; if another image is wanted, each that ended."""
    failed = Seen("ended", {"status": {"status_str": "error"}})
    runs = [Seen(""), Seen("pending"), Seen("running"), Seen("ended", {"status": {}}), failed]
    assert [is_superseded(it, job()) for it in runs] == [False, False, False, False, True]
    assert [is_superseded(it, replace(job(), is_forced=True)) for it in runs] == [False, False, False, True, True]


def test_a_server_that_always_restarts(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told after three times, not followed for ever."""

    async def forgotten(runs: Runs) -> Made:
        async def nothing(run: str) -> Seen:
            return Seen("")

        monkeypatch.setattr(runs, "seen", nothing)
        return await runs.make(job(), RUN, Seen(""))

    with pytest.raises(ServiceFault, match="forgot the run 3 times"):
        with_runs(comfy, forgotten)


def test_errors_are_told_before_each_wait(comfy: Comfy) -> None:
    """The caller of a render hears why it waits."""
    told: list[ProviderError] = []
    comfy.lost.append("/prompt")
    made(comfy, replace(job(), tell=lambda error, wait_s: told.append(error)))
    assert [error.claim for error in told] == [f"{comfy.url} did not answer"]
