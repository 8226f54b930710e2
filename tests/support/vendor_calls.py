"""A pytest plugin: a client of the local DashScope as a fixture, for modules with
`pytest_plugins = ("tests.support.emulated", "tests.support.vendor_calls")`.

PYTEST_DONT_REWRITE: tests import from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from qwenbuild.emulator.server import Running

KEY = "sk-canary-0123456789abcdef"
SYNC = "/services/aigc/multimodal-generation/generation"
CREATE = "/services/aigc/text2image/image-synthesis"
ASYNC = {"X-DashScope-Async": "enable"}


class VendorClient:
    """Makes the calls of the API reference to one emulator."""

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
        """Download an image without sending the key."""
        return httpx.get(link, trust_env=False, verify=False, timeout=5)

    def perform(self, operation: str) -> httpx.Response:
        """Make one call of `operation`."""
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
def client(emulator: Running) -> Iterator[VendorClient]:
    """A client of the emulator, with a key."""
    vendor_client = VendorClient(emulator)
    with vendor_client.http:
        yield vendor_client


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and message of an error answer."""
    body = response.json()
    assert set(body) == {"request_id", "code", "message"}
    return response.status_code, body["code"], body["message"]


def billed(client: VendorClient) -> int:
    """Return how many images have been billed."""
    found: int = client.emulator.bill()["count"]
    return found
