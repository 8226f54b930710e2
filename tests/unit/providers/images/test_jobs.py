"""Jobs: one is followed until its image is there, and cancelled if nobody waits for it."""

from __future__ import annotations

import asyncio
import json

import pytest

from qwenbuild.providers.images import jobs, rendering
from tests.support.image_servers import ImageServer, Reply, failed, made, rendered, serving, wanted
from tests.support.scripted import Journal


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(jobs, "_FIRST_POLL_S", 0.001)


def test_a_job_is_followed_to_its_image() -> None:
    """It is submitted once, and polled."""
    with serving("sdcpp", polls=3) as server:
        [image] = rendered(made(server), wanted())
        assert not isinstance(image, Exception)
        assert image.png.startswith(b"\x89PNG")
        jobs_asked = [path for path in server.paths if "capabilities" not in path]
        assert jobs_asked == ["POST /sdcpp/v1/img_gen", *["GET /sdcpp/v1/jobs/job_0"] * 3]


def test_a_job_that_nobody_waits_for_is_cancelled() -> None:
    """As after Ctrl-C, and after the longest time."""

    async def leave(server: ImageServer) -> None:
        provider = made(server)
        async with provider.session():
            task = asyncio.create_task(provider.render(wanted(), Journal()))
            await asyncio.to_thread(server.arrived.acquire)
            await asyncio.to_thread(server.polled.wait, 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with serving("sdcpp", polls=10**9) as server:
        asyncio.run(leave(server))
        assert server.jobs["job_0"]["status"] == "cancelled"
    with serving("sdcpp", polls=10**9) as server:
        message = failed(made(server, timeout_s=0.05))
        assert {job["status"] for job in server.jobs.values()} == {"cancelled"}
    assert message == f"{server.origin} did not answer\n  the job was not complete within 0.05 s"


def test_jobs_that_end_without_an_image() -> None:
    """A failure is tried again; a job that somebody cancelled is not."""
    error = {"code": "generation_failed", "message": "generate_image returned empty results"}
    with serving("sdcpp", polls=10**9) as server:
        ended = iter(["failed", "cancelled"])
        queued = server._queued

        def queue(body: dict[str, object]) -> Reply:
            reply = queued(body)
            server.jobs[json.loads(reply.body)["id"]] |= {"status": next(ended), "error": error}
            return reply

        server._queued = queue  # type: ignore[method-assign]
        message = failed(made(server))
    assert message == f"the job was cancelled at {server.origin}\n  build again to render it"
    assert len(server.jobs) == 2


def test_a_server_that_was_started_again_has_no_jobs() -> None:
    """The image is asked for again."""
    with serving("sdcpp") as server:
        lost = json.dumps({"id": "job_lost", "status": "queued"}).encode()
        server.replies.append(Reply(202, lost))
        [image] = rendered(made(server), wanted())
    assert not isinstance(image, Exception)
