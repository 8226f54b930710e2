from __future__ import annotations

import socket
import time
from dataclasses import replace

import httpx
import pytest

from qwenbuild.emulator.server import running
from tests.support.emulated import QUICK
from tests.support.vendor_calls import VendorClient, billed

pytest_plugins = ("tests.support.emulated", "tests.support.vendor_calls")


def test_a_head_request_delivers_no_image(client: VendorClient) -> None:
    """A HEAD request gets no image, so the image does not count as delivered."""
    answer = httpx.head(client.link(), trust_env=False, verify=False)
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.emulator.bill()["records"][0]["delivered"] is False


@pytest.mark.parametrize("operation", ["sync", "create", "poll", "cancel", "list", "download"])
def test_a_connection_is_reset_before_anything_is_accepted(client: VendorClient, operation: str) -> None:
    """The client gets a TCP reset, and nothing is billed."""
    client.emulator.inject(f"drop-before:{operation}:1")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.perform(operation)
    assert billed(client) == 0
    assert client.emulator.requests()[0]["status"] == 0


@pytest.mark.parametrize(("fault", "images"), [("hang-before", 0), ("hang-after", 1)])
def test_a_call_hangs_until_the_client_gives_up(client: VendorClient, fault: str, images: int) -> None:
    """The client times out; the image is billed only if the call was accepted first."""
    client.emulator.inject(f"{fault}:sync:1")
    client.http.timeout = httpx.Timeout(5, read=0.2)
    with pytest.raises(httpx.ReadTimeout):
        client.sync()
    while not client.emulator.requests():  # on a busy machine the call arrives after the client has given up
        time.sleep(0.01)
    assert billed(client) == images


def test_a_hanging_call_does_not_delay_the_end_of_the_server() -> None:
    """The server stops at once and resets the connection."""
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


def test_an_image_is_cut_off(client: VendorClient) -> None:
    """The connection closes in the middle of the image."""
    link = client.link()
    client.emulator.inject("cut:1")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        client.download(link)
    assert client.emulator.bill()["records"][0]["delivered"] is False
