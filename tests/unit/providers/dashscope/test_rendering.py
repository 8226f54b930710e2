"""Rendering: what is sent, recorded, sent again and collected, on both interfaces."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from qwenbuild.emulation import is_unmarked
from qwenbuild.errors import AccountError, AnswerLost, BadImage, ModelRefused, Moderated, ProviderError, Refused
from qwenbuild.provider import Detached, Rendered
from qwenbuild.providers.dashscope import wire
from qwenbuild.providers.dashscope.credentials import ApiKey
from qwenbuild.request import Size
from tests.support.scripted import CANARY, PNG, Journal, Reply, Scripted, attempt, fails, png_of, request_of, says

BOTH = pytest.mark.parametrize("interface", ["sync", "async"])

LOST = [
    Reply(fault="drop"), Reply(fault="drop", made=True), Reply(fault="hang", made=True),
    Reply(502, b"<html>Bad Gateway</html>"), Reply(503, b"<html>Unavailable</html>"), Reply(504), Reply(500, b"oops"),
    fails(500, "RequestTimeOut"), fails(504, "GatewayTimeout"), Reply(200, b"<html>welcome</html>"), Reply(200),
    says(200, {"output": {}, "request_id": "r"}), says(200, {"unexpected": True}), says(200, [1]),
    Reply(200, b'{"output": {"choices": []}}', fault="cut"), Reply(408),
]  # fmt: skip


def test_a_sync_render_is_recorded_and_downloaded() -> None:
    """Intent, POST, handle and download follow each other; the facts do not hold the signed link."""
    rendered, journal, server = attempt("sync")
    assert rendered == Rendered(
        PNG,
        {
            "interface": "sync", "region": "singapore", "model": "qwen-image-plus", "request_id": "req-sync",
            "usage": {"width": 1328, "height": 1328, "image_count": 1}, "downloaded_from": "127.0.0.1",
        },
        verified=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{server.port}/result/1.png?Signature=secret-signature&Expires=9999999999"
    assert journal.log[1:] == [("accepted", f"result:req-sync:{url}")]
    assert journal.log[0] == (
        "intend",
        {
            "interface": "sync", "model": "qwen-image-plus", "region": "singapore", "host": f"127.0.0.1:{server.port}",
            "account": ApiKey(CANARY, "").fingerprint, "workspace": "",
        },
    )  # fmt: skip
    assert (server.bill, server.seen[0].json) == (1, wire.sync_body(request_of()))


def test_an_async_render_is_recorded_and_polled() -> None:
    """The handle is recorded before the first poll; the facts hold the rewritten prompt and the times."""
    rendered, journal, server = attempt("async", request=request_of("a cat"))
    assert dict(rendered.facts) == {
        "interface": "async", "region": "singapore", "model": "qwen-image-plus", "request_id": "req-task",
        "task_id": "task-0",
        "submit_time": "2026-02-10 11:38:54.741+08:00", "end_time": "2026-02-10 11:39:19.484+08:00",
        "orig_prompt": "a cat", "actual_prompt": "Photo: a cat", "usage": {"image_count": 1},
        "downloaded_from": "127.0.0.1",
    }  # fmt: skip
    assert journal.log[1:] == [("accepted", "task:task-0")]
    assert server.paths("GET")[:2] == ["/tasks/task-0", "/tasks/task-0"]
    assert server.seen[0].json == wire.async_body(request_of("a cat"))


@BOTH
@pytest.mark.parametrize(
    "reply",
    [
        fails(429, "Throttling.RateQuota"),
        fails(429, "throttling_burst_rate"),
        fails(500, "InternalError.Algo"),
        fails(503, "ModelUnavailable"),
        fails(200, "InternalError", "a failure in a success"),
        Reply(429, b"slow down"),
    ],
    ids=["throttled", "snake", "internal", "unavailable", "in-200", "page"],
)
def test_a_request_that_was_not_accepted_is_sent_again(interface: str, reply: Reply) -> None:
    """Each attempt has its own intent, which is withdrawn after a refusal. One image is billed."""
    rendered, journal, server = attempt(interface, reply, reply)
    assert rendered.png == PNG
    assert journal.kinds == ["intend", "refused", "intend", "refused", "intend", "accepted"]
    assert (server.bill, len(journal.delays)) == (1, 2)


@BOTH
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (fails(400, "DataInspectionFailed"), Moderated),
        (fails(400, "InvalidParameter"), Refused),
        (fails(403, "AccessDenied"), ModelRefused),
        (fails(404, "ModelNotFound"), ModelRefused),
        (fails(400, "Arrearage"), AccountError),
        (fails(401, "InvalidApiKey"), AccountError),
        (fails(429, "CommodityNotPurchased"), AccountError),
        (Reply(404, b"<html>nginx</html>"), AccountError),
        (Reply(302, b"", {"Location": "https://elsewhere.test/"}), AccountError),
    ],
    ids=lambda value: value.body.decode()[:30] if isinstance(value, Reply) else "",
)
def test_a_final_refusal_is_not_repeated(interface: str, reply: Reply, error: type[ProviderError]) -> None:
    """There is one POST, one intent and its withdrawal, and the error has the right class."""
    found, journal, server = attempt(interface, reply)
    assert type(found) is error
    assert journal.kinds == ["intend", "refused"]
    assert len(server.seen) == 1


@BOTH
@pytest.mark.parametrize("reply", LOST, ids=range(len(LOST)))
def test_a_request_that_may_be_billed_is_never_sent_again(interface: str, reply: Reply) -> None:
    """There is one POST, the intent stays open, and the error says that the request may have been billed."""
    # On a busy machine, connecting may take a second; a request that was not sent would be sent again.
    found, journal, server = attempt(interface, reply, timeout_s=4 if reply.fault == "hang" else 60)
    assert type(found) is AnswerLost
    look = "`qwenbuild tasks` shows the tasks that may be its own; `--resubmit` sends the request again"
    bill = "look at the account's bill; `--resubmit` sends the request again"
    assert found.hint == (look if interface == "async" else bill)
    assert journal.kinds == ["intend"]
    assert len(server.paths("POST")) == 1


@BOTH
def test_an_answer_without_an_image_or_an_error(interface: str) -> None:
    """It may have been billed: the error quotes it, and names the request."""
    found, _, _ = attempt(interface, says(200, {"output": {"done": 1}, "request_id": "r"}))
    assert type(found) is AnswerLost
    assert (found.claim, found.request_id) == (
        "the service's answer holds neither an image nor an error: it may have been billed", "r"
    )  # fmt: skip
    assert found.facts[0] == "status: 200"
    assert "done" in found.facts[1]


@BOTH
def test_a_lost_answer_keeps_the_services_words(interface: str) -> None:
    """Code, request and facts are those of the service."""
    found, _, _ = attempt(interface, fails(500, "RequestTimeOut", "too slow"))
    assert (type(found), found.code, found.request_id) == (AnswerLost, "RequestTimeOut", "req-failed")
    assert found.facts == ("service says: RequestTimeOut: too slow", "request id: req-failed")


def test_a_request_id_with_a_colon() -> None:
    """A colon separates the parts of a handle, so those of the id are left out."""

    async def main() -> tuple[str, Any]:
        journal = Journal()
        async with Scripted() as server:
            answer = server._sync(None, "")  # type: ignore[arg-type]  # it does not read the request
            body = answer.body.replace(b"req-sync", b"req:sync:1")
            server.script["sync"].append(Reply(200, body, answer.headers))
            async with (provider := server.provider()).session():
                await provider.render(request_of(), journal)
                rendered = await provider.collect(journal.submission(request_of()), Journal())
        return journal.handle, rendered.facts

    handle, facts = asyncio.run(main())
    assert handle.startswith("result:reqsync1:http://127.0.0.1:")
    assert facts["request_id"] == "reqsync1"


def test_sync_calls_run_side_by_side() -> None:
    """The catalogue's limit of two tasks is one of the other interface."""

    async def main() -> None:
        async with Scripted() as server:
            server.script["sync"].extend([Reply(fault="hang")] * 5)
            arrived = asyncio.Event()
            server.after = lambda seen: arrived.set() if len(server.seen) == 5 else None
            async with (provider := server.provider(max_concurrency=5)).session():
                renders = [asyncio.create_task(provider.render(request_of(str(it)), Journal())) for it in range(5)]
                await asyncio.wait_for(arrived.wait(), 60)
                for render in renders:
                    render.cancel()
                await asyncio.gather(*renders, return_exceptions=True)

    asyncio.run(main())


def test_throttling_delays_the_next_submits() -> None:
    """Retry-After delays every submit of the model, not only the throttled one."""

    class Telling(Journal):
        def delayed(self, error: ProviderError, wait_s: float) -> None:
            throttled.set()

    throttled = asyncio.Event()

    async def main() -> list[float]:
        times: list[float] = []
        async with Scripted() as server:
            server.script["sync"].append(fails(429, "Throttling", **{"Retry-After": "1"}))
            server.after = lambda seen: times.append(time.monotonic()) if seen.method == "POST" else None
            async with (provider := server.provider()).session():
                first = asyncio.create_task(provider.render(request_of("a"), Telling()))
                await throttled.wait()
                await provider.render(request_of("b"), Journal())
                await first
        return times

    first, second, third = asyncio.run(main())
    assert min(second, third) - first >= 1.0


def test_a_cancelled_render_leaves_its_intent_open() -> None:
    """A request that was sent may be billed; a request that still waits for its turn has no intent."""

    async def main() -> tuple[Journal, Journal]:
        sent, waiting = Journal(), Journal()
        async with Scripted() as server:
            server.script["sync"].append(Reply(fault="hang"))
            provider = server.provider(submits="1/minute")
            async with provider.session():
                first = asyncio.create_task(provider.render(request_of(), sent))
                await asyncio.sleep(0.2)
                second = asyncio.create_task(provider.render(request_of("b"), waiting))
                await asyncio.sleep(0.05)
                for task in (first, second):
                    task.cancel()
                await asyncio.gather(first, second, return_exceptions=True)
        return sent, waiting

    sent, waiting = asyncio.run(main())
    assert (sent.kinds, waiting.kinds) == (["intend"], [])


@BOTH
def test_a_bad_image_can_be_collected_later(interface: str) -> None:
    """After failed downloads the submission stays open, and a later build downloads again without paying."""

    async def main() -> tuple[ProviderError, Journal, int]:
        journal = Journal()
        async with Scripted() as server:
            server.script["result"].extend([Reply(200, PNG, fault="cut")] * 5)
            provider = server.provider(interface=interface)
            async with provider.session():
                with pytest.raises(BadImage) as caught:
                    await provider.render(request_of(), journal)
                rendered = await provider.collect(journal.submission(request_of()), Journal())
        assert rendered.png == PNG
        return caught.value, journal, server.bill

    error, journal, bill = asyncio.run(main())
    assert journal.kinds == ["intend", "accepted"]
    assert bill == 1
    assert any("billed" in fact for fact in error.facts)
    assert "secret-signature" not in json.dumps([str(error), repr(error)])


def test_a_key_that_a_download_echoes_is_masked() -> None:
    """A gateway that serves the images knows the key, too."""

    async def main() -> BadImage:
        async with Scripted() as server:
            server.script["result"].extend([Reply(500, f"no image for {CANARY}".encode())] * 5)
            async with (provider := server.provider()).session():
                with pytest.raises(BadImage) as caught:
                    await provider.render(request_of(), Journal())
        return caught.value

    assert asyncio.run(main()).facts[0] == "status 500: no image for ***"


# --- async tasks ---


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        ({"task_status": "FAILED", "code": "DataInspectionFailed", "message": "no"}, Moderated),
        ({"task_status": "FAILED", "code": "Arrearage", "message": "no"}, AccountError),
        ({"task_status": "CANCELED"}, Refused),
        ({"task_status": "SUCCEEDED", "results": [{"code": "InvalidParameter", "message": "no"}]}, Refused),
    ],
)
def test_a_failed_task_is_withdrawn_and_explained(ends: dict[str, Any], error: type[ProviderError]) -> None:
    """The submission is recorded as not billed, and the error has the class of its code."""

    async def main() -> tuple[ProviderError, Journal]:
        journal = Journal()
        async with Scripted() as server:

            def end_all(seen: object) -> None:
                for task in server.tasks.values():
                    task["ends"] = {"results": [], **ends}

            server.after = end_all
            provider = server.provider(interface="async")
            async with provider.session():
                with pytest.raises(ProviderError) as caught:
                    await provider.render(request_of(), journal)
        return caught.value, journal

    found, journal = asyncio.run(main())
    assert type(found) is error
    assert journal.kinds == ["intend", "accepted", "refused"]
    if ends["task_status"] == "CANCELED":
        assert (found.claim, found.facts) == ("the task was cancelled", ("task: task-0",))
        assert found.hint == "build again to submit it again"
    else:
        assert found.request_id == "req-task"


def test_a_task_that_failed_for_a_passing_reason_is_submitted_again() -> None:
    """The failed task was not billed; the new submission has its own intent."""

    async def main() -> tuple[Rendered, Journal]:
        journal = Journal()
        async with Scripted() as server:
            failed = {"task_status": "FAILED", "results": [], "code": "InternalError.Timeout", "message": "later"}

            def fail_the_first(seen: object) -> None:
                if "task-0" in server.tasks:
                    server.tasks["task-0"]["ends"] = failed

            server.after = fail_the_first
            provider = server.provider(interface="async")
            async with provider.session():
                return await provider.render(request_of(), journal), journal

    rendered, journal = asyncio.run(main())
    assert rendered.facts["task_id"] == "task-1"
    assert journal.kinds == ["intend", "accepted", "refused", "intend", "accepted"]


def test_a_succeeded_task_without_an_image_is_unknown() -> None:
    """The task may have been billed, so it is not submitted again."""

    async def main(request_id: str) -> tuple[Journal, AnswerLost]:
        journal = Journal()
        async with Scripted() as server:
            output = {"task_id": "task-0", "task_status": "SUCCEEDED"}
            server.script["task"].append(says(200, {"output": output, "request_id": request_id}))
            provider = server.provider(interface="async")
            async with provider.session():
                with pytest.raises(AnswerLost) as caught:
                    await provider.render(request_of(), journal)
        return journal, caught.value

    for request_id, facts in (("", ["task: task-0"]), ("r", ["task: task-0", "request id: r"])):
        journal, error = asyncio.run(main(request_id))
        assert journal.kinds == ["intend", "accepted"]
        assert error.claim == "a task is SUCCEEDED, but has no image: it may have been billed"
        assert (list(error.facts), error.hint) == (facts, "`--resubmit` renders the image again")


def test_a_new_task_that_the_service_does_not_know_yet() -> None:
    """Some of its machines learn of the task late: it is asked again. A query that failed is told."""

    async def main() -> tuple[Rendered, list[str]]:
        journal = Journal()
        async with Scripted() as server:
            unknown = {"task_id": "task-0", "task_status": "UNKNOWN"}
            server.script["task"].extend([says(200, {"output": unknown}), fails(500, "InternalError")])
            async with (provider := server.provider(interface="async")).session():
                rendered = await provider.render(request_of(), journal)
        return rendered, [error.code for error, _ in journal.delays]

    rendered, told = asyncio.run(main())
    assert (rendered.png, told) == (PNG, ["InternalError"])


def test_a_task_that_has_ended_at_once() -> None:
    """A gateway may wait for the image: then the task is not queried."""

    async def main() -> tuple[Rendered, list[str], str]:
        journal = Journal()
        async with Scripted() as server:
            link = f"http://127.0.0.1:{server.port}/result/1.png"
            output = {"task_id": "t", "task_status": "SUCCEEDED", "results": [{"url": link}]}
            server.script["create"].append(says(200, {"output": output}))
            async with (provider := server.provider(interface="async")).session():
                rendered = await provider.render(request_of(), journal)
        return rendered, server.paths("GET"), journal.handle

    rendered, paths, handle = asyncio.run(main())
    assert (rendered.png, paths, handle) == (PNG, ["/result/1.png"], "task:t")


def test_an_expired_link_is_replaced_by_a_new_one() -> None:
    """Another query of the task returns a new link."""

    async def main() -> tuple[Rendered, list[str]]:
        async with Scripted() as server:
            server.script["result"].extend([Reply(403, b"<Error><Message>Request has expired.</Message></Error>")] * 5)
            provider = server.provider(interface="async")
            async with provider.session():
                return await provider.render(request_of(), Journal()), server.paths("GET")

    rendered, paths = asyncio.run(main())
    assert rendered.png == PNG
    assert paths[-3:] == ["/result/task-0.png", "/tasks/task-0", "/result/task-0.png"]


def test_no_more_tasks_run_at_once_than_the_catalogue_allows() -> None:
    """Two tasks of a model run at once, whatever the build's concurrency. Downloads don't count."""

    async def main() -> int:
        async with Scripted(task_polls=3) as server:
            provider = server.provider(interface="async")
            running = most = 0

            def count(seen: Any) -> None:
                nonlocal running, most
                running = sum(task["polls"] <= 3 for task in server.tasks.values())
                most = max(most, running)

            server.after = count
            async with provider.session():
                await asyncio.gather(*(provider.render(request_of(str(number)), Journal()) for number in range(8)))
            return most

    assert asyncio.run(main()) == 2


# --- submissions of earlier builds ---


@BOTH
def test_a_later_build_collects_an_accepted_render(interface: str) -> None:
    """After a build that ended at `accepted`, the handle alone leads to the image and its facts."""

    class Detaching(Journal):
        async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
            await super().accepted(handle)
            raise Detached

    async def main() -> tuple[Rendered, Journal, list[str], int]:
        journal, later, request = Detaching(), Journal(), request_of()
        async with Scripted() as server:
            provider = server.provider(interface=interface)
            async with provider.session():
                with pytest.raises(Detached):
                    await provider.render(request, journal)
            server.seen.clear()
            async with provider.session():
                rendered = await provider.collect(journal.submission(request), later)
        return rendered, later, server.paths("POST"), server.bill

    rendered, later, posts, bill = asyncio.run(main())
    assert rendered.png == PNG
    assert rendered.facts["request_id"] in ("req-sync", "req-task")
    assert rendered.facts["interface"] == interface
    assert (later.log, posts, bill) == ([], [], 1)


def test_collecting_after_24_hours_reports_the_loss() -> None:
    """Tasks and links are gone then: the error is AnswerLost, and nothing is submitted."""

    async def main() -> list[AnswerLost]:
        found = []
        async with Scripted() as server:
            server.script["result"].extend([Reply(403, b"<Error><Message>Request has expired.</Message></Error>")] * 5)
            provider, journal = server.provider(), Journal()
            await journal.intend({"interface": "sync", "host": "x"})
            link = f"http://127.0.0.1:{server.port}/result/1.png?Expires=9999999999"
            async with provider.session():
                for handle in ("task:gone", f"result:r:{link}"):
                    day_ago_s = time.time() - 90_000
                    submission = journal.submission(request_of(), handle=handle, intended_at_s=day_ago_s)
                    with pytest.raises(AnswerLost) as caught:
                        await provider.collect(submission, Journal())
                    found.append(caught.value)
            assert server.paths("POST") == []
        return found

    assert [error.claim for error in asyncio.run(main())] == [
        "the service has forgotten a task that it accepted",
        "the image was gone before it was downloaded",
    ]


@pytest.mark.parametrize(
    ("ends", "prompt", "size", "claim"),
    [
        ({}, "a cat", (1328, 1328), ""),
        ({}, "A cat", (1328, 1328), ""),
        ({}, "a dog", (1328, 1328), "the adopted task has another prompt: it is another one's"),
        ({}, "a cat", (928, 1664), "the adopted task's image has another size: it is another one's"),
        ({"task_status": "FAILED", "results": []}, "a cat", (1328, 1328), "the adopted task is FAILED"),
        ({"task_status": "CANCELED", "results": []}, "a cat", (1328, 1328), "the adopted task is CANCELED"),
    ],
)
def test_an_adopted_task_is_verified(ends: dict[str, Any], prompt: str, size: tuple[int, int], claim: str) -> None:
    """A task of another prompt or size is given up. If it failed, nothing is known about the request's own task."""

    async def main() -> tuple[Rendered | ProviderError, list[str]]:
        async with Scripted() as server:
            provider, journal, later = server.provider(interface="async"), Journal(), Journal()
            server.script["result"].extend([Reply(200, png_of(Size(*size)), {"Content-Type": "image/png"})] * 9)
            task_id = server.add_task(prompt, ends=ends)
            async with provider.session():
                place = {"account": ApiKey(CANARY, "").fingerprint, "region": "singapore"}
                await journal.intend({**place, "host": provider.endpoint.host, "adopted": True})
                submission = journal.submission(request_of("a cat"), handle=f"task:{task_id}")
                try:
                    found: Rendered | ProviderError = await provider.collect(submission, later)
                except ProviderError as error:
                    found = error
        return found, later.kinds

    found, kinds = asyncio.run(main())
    assert kinds == []
    if isinstance(found, Rendered):
        assert (claim, found.facts["adopted"]) == ("", True)
    else:
        assert isinstance(found, AnswerLost)
        assert found.claim == claim
        assert found.facts[0] == "task: task-0"
        assert found.hint == "`qwenbuild tasks` lists the other candidates; `--resubmit` sends the request again"
        if prompt == "a dog":
            assert found.facts[1:] == ("its prompt: a dog", "wanted: a cat")
        if size[0] == 928:
            assert found.facts[1:] == ("wanted: 1328x1328", "got: 928x1664")


@pytest.mark.parametrize("name", ["account", "region", "host"])
def test_a_task_of_another_account_is_not_given_up(name: str) -> None:
    """A key that does not see the task proves nothing about the image. After a day, the image is gone for all."""

    async def main() -> list[ProviderError]:
        found = []
        async with Scripted() as server:
            provider, journal = server.provider(), Journal()
            async with provider.session():
                here = {"account": ApiKey(CANARY, "").fingerprint, "region": "singapore"}
                here |= {"interface": "async", "host": provider.endpoint.host}
                await journal.intend({**here, name: "another"})
                for age_s in (0.0, 90_000.0):
                    theirs = journal.submission(request_of(), handle="task:theirs", intended_at_s=time.time() - age_s)
                    with pytest.raises(ProviderError) as caught:
                        await provider.collect(theirs, Journal())
                    found.append(caught.value)
                host = provider.endpoint.host
        assert found[0].facts == (f"submitted to {'another' if name == 'host' else host}, now {host}", "task: theirs")
        return found

    error, later = asyncio.run(main())
    assert type(error) is ProviderError
    assert error.claim == "an image in flight was submitted with another key or region"
    assert error.hint == "build with the same key and region as then: the image is kept for 24 hours"
    assert type(later) is AnswerLost


def test_a_sync_answer_that_says_it_failed() -> None:
    """Nothing was billed, and the error has the class of the code."""
    output = {"code": "DataInspectionFailed", "message": "no cats", "choices": []}
    error, journal, server = attempt("sync", says(200, {"output": output, "request_id": "r"}))
    assert (type(error), journal.kinds, server.bill) == (Moderated, ["intend", "refused"], 0)
    assert error.facts == ("service says: DataInspectionFailed: no cats", "request id: r")


EXPIRED = Reply(403, b"<Error><Message>Request has expired.</Message></Error>")


LINK = "result::http://127.0.0.1:{port}/result/1.png"


def collected(handle: str, *replies: Reply, age_s: float = 0.0) -> tuple[Any, Journal, Scripted]:
    """Collect the image of an earlier build's submission; `handle` may hold `{port}`. Return the image or the error."""

    async def main() -> tuple[Any, Journal, Scripted]:
        journal, later = Journal(), Journal()
        async with Scripted() as server:
            server.add_task("a cat")
            server.script["result"].extend(replies)
            await journal.intend({"interface": "async", "host": "x"})
            at_s, link = time.time() - age_s, handle.format(port=server.port)
            submission = journal.submission(request_of(), handle=link, intended_at_s=at_s)
            provider = server.provider(interface="async")
            async with provider.session():
                try:
                    return await provider.collect(submission, later), later, server
                except ProviderError as error:
                    return error, later, server

    return asyncio.run(main())


def test_links_that_expire_again_and_again_are_tried_later() -> None:
    """As long as the service keeps the task, a later build can collect it; after a day the image is lost."""
    error, later, server = collected("task:task-0", *[EXPIRED] * 10)
    assert type(error) is BadImage
    assert error.claim == "the image was gone before it was downloaded"
    assert error.facts == ("127.0.0.1 says that the image's link is dead", "task: task-0")
    assert error.hint == (
        "build again: the task is kept for 24 hours; `--force` renders the image again, and pays again"
    )
    assert server.paths("GET").count("/tasks/task-0") >= 2
    error, later, _ = collected("task:task-0", *[EXPIRED] * 10, age_s=90_000)
    assert (type(error), later.log) == (AnswerLost, [])
    assert error.facts == ("127.0.0.1 says that the image's link is dead",)
    assert error.hint == "the image was billed and is gone; `--resubmit` renders it again, and pays again"


@pytest.mark.parametrize("handle", ["task:task-0", LINK])
def test_a_broken_image_is_lost_after_a_day(handle: str) -> None:
    """Before that, a later build downloads it again."""
    broken = [Reply(200, PNG[:-20])] * 10
    assert [type(collected(handle, *broken, age_s=age_s)[0]) for age_s in (0.0, 90_000.0)] == [BadImage, AnswerLost]


def test_an_image_of_a_request_without_an_id() -> None:
    """Its facts hold no empty id."""
    rendered, _, _ = collected(LINK)
    assert (rendered.png, dict(rendered.facts)) == (PNG, {"interface": "async", "downloaded_from": "127.0.0.1"})


def test_what_is_tried_again_is_told() -> None:
    """Each failed query of a task and each failed download, also those after the link was renewed."""

    async def main() -> list[str]:
        journal, later = Journal(), Journal()
        async with Scripted() as server:
            link = f"http://127.0.0.1:{server.port}/result/1.png"
            done = says(200, {"output": {"task_id": "t", "task_status": "SUCCEEDED", "results": [{"url": link}]}})
            server.script["task"].extend([fails(500, "InternalError"), done, fails(503, "ModelUnavailable"), done])
            server.script["result"].extend([EXPIRED] * 5)
            await journal.intend({})
            provider = server.provider(interface="async")
            async with provider.session():
                await provider.collect(journal.submission(request_of(), handle="task:t"), later)
        return [error.code or error.claim for error, _ in later.delays]

    dead = "127.0.0.1 says that the image's link is dead"
    assert asyncio.run(main()) == ["InternalError", *[dead] * 4, "ModelUnavailable"]


def test_a_task_that_is_forgotten_before_its_link_is_renewed() -> None:
    """The image is lost, and the error says why."""

    async def main() -> AnswerLost:
        journal = Journal()
        async with Scripted() as server:
            server.script["result"].extend([EXPIRED] * 5)
            server.after = lambda seen: server.tasks.clear() if seen.path.startswith("/result/") else None
            provider = server.provider(interface="async")
            async with provider.session():
                with pytest.raises(AnswerLost) as caught:
                    await provider.render(request_of(), journal)
        assert journal.kinds == ["intend", "accepted"]
        return caught.value

    assert asyncio.run(main()).claim == "the service has forgotten a task that it accepted"


@pytest.mark.parametrize("workspace", [None, "", "another"])
def test_only_the_list_of_the_same_workspace_is_searched(workspace: str | None) -> None:
    """Older versions recorded none. The list of another workspace says nothing."""

    async def main() -> tuple[list[int], list[str]]:
        journal = Journal()
        async with Scripted() as server:
            provider = server.provider(interface="async")
            async with provider.session():
                place = {"account": ApiKey(CANARY, "").fingerprint, "region": "singapore", "interface": "async"}
                there = {} if workspace is None else {"workspace": workspace}
                await journal.intend({**place, **there, "host": provider.endpoint.host})
                lost = [journal.submission(request_of(), handle="")]
                found = await provider.search(lost, lambda: lost)
        return list(found), server.paths("GET")

    assert asyncio.run(main()) == (([], []) if workspace == "another" else ([1], ["/tasks/"]))


def test_a_task_with_an_image_of_another_size() -> None:
    """It is returned as it is, after one download: the builder keeps it."""
    small = png_of(Size(8, 8))
    rendered, later, server = collected("task:task-0", Reply(200, small, {"Content-Type": "image/png"}))
    assert (rendered.png, later.log, server.paths("POST")) == (small, [], [])


def _with_image(status: int, beside: dict[str, Any], place: str) -> tuple[Any, Journal, Scripted]:
    """Render once; the answer to the request holds an image at `place`, with `beside` around it."""

    async def main() -> tuple[Any, Journal, Scripted]:
        journal = Journal()
        async with Scripted() as server:
            link = f" http://127.0.0.1:{server.port}/result/7.png\n"
            choices = [{"message": {"content": [{"text": "here"}, {"image": link}]}}]
            output = {"choices": choices} if place == "choices" else {"results": [{"url": link}]}
            for route in ("sync", "create"):
                server.script[route].append(says(status, {**beside, "output": {**beside, **output}}))
            for interface in ("sync", "async"):
                async with (provider := server.provider(interface=interface)).session():
                    rendered = await provider.render(request_of(), journal)
        return rendered, journal, server

    return asyncio.run(main())


@pytest.mark.parametrize("place", ["choices", "results"])
@pytest.mark.parametrize(
    ("status", "beside"),
    [
        (200, {}), (200, {"code": "Success", "message": "ok"}), (200, {"code": "NewWarning", "message": "hm"}),
        (200, {"code": 200}), (200, {"error": {"code": "x", "message": "y"}}), (500, {"code": "InternalError"}),
        (200, {"task_metric": {"SUCCEEDED": 0, "FAILED": 1}}), (429, {"code": "Throttling.RateQuota"}),
    ],
)  # fmt: skip
def test_an_image_in_an_answer_is_kept_whatever_stands_beside_it(
    status: int, beside: dict[str, Any], place: str
) -> None:
    """On both interfaces one request is sent. What stood beside the image is in its provenance."""
    rendered, journal, server = _with_image(status, beside, place)
    assert rendered.png == PNG
    assert journal.kinds == ["intend", "accepted"] * 2
    assert len(server.paths("POST")) == 2
    said = beside.get("code") if beside.get("code") not in ("Success", 200) else None
    assert said is None or rendered.facts["code"] == said


def test_a_failed_task_with_an_image_is_kept() -> None:
    """The image counts, not the status."""
    link = {"url": "http://127.0.0.1:{port}/result/1.png"}

    async def main() -> Rendered:
        async with Scripted() as server:
            url = link["url"].format(port=server.port)
            output = {"task_id": "t", "task_status": "FAILED", "code": "InternalError", "results": [{"url": url}]}
            server.script["task"].append(says(200, {"output": output}))
            async with (provider := server.provider(interface="async")).session():
                return await provider.render(request_of(), Journal())

    rendered = asyncio.run(main())
    assert (rendered.png, rendered.facts["code"]) == (PNG, "InternalError")


@BOTH
def test_a_failure_without_a_reason_is_sent_once(interface: str) -> None:
    """The message says that there is no reason, and names the task."""

    async def main() -> tuple[Exception, Journal, int]:
        journal = Journal()
        async with Scripted() as server:
            failed = {"task_id": "task-0", "task_status": "FAILED", "task_metric": {"FAILED": 1, "SUCCEEDED": 0}}
            for route in ("sync", "task"):
                server.script[route].append(says(200, {"output": failed}))
            async with (provider := server.provider(interface=interface)).session():
                with pytest.raises(Refused, match="gives no reason") as caught:
                    await provider.render(request_of(), journal)
            return caught.value, journal, len(server.paths("POST"))

    error, journal, posts = asyncio.run(main())
    assert (journal.kinds[-1], posts) == ("refused", 1)
    assert interface == "sync" or "task: task-0" in str(error)


# --- emulators ---


@BOTH
@pytest.mark.parametrize("marked", [["sync", "create", "task"], ["result"], []], ids=["answers", "image", "none"])
def test_an_emulators_image_has_its_address(interface: str, marked: list[str]) -> None:
    """One marked answer is enough. A submission on record that an emulator accepted stays the emulator's."""

    async def main() -> tuple[Rendered, Rendered, Rendered, Journal, str]:
        journal, request = Journal(), request_of()
        async with Scripted() as server:
            server.marked = marked
            async with (provider := server.provider(interface=interface)).session():
                rendered = await provider.render(request, journal)
                sent = journal.submission(request)
                collected = await provider.collect(sent, Journal())
                its = replace(sent, context={**sent.context, "emulated_by": "http://emulator.test"})
                theirs = await provider.collect(its, Journal())
        return rendered, collected, theirs, journal, f"http://127.0.0.1:{server.port}"

    rendered, collected, theirs, journal, here = asyncio.run(main())
    assert journal.emulated_by == (here if "sync" in marked else "")
    assert rendered.emulated_by == (here if marked else "")
    # The handle of a sync call leads to the image alone.
    assert collected.emulated_by == (here if "result" in marked or ("task" in marked and interface == "async") else "")
    assert theirs.emulated_by == "http://emulator.test"
    assert [one.facts.get("emulated_by") for one in (rendered, collected, theirs)] == [None] * 3


def test_a_gateway_on_this_machine_is_no_emulator() -> None:
    """Its images look like those of an older version's emulator, so their provenance says that they are not."""

    async def main() -> Rendered:
        async with Scripted() as server:
            link = f"http://127.0.0.1:{server.port}/result/1.png"
            body = {"output": {"results": [{"url": link}]}, "request_id": "5f0c1c3e-8a51-4d1a-9d0e-0123456789ab"}
            server.script["sync"].append(says(200, body))
            async with (provider := server.provider()).session():
                return await provider.render(request_of(), Journal())

    rendered = asyncio.run(main())
    assert (rendered.emulated_by, rendered.facts["emulated_by"], is_unmarked(rendered.facts)) == ("", "", False)
