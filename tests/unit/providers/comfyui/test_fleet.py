"""The fleet: several servers, of which some are silent, and runs of earlier builds on any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from qwenbuild.errors import BadImage, ProviderError, Refused, Unreachable
from qwenbuild.providers.addresses import Address
from qwenbuild.providers.comfyui.client import Client
from qwenbuild.providers.comfyui.fleet import Fleet, facts_of
from qwenbuild.providers.comfyui.runs import Job, Made, Runs, run_id
from tests.support.comfy_server import Comfy

from .test_runs import KEY, job

NOWHERE = "http://127.0.0.1:9"  # the port of discard, where nothing listens


def with_fleet(urls: Sequence[str], act: Callable[[Fleet], Coroutine[Any, Any, Any]]) -> Any:
    async def acted() -> Any:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(Address(url, is_users=False))) for url in urls]
            return await act(Fleet([Runs(client, 60.0, patience_s=0.1) for client in clients]))

    return asyncio.run(acted())


def run(urls: Sequence[str], wanted: Job | None = None) -> tuple[int, str]:
    """Return the number of the run that gave the image, and its server."""
    found, server = with_fleet(urls, lambda fleet: fleet.make(wanted or job()))
    number = next(number for number in range(10) if run_id(KEY, number) == found.run)
    return number, server.client.address.url


def test_a_run_of_an_earlier_build_is_found_on_any_server(comfy: Comfy) -> None:
    """It is not queued again, and its image is fetched from there."""
    with Comfy().running() as other:
        assert run([other.url]) == (0, other.url)
        assert run([comfy.url, other.url]) == (0, other.url)
        assert (len(comfy.prompts), len(other.prompts)) == (0, 1)


def test_failed_forced_and_lost_runs_make_room(comfy: Comfy) -> None:
    """The next number is another id; a run that has not ended is joined even if it is forced."""
    comfy.failure = {"node_id": "3", "exception_type": "RuntimeError", "exception_message": "boom"}
    with pytest.raises(Refused):
        run([comfy.url])
    comfy.failure = None
    assert run([comfy.url]) == (1, comfy.url)
    assert run([comfy.url]) == (1, comfy.url)
    forced = replace(job(), is_forced=True)
    assert run([comfy.url], forced) == (2, comfy.url)
    comfy.files.clear()
    assert run([comfy.url], forced) == (3, comfy.url)
    assert len(comfy.prompts) == 4


def test_a_removed_or_damaged_file_is_made_again(comfy: Comfy) -> None:
    """Somebody cleaned ComfyUI's folder. A file of another format stays refused."""
    run([comfy.url])
    comfy.files.clear()
    assert run([comfy.url]) == (1, comfy.url)
    comfy.image_format = "JPEG"
    comfy.restart()
    for _ in range(2):
        with pytest.raises(BadImage):
            run([comfy.url])
    assert len(comfy.prompts) == 3


def test_images_go_to_the_least_busy_server_and_a_silent_one_is_left_out(comfy: Comfy) -> None:
    """Each of two servers gets two of four images; a third one answers nothing."""
    with Comfy().running() as other:

        async def four(fleet: Fleet) -> None:
            await fleet.greet()
            await asyncio.gather(*(fleet.make(replace(job(), key=str(number) * 64)) for number in range(4)))

        with_fleet([NOWHERE, comfy.url, other.url], four)
        assert (len(comfy.prompts), len(other.prompts)) == (2, 2)


def test_a_server_that_falls_silent_gives_its_image_to_another(comfy: Comfy) -> None:
    """What it did meanwhile is lost, and cost nothing."""
    with Comfy().running() as other:

        async def moved(fleet: Fleet) -> str:
            comfy.is_held = True
            making = asyncio.create_task(fleet.make(job()))
            await asyncio.to_thread(comfy.wait, lambda: comfy.now)
            comfy.status = 503
            _, server = await making
            return server.client.address.url

        assert with_fleet([comfy.url, other.url], moved) == other.url


def test_two_builds_may_wait_for_one_run(comfy: Comfy) -> None:
    """If the one that found it leaves, the run goes on. If the one that queued it leaves, the other one queues it."""

    async def shared(fleet: Fleet) -> str:
        comfy.is_held = True
        [runs] = fleet._servers

        async def begun(count: int) -> asyncio.Task[tuple[Made, Runs]]:
            making = asyncio.create_task(fleet.make(job()))
            while runs.busy < count or not comfy.now:  # noqa: ASYNC110 - nothing tells that it waits
                await asyncio.sleep(0.01)
            return making

        first, second = await begun(1), await begun(2)
        second.cancel()
        await asyncio.wait([second])
        assert comfy.interrupted == []
        third = await begun(2)
        first.cancel()
        await asyncio.wait([first])
        comfy.is_held = False
        return (await third)[0].run

    assert with_fleet([comfy.url], shared) == run_id(KEY, 1)
    assert (comfy.interrupted, len(comfy.prompts)) == ([run_id(KEY, 0)], 2)


def test_no_server_answers() -> None:
    """The message names the first one."""
    with pytest.raises(Unreachable, match=r"can't reach http://127\.0\.0\.1:9"):
        with_fleet([NOWHERE, NOWHERE], lambda fleet: fleet.greet())
    with pytest.raises(ProviderError):
        run([NOWHERE])


def test_facts_of_a_server() -> None:
    """Version and device, if they are texts."""
    stats = {"system": {"comfyui_version": "0.12.3"}, "devices": [{"name": "cuda:0 NVIDIA H200"}]}
    assert facts_of(stats) == {"comfyui": "0.12.3", "device": "cuda:0 NVIDIA H200"}
    assert facts_of({"system": 1, "devices": [7]}) == {}
