"""Tasks: polls that fail, lists of many pages, and cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from qwenbuild.errors import AccountError, AnswerLost, ProviderError, Refused, ServiceFault, Throttled, Unreachable
from qwenbuild.provider import Rendered
from tests.support.scripted import PNG, Journal, Reply, Scripted, fails, request_of, says


@pytest.mark.parametrize(
    "reply",
    [
        fails(429, "Throttling"), fails(500, "InternalError"), fails(503, "ServiceUnavailable"), Reply(502, b"<html>"),
        Reply(fault="drop"), Reply(200, b"garbage"), says(200, {"output": {"task_status": "RUNNING"}}),
        says(200, {"output": {"task_id": "task-0", "task_status": "BREWING"}}),
        says(200, {"output": {"task_id": "task-0", "task_status": "UNKNOWN"}}),
    ],
    ids=["429", "500", "503", "502", "drop", "garbage", "fields", "status", "unknown"],
)  # fmt: skip
def test_a_failed_poll_does_not_end_the_wait(reply: Reply) -> None:
    """A task is polled until the service says how it ended."""

    async def main() -> tuple[Rendered, Journal, int]:
        journal = Journal()
        async with Scripted() as server:
            server.script["task"].extend([reply, reply])
            provider = server.provider(interface="async")
            async with provider.session():
                return await provider.render(request_of(), journal), journal, server.bill

    rendered, journal, bill = asyncio.run(main())
    assert rendered.png == PNG
    assert journal.kinds == ["intend", "accepted"]
    assert bill == 1


def test_a_revoked_key_does_not_lose_a_task() -> None:
    """A refused poll stops the run; the submission stays open."""

    async def main() -> tuple[ProviderError, Journal]:
        journal = Journal()
        async with Scripted() as server:
            server.script["task"].append(fails(401, "InvalidApiKey"))
            provider = server.provider(interface="async")
            async with provider.session():
                with pytest.raises(AccountError) as caught:
                    await provider.render(request_of(), journal)
        return caught.value, journal

    error, journal = asyncio.run(main())
    assert error.stops_run
    assert journal.kinds == ["intend", "accepted"]


def test_tasks_are_listed_and_cancelled() -> None:
    """All pages are listed, with tasks of other programs. Cancelling a running task is refused."""

    async def main() -> tuple[Sequence[Any], list[str], ProviderError]:
        async with Scripted() as server:
            for number in range(120):
                server.add_task(f"prompt {number}")
            server.script["cancel"].extend([Reply(fault="drop"), fails(400, "UnsupportedOperation", "not pending")])
            provider = server.provider()
            async with provider.session():
                with pytest.raises(ServiceFault):
                    await provider.cancel_task("task-1")
                with pytest.raises(Refused) as caught:
                    await provider.cancel_task("task-1")
                await provider.cancel_task("task-2")
                return await provider.list_tasks(), server.paths("POST"), caught.value

    tasks, posts, error = asyncio.run(main())
    assert [task.id for task in tasks] == [f"task-{number}" for number in range(120)]
    assert {task.model for task in tasks} == {"qwen-image-plus"}
    assert posts == ["/tasks/task-1/cancel", "/tasks/task-1/cancel", "/tasks/task-2/cancel"]
    assert error.hint == "only PENDING tasks can be cancelled; `qwenbuild tasks` lists the account's tasks"


def test_a_failing_list_is_an_error() -> None:
    """A list is tried again like every query; then the error is raised, and no part of a list is returned."""

    async def main() -> None:
        async with Scripted() as server:
            server.script["list"].extend([fails(429, "insufficient_quota", "used up")] * 2)
            async with (provider := server.provider()).session():
                with pytest.raises(Throttled):
                    await provider.list_tasks()

    asyncio.run(main())


def test_a_service_that_can_not_be_reached_keeps_the_task() -> None:
    """A fault that lasts, such as TLS, ends the wait at once; the message says that an image waits there."""

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 X\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> ProviderError:
        journal = Journal()
        await journal.intend({"interface": "async", "host": "x"})
        submission = journal.submission(request_of(), handle="task:task-0")
        server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            provider = Scripted().provider(interface="async", base_url=f"https://127.0.0.1:{port}/api/v1")
            async with provider.session():
                with pytest.raises(Unreachable) as caught:
                    await provider.collect(submission, journal)
        assert journal.kinds == ["intend"]
        return caught.value

    error = asyncio.run(main())
    assert error.claim.endswith(": an image in flight waits there")
    assert "task: task-0" in error.facts
    assert error.hint


@pytest.mark.parametrize(("replies", "prompt"), [([], "a cat"), ([fails(500, "InternalError")], "")])
def test_a_search_reads_the_prompt_of_each_task(replies: list[Reply], prompt: str) -> None:
    """Each task is asked once, without a wait, if nothing may be adopted; one that does not answer has no prompt."""

    async def main() -> tuple[Any, list[str]]:
        journal, request = Journal(), request_of("a cat")
        async with Scripted() as server:
            provider = server.provider(interface="async")
            server.script["create"].append(Reply(fault="drop", made=True))
            server.script["task"].extend(replies)
            async with provider.session():
                with pytest.raises(AnswerLost):
                    await provider.render(request, journal)
                lost = journal.submission(request)
                server.tasks["task-0"]["polls"] = 5
                found = await provider.search([lost], lambda: [lost])
            return found[lost.id], server.paths("GET")

    search, paths = asyncio.run(main())
    assert [(it.id, it.prompt) for it in search.candidates] == [("task-0", prompt)]
    assert paths.count("/tasks/task-0") == 1


@pytest.mark.parametrize("times", [3, 10_000])
def test_a_task_that_is_not_found_is_asked_for_again(times: int) -> None:
    """Some machines of the service learn of a task late. If all deny it, the message names the task that is gone."""

    async def main() -> Rendered | ProviderError:
        async with Scripted() as server:
            server.script["task"].extend([fails(404, "ModelNotFound", "no such task")] * times)
            async with (provider := server.provider(interface="async", poll_s=0.05)).session():
                try:
                    return await provider.render(request_of(), Journal())
                except ProviderError as error:
                    return error

    found = asyncio.run(main())
    if times == 3:
        assert isinstance(found, Rendered)
    else:
        assert isinstance(found, AnswerLost)
        assert "the service has forgotten a task" in str(found)
        assert "task: task-0" in str(found)
