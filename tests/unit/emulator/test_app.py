from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from PIL import Image

from qwenbuild.emulator.faults import KINDS
from qwenbuild.emulator.server import Running, running
from qwenbuild.emulator.vendor_errors import VENDOR_ERRORS
from tests.support.emulated import QUICK

pytest_plugins = ("tests.support.emulated",)

KEY = "sk-canary-0123456789abcdef"
SYNC = "/services/aigc/multimodal-generation/generation"
CREATE = "/services/aigc/text2image/image-synthesis"
ASYNC = {"X-DashScope-Async": "enable"}


class Client:
    """A client of one emulator that makes the calls of the reference, and nothing more."""

    def __init__(self, emulator: Running) -> None:
        self.emulator = emulator
        self.http = httpx.Client(
            base_url=emulator.base_url,
            headers={"Authorization": f"Bearer {KEY}"},
            trust_env=False,
            verify=False,
            timeout=5,
        )

    def sync(self, **parameters: Any) -> httpx.Response:
        messages = [{"role": "user", "content": [{"text": "a cat"}]}]
        body = {"model": "qwen-image-plus", "input": {"messages": messages}, "parameters": parameters}
        return self.http.post(SYNC, json=body)

    def create(self, **parameters: Any) -> httpx.Response:
        body = {"model": "qwen-image-plus", "input": {"prompt": "a cat"}, "parameters": parameters}
        return self.http.post(CREATE, json=body, headers=ASYNC)

    def link(self) -> str:
        """Render an image and return its link."""
        found: str = self.sync().json()["output"]["choices"][0]["message"]["content"][0]["image"]
        return found

    def task(self) -> str:
        """Create a task and return its id."""
        found: str = self.create().json()["output"]["task_id"]
        return found

    def download(self, link: str) -> httpx.Response:
        """Get a link as a stranger would: without the key."""
        return httpx.get(link, trust_env=False, verify=False, timeout=5)

    def perform(self, operation: str) -> httpx.Response:
        """Make the one call that `operation` names; nothing else of it is billed."""
        match operation:
            case "sync":
                return self.sync()
            case "create":
                return self.create()
            case "poll":
                return self.http.get("/tasks/some-task")
            case "cancel":
                return self.http.post("/tasks/some-task/cancel")
            case "list":
                return self.http.get("/tasks/")
        return self.download(f"{self.emulator.origin}/results/bucket/7d/some.png?Expires=1&Signature=x")


@pytest.fixture
def client(emulator: Running) -> Iterator[Client]:
    found = Client(emulator)
    with found.http:
        yield found


def said(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and message of an error answer."""
    body = response.json()
    assert set(body) == {"request_id", "code", "message"}
    return response.status_code, body["code"], body["message"]


def images(client: Client) -> int:
    """Return how many images have been billed."""
    found: int = client.emulator.bill()["count"]
    return found


# --- the reference's flows ---


def test_a_sync_call_gives_a_link_to_the_image(client: Client) -> None:
    """The image is a PNG of the size that was asked for, and is billed once however often it is fetched."""
    answer = client.sync(size="1104*1472")
    link = answer.json()["output"]["choices"][0]["message"]["content"][0]["image"]
    first, second = client.download(link), client.download(link)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert first.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(first.content)).size == (1104, 1472)
    assert (first.content == second.content, images(client)) == (True, 1)


def test_a_task_is_created_polled_and_collected(client: Client) -> None:
    """The asynchronous interface, from its header to the image."""
    created = client.create(size="928*1664").json()
    assert created["output"]["task_status"] == "PENDING"
    answer = client.http.get(f"/tasks/{created['output']['task_id']}").json()
    result = answer["output"]["results"][0]
    assert (answer["output"]["task_status"], answer["usage"]) == ("SUCCEEDED", {"image_count": 1})
    assert (result["orig_prompt"], "a cat" in result["actual_prompt"]) == ("a cat", True)
    assert Image.open(io.BytesIO(client.download(result["url"]).content)).size == (928, 1664)


def test_the_asynchronous_header_is_demanded_and_refused(client: Client) -> None:
    """Each interface answers the other's kind of call with the vendor's 403."""
    body = {"model": "qwen-image-plus", "input": {"prompt": "a cat"}}
    assert said(client.http.post(CREATE, json=body)) == (
        403, "AccessDenied", "current user api does not support synchronous calls.",
    )  # fmt: skip
    assert said(client.http.post(SYNC, json=body, headers=ASYNC)) == (
        403, "AccessDenied", "current user api does not support asynchronous calls.",
    )  # fmt: skip


@pytest.mark.parametrize("operation", ["sync", "create", "poll", "cancel", "list"])
def test_every_call_needs_a_key(client: Client, operation: str) -> None:
    """Without a key nothing is told and nothing is done."""
    del client.http.headers["Authorization"]
    assert said(client.perform(operation)) == (401, "InvalidApiKey", "No API-key provided.")
    client.http.headers["Authorization"] = "Bearer sk-beijing-key"
    assert said(client.perform(operation)) == (401, "InvalidApiKey", "Invalid API-key provided.")


def test_trailing_slashes_and_odd_bodies_are_taken(client: Client) -> None:
    """The vendor's asyncio client sends both."""
    task = client.task()
    junk = b'{"model": "", "parameters": {}, "input": {}}'
    assert client.http.get(f"/tasks/{task}/").json()["output"]["task_status"] == "SUCCEEDED"
    assert client.http.post(f"/tasks/{task}/cancel/", content=junk).json()["code"] == "UnsupportedOperation"
    assert client.http.post(f"/tasks/{task}/cancel", content=b"{").json()["code"] == "UnsupportedOperation"
    assert client.http.get("/tasks").json()["total"] == client.http.get("/tasks/").json()["total"] == 1


def test_unknown_paths_are_answered_as_the_vendor_does(client: Client) -> None:
    """A mistyped interface is a bad URL, not a missing page."""
    assert said(client.http.post("/services/aigc/text2image/generation")) == (
        400, "InvalidParameter", "url error, please check url！",
    )  # fmt: skip
    assert client.http.get(SYNC).status_code == 405
    assert client.http.get(f"{client.emulator.origin}/favicon.ico").status_code == 404


def test_broken_and_huge_bodies_are_refused(client: Client) -> None:
    """Neither is read further than needed, neither is billed."""
    assert said(client.http.post(SYNC, content=b"{"))[:2] == (400, "BadRequest.IllegalInput")
    assert said(client.http.post(SYNC, content=b'"' + b"x" * 7_000_000 + b'"'))[:2] == (400, "BadRequest.TooLarge")
    assert images(client) == 0


def test_links_and_tasks_age_with_the_emulated_clock(client: Client) -> None:
    """After a day links are dead, tasks are unknown, and the Date header shows it."""
    link, task = client.link(), client.task()
    client.http.post(f"{client.emulator.origin}/_emulator/clock", json={"advance_s": 86_400 + 2})
    answer = client.download(link)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>\n  <Message>Request has expired.</Message>" in answer.text
    polled = client.http.get(f"/tasks/{task}")
    assert polled.json()["output"]["task_status"] == "UNKNOWN"
    assert parsedate_to_datetime(polled.headers["date"]).timestamp() > time.time() + 86_000


# --- what is told about calls ---


def test_calls_are_remembered_without_the_key(client: Client) -> None:
    """The wire is there to be compared; the key is nowhere."""
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


def test_the_bill_is_served_and_reset(client: Client) -> None:
    """Its records say which images reached the client."""
    link = client.link()
    client.link()
    client.download(link)
    bill = client.http.delete(f"{client.emulator.origin}/_emulator/bill").json()
    assert (bill["count"], Decimal(bill["amount"])) == (2, Decimal("0.440354"))
    assert [(record["answered"], record["delivered"]) for record in bill["records"]] == [(True, True), (True, False)]
    assert bill["records"][0]["exchange"]["path"] == f"/api/v1{SYNC}"
    assert images(client) == 0
    assert client.download(link).status_code == 200


def test_a_look_at_the_headers_delivers_nothing(client: Client) -> None:
    """HEAD is answered without the image."""
    answer = httpx.head(client.link(), trust_env=False, verify=False)
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.emulator.bill()["records"][0]["delivered"] is False


def test_the_page_shows_the_bill(client: Client) -> None:
    """A person sees the amount, the tasks and the faults."""
    client.emulator.inject("slow=0:list")
    client.task()
    client.http.get("/tasks/")
    page = client.http.get(client.emulator.origin + "/").text
    assert "Would have billed 0.220177 CNY for 1 image<" in page
    assert "1 SUCCEEDED" in page
    assert "<code>slow=0:list</code> 1 times" in page


def test_faults_are_set_at_run_time(client: Client) -> None:
    """The endpoint replaces the plan, shows it, and refuses what is none."""
    url = f"{client.emulator.origin}/_emulator/faults"
    assert client.http.post(url, json={"faults": ["throttle:poll:1"], "seed": 3}).json() == {
        "faults": [{"fault": "throttle:poll:1", "fired": 0}]
    }
    client.perform("poll")
    assert client.http.get(url).json() == {"faults": [{"fault": "throttle:poll:1", "fired": 1}]}
    assert client.http.delete(url).json() == {"faults": []}
    wrong = client.http.post(url, json={"faults": ["throtle"]})
    assert (wrong.status_code, 'did you mean "throttle"?' in wrong.json()["error"]) == (400, True)
    for body in ({}, {"faults": "throttle"}, {"faults": [1]}, {"faults": [], "seed": "a"}):
        assert client.http.post(url, json=body).status_code == 400


@pytest.mark.parametrize("seconds", ["1", None, True, 1e300])
def test_the_clock_moves_by_numbers_alone(client: Client, seconds: Any) -> None:
    """Anything else is refused."""
    answer = client.http.post(f"{client.emulator.origin}/_emulator/clock", content=json.dumps({"advance_s": seconds}))
    assert answer.status_code == 400


# --- who may call ---


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_refused(client: Client, host: str) -> None:
    """A page whose name was bound anew to loopback gets nothing."""
    answer = client.http.get(f"{client.emulator.origin}/_emulator/bill", headers={"Host": host})
    assert (answer.status_code, answer.text) == (403, "foreign Host or Origin\n")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"])
def test_loopbacks_own_names_are_taken(client: Client, host: str) -> None:
    """Under whichever of them the client knows it, links lead back there."""
    link = client.http.post(
        SYNC, headers={"Host": host},
        json={"model": "qwen-image", "input": {"messages": [{"role": "user", "content": [{"text": "a"}]}]}},
    ).json()["output"]["choices"][0]["message"]["content"][0]["image"]  # fmt: skip
    assert link.startswith(f"http://{host}/results/")


def test_what_a_foreign_page_sends_is_refused(client: Client) -> None:
    """The emulator's own pages may call it, others may not."""
    origin = client.emulator.origin
    for sender, status in ((origin, 200), ("https://evil.example", 403), ("null", 403), ("http://[", 403)):
        answer = client.http.delete(f"{origin}/_emulator/faults", headers={"Origin": sender})
        assert answer.status_code == status


# --- faults ---


BEFORE = {
    "throttle": (429, "Throttling.RateQuota"), "500": (500, "InternalError"), "503": (503, "ServiceUnavailable"),
    "error=Model.AccessDenied": (403, "Model.AccessDenied"), "moderation": (400, "DataInspectionFailed"),
    "arrearage": (400, "Arrearage"), "business-error": (200, "InternalError"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        (fault, operation)
        for fault in BEFORE
        for operation in KINDS[fault.partition("=")[0]].operations
        if operation != "download"
    ],
)
def test_a_call_that_is_refused_is_not_billed(client: Client, fault: str, operation: str) -> None:
    """Each fault answers with its code at each operation, once, and the next call gets through."""
    client.emulator.inject(f"{fault}:{operation}:1")
    answer = client.perform(operation)
    assert said(answer)[:2] == BEFORE[fault]
    assert images(client) == 0
    assert client.perform(operation).status_code == (400 if operation == "cancel" else 200)
    assert [call["fault"] for call in client.emulator.requests()][1] == ""


def test_a_throttled_call_is_told_when_to_come_back(client: Client) -> None:
    """Retry-After stands there only where the fault says so."""
    client.emulator.inject("throttle=3:poll:1", "throttle:poll:1")
    assert [client.perform("poll").headers.get("retry-after") for _ in range(2)] == ["3", None]


@pytest.mark.parametrize("code", sorted(VENDOR_ERRORS))
def test_any_error_of_the_service_can_be_had(client: Client, code: str) -> None:
    """The status is the code's own."""
    client.emulator.inject(f"error={code}:create")
    assert said(client.create()) == (VENDOR_ERRORS[code][0], code, VENDOR_ERRORS[code][1])


@pytest.mark.parametrize("operation", ["sync", "create", "poll", "cancel", "list", "download"])
def test_a_connection_is_reset_before_anything_is_accepted(client: Client, operation: str) -> None:
    """The client gets a TCP reset, and is billed nothing."""
    client.emulator.inject(f"drop-before:{operation}:1")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.perform(operation)
    assert images(client) == 0
    assert client.emulator.requests()[0]["status"] == 0


@pytest.mark.parametrize("operation", ["sync", "create"])
def test_an_answer_is_lost_after_accepting(client: Client, operation: str) -> None:
    """The image is billed; the client sees a reset connection, or one that is closed in good order."""
    client.emulator.inject(f"drop-after:{operation}:1", f"close-after:{operation}:1")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.perform(operation)
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
        client.perform(operation)
    records = client.emulator.bill()["records"]
    assert [record["answered"] for record in records] == [False, False]
    assert client.http.get("/tasks/").json()["total"] == (2 if operation == "create" else 0)


@pytest.mark.parametrize("operation", ["sync", "create"])
@pytest.mark.parametrize(
    ("fault", "status", "content"),
    [
        ("timeout", 500, '"code":"RequestTimeOut"'),
        ("html-after", 502, "<!DOCTYPE html>"),
        ("garbage", 200, '{"'),
        ("missing", 200, '{"request_id":"'),
    ],
)
def test_an_answer_is_spoilt_after_accepting(
    client: Client, fault: str, status: int, content: str, operation: str
) -> None:
    """The image is billed, whatever the answer says."""
    client.emulator.inject(f"{fault}:{operation}:1")
    answer = client.perform(operation)
    assert (answer.status_code, content in answer.text, "output" in answer.text) == (status, True, fault == "garbage")
    assert [record["answered"] for record in client.emulator.bill()["records"]] == [False]


def test_garbage_is_no_json(client: Client) -> None:
    """It ends in the middle."""
    client.emulator.inject("garbage:list")
    with pytest.raises(json.JSONDecodeError):
        client.perform("list").json()


@pytest.mark.parametrize(("fault", "billed"), [("hang-before", 0), ("hang-after", 1)])
def test_a_call_hangs_until_the_client_gives_up(client: Client, fault: str, billed: int) -> None:
    """No answer comes, before or after accepting."""
    client.emulator.inject(f"{fault}:sync:1")
    client.http.timeout = httpx.Timeout(0.2)
    with pytest.raises(httpx.ReadTimeout):
        client.sync()
    assert images(client) == billed


def test_a_hanging_call_does_not_keep_the_server() -> None:
    """The server stops at once, and the client sees its connection go."""
    with running(replace(QUICK, faults=("hang-before:list",))) as emulator:
        url = httpx.URL(emulator.base_url)
        waiting = socket.create_connection((url.host, url.port or 0), timeout=5)
        waiting.sendall(f"GET /api/v1/tasks HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n\r\n".encode())
        while not emulator.requests():
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 1.5
    with waiting, pytest.raises(ConnectionResetError):
        waiting.recv(1)


def test_a_slow_call_gets_through(client: Client) -> None:
    """It waits, and then goes on as usual."""
    client.emulator.inject("slow=0.3:sync:1")
    started = time.monotonic()
    assert client.sync().status_code == 200
    assert time.monotonic() - started >= 0.3


def test_a_proxys_page_stands_in_for_answers_and_images(client: Client) -> None:
    """With status 502 in front of a call, with 200 in place of an image."""
    link = client.link()
    client.emulator.inject("html:poll,download")
    found = [client.perform("poll"), client.download(link)]
    assert [(answer.status_code, answer.headers["content-type"]) for answer in found] == [
        (502, "text/html; charset=utf-8"), (200, "text/html; charset=utf-8"),
    ]  # fmt: skip


def test_a_redirect_leads_to_another_host_name(client: Client) -> None:
    """A client that follows it finds the image, so that following shows."""
    link = client.link()
    client.emulator.inject("redirect:1")
    answer = client.download(link)
    assert (answer.status_code, answer.headers["location"]) == (302, link.replace("127.0.0.1", "localhost"))
    assert client.download(answer.headers["location"]).status_code == 200


def test_a_download_fails_as_oss_does(client: Client) -> None:
    """500 and 503 are XML, and a link may be dead before its time."""
    link = client.link()
    client.emulator.inject("500:download:1", "503:download:1", "expired:1")
    found = [client.download(link) for _ in range(4)]
    assert [answer.status_code for answer in found] == [500, 503, 403, 200]
    assert [answer.headers["content-type"] for answer in found[:3]] == ["application/xml"] * 3


def test_an_image_is_spoilt_on_its_way(client: Client) -> None:
    """Half of it, other bytes, or another size come as if they were right; none of them counts as delivered."""
    client.emulator.inject("truncated:1", "corrupt:1", "wrong-size:1")
    link = client.link()
    truncated, corrupt, other = (client.download(link).content for _ in range(3))
    assert client.emulator.bill()["records"][0]["delivered"] is False
    whole = client.download(link).content
    assert client.emulator.bill()["records"][0]["delivered"] is True
    assert (truncated, len(corrupt)) == (whole[: len(whole) // 2], len(whole))
    with pytest.raises((OSError, SyntaxError)):
        Image.open(io.BytesIO(corrupt)).load()
    assert Image.open(io.BytesIO(other)).size == (1109, 618)


def test_an_image_is_cut_off(client: Client) -> None:
    """The connection closes in the middle of the body."""
    link = client.link()
    client.emulator.inject("cut:1")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        client.download(link)
    assert client.emulator.bill()["records"][0]["delivered"] is False


def test_a_task_fails(client: Client) -> None:
    """Its code is the fault's, and nothing is billed."""
    client.emulator.inject("task-failed=InternalError.Algo:1", "item-failed:1")
    outputs = [client.http.get(f"/tasks/{client.task()}").json()["output"] for _ in range(3)]
    assert [output["task_status"] for output in outputs] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert (outputs[0]["code"], outputs[1]["results"][0]["code"]) == ("InternalError.Algo", "DataInspectionFailed")
    assert images(client) == 1


def test_the_bill_is_exact_under_mixed_faults(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Every call that was accepted is billed, no other is, and the server complains of nothing."""
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
