from __future__ import annotations

import asyncio
import io
import logging
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest
from PIL import Image

from qwenbuild.emulation import HEADER
from tests.support.vendor_calls import ASYNC, CREATE, KEY, SYNC, VendorClient, billed, error_of

pytest_plugins = ("tests.support.emulated", "tests.support.vendor_calls")


def test_a_sync_call_gives_a_link_to_the_image(client: VendorClient) -> None:
    """The image is a PNG of the requested size. It is billed once, however often it is downloaded."""
    answer = client.sync(size="1104*1472")
    link = answer.json()["output"]["choices"][0]["message"]["content"][0]["image"]
    first, second = client.download(link), client.download(link)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert first.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(first.content)).size == (1104, 1472)
    assert (first.content == second.content, billed(client)) == (True, 1)


def test_a_task_is_created_polled_and_collected(client: VendorClient) -> None:
    """A client creates a task, polls it, and downloads its image."""
    created = client.create(size="928*1664").json()
    assert created["output"]["task_status"] == "PENDING"
    answer = client.http.get(f"/tasks/{created['output']['task_id']}").json()
    result = answer["output"]["results"][0]
    assert (answer["output"]["task_status"], answer["usage"]) == ("SUCCEEDED", {"image_count": 1})
    assert (result["orig_prompt"], "a cat" in result["actual_prompt"]) == ("a cat", True)
    assert Image.open(io.BytesIO(client.download(result["url"]).content)).size == (928, 1664)


def test_each_answer_has_the_mark(client: VendorClient) -> None:
    """Answers, refusals, images and expired links are marked as an emulator's."""
    link = client.link()
    answers = [client.create(), client.http.get("/tasks/none"), client.download(link), client.download(link + "x")]
    client.emulator.inject("throttle:sync:1", "html:sync:1")
    answers += [client.sync(), client.sync(), client.http.get("/nowhere")]
    assert all(HEADER in answer.headers for answer in answers)


def test_each_interface_refuses_the_others_calls(client: VendorClient) -> None:
    """Each interface refuses the other interface's calls with the vendor's 403."""
    body = {"model": "qwen-image-plus", "input": {"prompt": "a cat"}}
    assert error_of(client.http.post(CREATE, json=body)) == (
        403, "AccessDenied", "current user api does not support synchronous calls",
    )  # fmt: skip
    assert error_of(client.http.post(SYNC, json=body, headers=ASYNC)) == (
        403, "AccessDenied", "current user api does not support asynchronous calls",
    )  # fmt: skip


@pytest.mark.parametrize("operation", ["sync", "create", "poll", "cancel", "list"])
def test_every_call_needs_a_key(client: VendorClient, operation: str) -> None:
    """A call without a key, or with a key of another region, is refused."""
    del client.http.headers["Authorization"]
    assert error_of(client.perform(operation)) == (401, "InvalidApiKey", "No API-key provided.")
    client.http.headers["Authorization"] = "Bearer sk-beijing-key"
    assert error_of(client.perform(operation)) == (401, "InvalidApiKey", "Invalid API-key provided.")


def test_trailing_slashes_and_needless_bodies_are_ignored(client: VendorClient) -> None:
    """A trailing slash and a body that is not needed are ignored, because the vendor's asyncio client sends them."""
    task = client.task()
    junk = b'{"model": "", "parameters": {}, "input": {}}'
    assert client.http.get(f"/tasks/{task}/").json()["output"]["task_status"] == "SUCCEEDED"
    assert client.http.post(f"/tasks/{task}/cancel/", content=junk).json()["code"] == "UnsupportedOperation"
    assert client.http.post(f"/tasks/{task}/cancel", content=b"{").json()["code"] == "UnsupportedOperation"
    assert client.http.get("/tasks").json()["total"] == client.http.get("/tasks/").json()["total"] == 1


def test_unknown_paths_are_answered_as_the_vendor_does(client: VendorClient) -> None:
    """A wrong API path gets the vendor's "url error"; any other unknown path gets a 404."""
    assert error_of(client.http.post("/services/aigc/text2image/generation")) == (
        400, "InvalidParameter", "url error, please check url！",
    )  # fmt: skip
    assert client.http.get(SYNC).status_code == 405
    assert client.http.get(f"{client.emulator.origin}/favicon.ico").status_code == 404


def test_broken_and_huge_bodies_are_refused(client: VendorClient) -> None:
    """A body that is not JSON or is over 6 MiB is refused and not billed."""
    assert error_of(client.http.post(SYNC, content=b"{"))[:2] == (400, "BadRequest.IllegalInput")
    assert error_of(client.http.post(SYNC, content=b'"' + b"x" * 7_000_000 + b'"'))[:2] == (400, "BadRequest.TooLarge")
    assert billed(client) == 0


def test_links_and_tasks_age_with_the_emulated_clock(client: VendorClient) -> None:
    """A day later links have expired, tasks are UNKNOWN, and the Date header shows the new time."""
    link, task = client.link(), client.task()
    client.http.post(f"{client.emulator.origin}/_emulator/clock", json={"advance_s": 86_400 + 2})
    answer = client.download(link)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>\n  <Message>Request has expired.</Message>" in answer.text
    polled = client.http.get(f"/tasks/{task}")
    assert polled.json()["output"]["task_status"] == "UNKNOWN"
    assert parsedate_to_datetime(polled.headers["date"]).timestamp() > time.time() + 86_000


def test_calls_are_recorded_without_the_key(client: VendorClient) -> None:
    """Recorded calls hold what was sent, but neither they nor the page nor the bill hold the key."""
    client.sync(seed=1)
    client.create(seed=1)
    client.http.get("/tasks/", params={"page_no": 2})
    client.download(client.link())
    calls = client.emulator.requests()
    assert [(call["operation"], call["method"], call["status"]) for call in calls] == [
        ("sync", "POST", 200), ("create", "POST", 200), ("list", "GET", 200),
        ("sync", "POST", 200), ("download", "GET", 200),
    ]  # fmt: skip
    assert calls[0]["headers"]["authorization"] == "Bearer ***"
    assert calls[0]["body"]["parameters"] == {"seed": 1}
    assert (calls[2]["path"], calls[2]["query"]) == ("/api/v1/tasks/", "page_no=2")
    origin = client.emulator.origin
    shown = [client.http.get(origin + path).text for path in ("/", "/_emulator/bill", "/_emulator/requests")]
    assert [KEY in text for text in shown] == [False, False, False]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_refused(client: VendorClient, host: str) -> None:
    """A site whose name points to loopback (DNS rebinding) gets a 403."""
    answer = client.http.get(f"{client.emulator.origin}/_emulator/bill", headers={"Host": host})
    assert (answer.status_code, answer.text) == (403, "foreign Host or Origin\n")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"])
def test_loopback_names_are_accepted(client: VendorClient, host: str) -> None:
    """Links use the loopback name that the client used."""
    link = client.http.post(
        SYNC, headers={"Host": host},
        json={"model": "qwen-image", "input": {"messages": [{"role": "user", "content": [{"text": "a"}]}]}},
    ).json()["output"]["choices"][0]["message"]["content"][0]["image"]  # fmt: skip
    assert link.startswith(f"http://{host}/results/")


def test_a_call_from_a_foreign_page_is_refused(client: VendorClient) -> None:
    """A call from the emulator's own page is answered; a call from any other page gets a 403."""
    origin = client.emulator.origin
    for sender, status in ((origin, 200), ("https://evil.example", 403), ("null", 403), ("http://[", 403)):
        answer = client.http.delete(f"{origin}/_emulator/faults", headers={"Origin": sender})
        assert answer.status_code == status


def test_the_bill_is_exact_under_mixed_faults(client: VendorClient, caplog: pytest.LogCaptureFixture) -> None:
    """Exactly the accepted calls are billed, and the server logs no warning."""
    before = ["throttle:sync:4%", "503:sync:4%", "drop-before:sync:4%", "html:sync:4%"]
    after = ["drop-after:sync:4%", "close-after:sync:4%", "garbage:sync:4%", "timeout:sync:4%"]
    client.emulator.inject(*before, *after, "cut:10%", "corrupt:10%", seed=7)
    limits = httpx.Limits(max_keepalive_connections=0)

    async def main() -> int:
        turns = asyncio.Semaphore(30)
        async with httpx.AsyncClient(trust_env=False, verify=False, limits=limits, timeout=30) as http:

            async def call(seed: int) -> int:
                messages = [{"role": "user", "content": [{"text": "a cat"}]}]
                body = {"model": "qwen-image", "input": {"messages": messages}, "parameters": {"seed": seed}}
                headers = {"Authorization": f"Bearer {KEY}"}
                async with turns:
                    try:
                        answer = await http.post(client.emulator.base_url + SYNC, json=body, headers=headers)
                        output = answer.json()["output"]
                        await http.get(output["choices"][0]["message"]["content"][0]["image"])
                    except httpx.RemoteProtocolError as error:
                        return "complete message body" in str(error)
                    except (httpx.ReadError, ValueError, KeyError):
                        return 0
                return 1

            return sum(await asyncio.gather(*map(call, range(300))))

    answered = asyncio.run(main())
    fired = client.emulator.fired()
    records = client.emulator.bill()["records"]
    assert min(fired.values()) > 0
    assert answered == 300 - sum(fired[fault] for fault in before + after)
    assert len({record["digest"] for record in records}) == len(records) == answered + sum(fired[f] for f in after)
    assert sum(record["answered"] for record in records) == answered
    assert sum(record["delivered"] for record in records) == answered - fired["cut:10%"] - fired["corrupt:10%"]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
