from __future__ import annotations

import io
import json
import time

import httpx
import pytest
from PIL import Image

from qwenbuild.emulator.faults import KINDS
from qwenbuild.emulator.vendor_errors import VENDOR_ERRORS
from tests.support.vendor_calls import VendorClient, billed, error_of

pytest_plugins = ("tests.support.emulated", "tests.support.vendor_calls")


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
def test_a_call_that_is_refused_is_not_billed(client: VendorClient, fault: str, operation: str) -> None:
    """Each fault answers each operation with its code, once; the next call succeeds."""
    client.emulator.inject(f"{fault}:{operation}:1")
    answer = client.perform(operation)
    assert error_of(answer)[:2] == BEFORE[fault]
    assert billed(client) == 0
    assert client.perform(operation).status_code == (400 if operation == "cancel" else 200)
    assert [call["fault"] for call in client.emulator.requests()][1] == ""


def test_a_throttled_call_may_carry_retry_after(client: VendorClient) -> None:
    """The answer has Retry-After only if the fault gives a number of seconds."""
    client.emulator.inject("throttle=3:poll:1", "throttle:poll:1")
    assert [client.perform("poll").headers.get("retry-after") for _ in range(2)] == ["3", None]


@pytest.mark.parametrize("code", sorted(VENDOR_ERRORS))
def test_every_error_code_can_be_injected(client: VendorClient, code: str) -> None:
    """Each code is answered with its own status and message."""
    client.emulator.inject(f"error={code}:create")
    assert error_of(client.create()) == (VENDOR_ERRORS[code][0], code, VENDOR_ERRORS[code][1])


@pytest.mark.parametrize("operation", ["sync", "create"])
def test_an_answer_is_lost_after_accepting(client: VendorClient, operation: str) -> None:
    """The image is billed. The connection is reset (drop-after) or closed normally (close-after)."""
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
def test_an_answer_is_damaged_after_accepting(
    client: VendorClient, fault: str, status: int, content: str, operation: str
) -> None:
    """The image is billed, though the answer is an error or is damaged."""
    client.emulator.inject(f"{fault}:{operation}:1")
    answer = client.perform(operation)
    assert (answer.status_code, content in answer.text, "output" in answer.text) == (status, True, fault == "garbage")
    assert [record["answered"] for record in client.emulator.bill()["records"]] == [False]


def test_garbage_is_not_json(client: VendorClient) -> None:
    """The answer ends in the middle, so it is not valid JSON."""
    client.emulator.inject("garbage:list")
    with pytest.raises(json.JSONDecodeError):
        client.perform("list").json()


def test_a_slow_call_is_answered(client: VendorClient) -> None:
    """The call waits and is then answered as usual."""
    client.emulator.inject("slow=0.3:sync:1")
    started = time.monotonic()
    assert client.sync().status_code == 200
    assert time.monotonic() - started >= 0.3


def test_a_proxys_page_replaces_answers_and_images(client: VendorClient) -> None:
    """A proxy's page has status 502 for a call and status 200 for an image."""
    link = client.link()
    client.emulator.inject("html:poll,download")
    found = [client.perform("poll"), client.download(link)]
    assert [(answer.status_code, answer.headers["content-type"]) for answer in found] == [
        (502, "text/html; charset=utf-8"), (200, "text/html; charset=utf-8"),
    ]  # fmt: skip


def test_a_redirect_leads_to_another_host_name(client: VendorClient) -> None:
    """A client that follows the redirect gets the image."""
    link = client.link()
    client.emulator.inject("redirect:1")
    answer = client.download(link)
    assert (answer.status_code, answer.headers["location"]) == (302, link.replace("127.0.0.1", "localhost"))
    assert client.download(answer.headers["location"]).status_code == 200


def test_a_download_fails_as_oss_does(client: VendorClient) -> None:
    """Errors of a download are XML documents with the status 500, 503 or 403."""
    link = client.link()
    client.emulator.inject("500:download:1", "503:download:1", "expired:1")
    found = [client.download(link) for _ in range(4)]
    assert [answer.status_code for answer in found] == [500, 503, 403, 200]
    assert [answer.headers["content-type"] for answer in found[:3]] == ["application/xml"] * 3


def test_an_image_is_damaged(client: VendorClient) -> None:
    """A truncated, corrupt or wrong-size image is sent with status 200, but does not count as delivered."""
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


def test_a_task_fails(client: VendorClient) -> None:
    """The task, or its result, carries the fault's code, and nothing is billed."""
    client.emulator.inject("task-failed=InternalError.Algo:1", "item-failed:1")
    outputs = [client.http.get(f"/tasks/{client.task()}").json()["output"] for _ in range(3)]
    assert [output["task_status"] for output in outputs] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert (outputs[0]["code"], outputs[1]["results"][0]["code"]) == ("InternalError.Algo", "DataInspectionFailed")
    assert billed(client) == 1
