"""Tasks: polls that fail, lists of many pages, and cancelling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from qwenbuild.errors import AccountError, AnswerLost, ProviderError, Refused, ServiceFault, Throttled, Unreachable
from qwenbuild.provider import Rendered
from qwenbuild.providers.dashscope import tasks as module
from qwenbuild.providers.dashscope.client import Client
from qwenbuild.providers.dashscope.credentials import ApiKey
from qwenbuild.providers.dashscope.endpoint import Endpoint
from qwenbuild.providers.dashscope.reconcile import Listing
from qwenbuild.providers.dashscope.tasks import Tasks
from tests.support.scripted import CANARY, PNG, Journal, Reply, Scripted, fails, request_of, says


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


# --- with a clock that jumps over the waits ---


class Clock:
    """The system's time and its sleep; a sleep takes no time, but the clock shows that it did."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0
        self.waits: list[tuple[float, float]] = []  # when each wait began, from the start, and how long it was

    def time(self) -> float:
        return self.now_s

    monotonic = time

    async def sleep(self, wait_s: float) -> None:
        self.waits.append((self.now_s - 1_800_000_000.0, wait_s))
        self.now_s += wait_s
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which tasks are waited for."""
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=made.sleep, timeout=asyncio.timeout))
    return made


def with_tasks(use: Callable[[Tasks, Scripted], Awaitable[Any]], poll_s: float = 20.0) -> Any:
    """Return what `use` returns, or the ProviderError that it raises."""

    async def main() -> Any:
        async with Scripted() as server:
            endpoint = Endpoint(server.base_url, "singapore")
            async with Client(endpoint, ApiKey(CANARY, "a test"), 60.0) as client:
                try:
                    return await use(Tasks(client, poll_s, 0.001), server)
                except ProviderError as error:
                    return error

    return asyncio.run(main())


def status(name: str) -> Reply:
    return says(200, {"output": {"task_id": "t", "task_status": name}, "request_id": "r"})


def ended(*replies: Reply, poll_s: float = 20.0, until_s: float = 2e9) -> Any:
    """Wait for the end of a task; `replies` answer the polls, the last one all further polls."""

    async def use(tasks: Tasks, server: Scripted) -> Any:
        server.script["task"].extend([*replies, *[replies[-1]] * 400])
        try:
            return await tasks.ended("t", until_s)
        finally:
            assert {(one.method, one.path) for one in server.seen} == {("GET", "/api/v1/tasks/t")}

    return with_tasks(use, poll_s)


def test_polls_become_rarer(clock: Clock) -> None:
    """The wait is 15 % of the time so far, within a tenth of `poll_s` and `poll_s`; it varies by a tenth."""
    assert ended(*[status("RUNNING")] * 40, status("SUCCEEDED")).status == "SUCCEEDED"
    assert len(clock.waits) == 40
    for begun_s, wait_s in clock.waits:
        expected_s = min(20.0, max(2.0, 0.15 * begun_s))
        assert 0.9 * expected_s <= wait_s <= 1.1 * expected_s
    assert len({round(wait_s, 6) for _, wait_s in clock.waits}) == 40


def test_failing_polls_become_rarer_still(clock: Clock) -> None:
    """Each failure doubles the wait, up to `poll_s`; an answer ends that. The service may ask for a longer wait."""
    fault, running = fails(500, "InternalError"), status("RUNNING")
    slower = fails(429, "Throttling", **{"Retry-After": "90"})
    replies = [fault, fault, running, fault, fault, fault, fault, fault, slower, running, status("FAILED")]
    assert ended(*replies).status == "FAILED"
    expected = [4, 8, 2, 4, 8, 16, 20, 20, 90, 20]
    for (begun_s, wait_s), expected_s in zip(clock.waits, expected, strict=True):
        least_s = max(expected_s, min(20.0, 0.15 * begun_s))
        assert 0.9 * least_s <= wait_s <= 1.1 * max(least_s, min(20.0, 0.15 * begun_s * expected_s / 2))


@pytest.mark.parametrize(
    ("reply", "kind", "claim", "code"),
    [
        (fails(500, "InternalError"), ProviderError, "the service failed", "InternalError"),
        (Reply(200, b"garbage"), ProviderError, "the service did not answer", ""),
        (says(200, {"output": {"task_status": "RUNNING"}}), ProviderError, "the service does not show a task", ""),
    ],
)
def test_a_silent_service_is_given_up(
    clock: Clock, reply: Reply, kind: type[ProviderError], claim: str, code: str
) -> None:
    """After 15 minutes without an answer about the task, a later build may collect it."""
    error = ended(status("RUNNING"), status("RUNNING"), reply)
    assert type(error) is kind
    assert (error.claim, error.code) == (f"{claim}: an image in flight waits there", code)
    assert error.facts[-1] == "task: t"
    assert len(error.facts) == (1 if claim.endswith("a task") else 2 if "answer" in claim else 3)
    assert error.hint == "build again within 24 hours to collect it; nothing is paid twice"
    heard_s = clock.waits[1][0]
    assert 900 < clock.now_s - 1_800_000_000.0 - heard_s <= 900 + 22
    assert clock.waits[-1][0] - heard_s <= 900


def test_an_answer_in_between_is_enough(clock: Clock) -> None:
    """The silence counts from the last answer about the task."""
    fault, running = fails(500, "InternalError"), status("RUNNING")
    assert ended(*[*[fault] * 30, running] * 4, status("SUCCEEDED")).status == "SUCCEEDED"
    assert clock.now_s > 1_800_000_000.0 + 1800


def test_a_machine_that_is_offline_is_given_up_soon(clock: Clock) -> None:
    """After two minutes; a later build may collect the image."""

    async def main() -> ProviderError:
        async with Scripted() as server:
            pass
        async with Client(Endpoint(server.base_url, "singapore"), ApiKey(CANARY, "a test"), 60.0) as client:
            with pytest.raises(Unreachable) as caught:
                await Tasks(client, 20.0, 0.001).ended("t", 2e9)
        return caught.value

    error = asyncio.run(main())
    assert error.claim.endswith(": an image in flight waits there")
    assert clock.waits[-1][0] <= 120 < clock.now_s - 1_800_000_000.0 <= 120 + 22


@pytest.mark.parametrize(
    ("names", "until_s", "polls", "is_lost"),
    [
        ("UUU", 2e9, 3, True),
        ("UURUUS", 2e9, 6, False),
        ("U", 1_700_000_000.0, 1, True),
        ("RRS", 1_700_000_000.0, 3, False),
        ("US", 1_800_000_000.0, 2, False),
        ("UU", 1_800_000_000.0, 2, True),
    ],
)
def test_a_task_that_the_service_has_forgotten(
    clock: Clock, names: str, until_s: float, polls: int, is_lost: bool
) -> None:
    """Three times in a row, or once after its life: then the image is gone."""
    whole = {"U": "UNKNOWN", "R": "RUNNING", "S": "SUCCEEDED"}
    found = ended(*[status(whole[name]) for name in names], until_s=until_s)
    assert len(clock.waits) == polls - 1
    if is_lost:
        assert type(found) is AnswerLost
        assert found.claim == "the service has forgotten a task that it accepted"
        assert found.facts == ("task: t", "its status: UNKNOWN", "tasks are kept for 24 hours")
        assert found.hint == "the image is gone; `--resubmit` renders it again, and pays again"
    else:
        assert found.status == "SUCCEEDED"


# --- the list ---


def test_the_list_can_be_filtered_and_cut() -> None:
    """Model and status are the service's own filters; no page is asked for beyond `most` tasks."""

    async def use(tasks: Tasks, server: Scripted) -> Any:
        for number in range(150):
            server.add_task(f"prompt {number}")
        found = await tasks.list(model="qwen-image-plus", status="SUCCEEDED", most=60)
        filtered = [dict(one.query) for one in server.seen]
        server.seen.clear()
        whole = await tasks.list(most=100)
        return len(found), filtered, len(whole), [dict(one.query) for one in server.seen]

    page = {"page_size": "50"}
    chosen = {**page, "model_name": "qwen-image-plus", "status": "SUCCEEDED"}
    assert with_tasks(use) == (
        100, [{**chosen, "page_no": "1"}, {**chosen, "page_no": "2"}],
        100, [{**page, "page_no": "1"}, {**page, "page_no": "2"}],
    )  # fmt: skip


def test_a_listing_knows_when_it_was_read() -> None:
    """Its time is that before the first page, and the service's clock is that of the first answer with one."""

    async def use(tasks: Tasks, server: Scripted) -> Listing:
        for number in range(120):
            server.add_task(f"prompt {number}")
        server.ahead_s = 4000.0
        server.after = lambda seen: setattr(server, "ahead_s", 4000.0 * int(seen.query["page_no"]))
        found = await tasks.listed()
        asked = {(one.method, *sorted(one.query)) for one in server.seen}
        assert asked == {("GET", "page_no", "page_size")}
        return found

    before_s = time.time()
    found = with_tasks(use)
    assert before_s <= found.read_at_s <= time.time()
    assert found.ahead_s == pytest.approx(4000.0, abs=60)
    assert (len(found.tasks), found.is_whole) == (120, True)


@pytest.mark.parametrize(("count", "pages"), [(49, 1), (50, 2), (51, 2)])
def test_a_full_page_may_not_be_the_last(count: int, pages: int) -> None:
    """Whatever the service counts: the list ends with a page that is not full."""

    async def use(tasks: Tasks, server: Scripted) -> Any:
        for number in range(count):
            server.add_task(f"prompt {number}")
        found = await tasks.listed()
        return len(found.tasks), found.is_whole, len(server.seen)

    assert with_tasks(use) == (count, True, pages)


def test_a_very_long_list_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not whole, then."""

    async def use(tasks: Tasks, server: Scripted) -> Any:
        for number in range(151):
            server.add_task(f"prompt {number}")
        found = await tasks.listed()
        return len(found.tasks), found.is_whole, len(server.seen)

    monkeypatch.setattr(module, "_MOST_PAGES", 2)
    assert with_tasks(use) == (100, False, 2)


def test_a_page_is_tried_for_two_minutes_at_most() -> None:
    """If the service asks for a longer wait, its error is raised at once."""

    async def use(tasks: Tasks, server: Scripted) -> Any:
        server.script["list"].append(fails(429, "Throttling", **{"Retry-After": "121"}))
        return await tasks.listed()

    before_s = time.monotonic()
    assert type(with_tasks(use)) is Throttled
    assert time.monotonic() - before_s < 60


def test_a_task_is_shown_as_it_is() -> None:
    """Without patience it is asked once; with patience until it ends, or the patience does; None if that fails."""

    async def use(tasks: Tasks, server: Scripted) -> Any:
        task_id = server.add_task("a cat")
        now = await tasks.shown(task_id, 0.0)
        then = await tasks.shown(task_id, 60.0)
        server.script["task"].extend([status("RUNNING")] * 100)
        late = await tasks.shown(task_id, 0.05)
        server.script["task"].clear()
        server.script["task"].extend([fails(400, "InvalidParameter")] * 2)
        refused = [await tasks.shown(task_id, patience_s) for patience_s in (0.0, 60.0)]
        server.seen.clear()
        server.script["task"].clear()
        forgotten = await tasks.shown("nowhere", 60.0)
        assert now
        assert then
        return now.status, then.status, late, refused, forgotten, len(server.seen)

    assert with_tasks(use, 0.01) == ("RUNNING", "SUCCEEDED", None, [None, None], None, 3)


def test_a_task_that_can_not_be_cancelled() -> None:
    """The error has the service's own words and code, and names the task."""

    async def use(tasks: Tasks, server: Scripted) -> Any:
        server.script["cancel"].append(fails(400, "UnsupportedOperation", "not pending"))
        await tasks.cancel("task-1")

    error = with_tasks(use)
    assert type(error) is Refused
    assert (error.claim, error.code, error.request_id) == (
        "task task-1 can't be cancelled", "UnsupportedOperation", "req-failed"
    )  # fmt: skip
    assert error.facts == ("service says: UnsupportedOperation: not pending", "request id: req-failed")
