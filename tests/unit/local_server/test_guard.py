from __future__ import annotations

import asyncio
from collections.abc import Collection

import httpx
import pytest
from starlette.responses import PlainTextResponse

from qwenbuild.local_server.guard import LOOPBACK_NAMES, PAGE_HEADERS, POLICY, guarded

INSIDE = PlainTextResponse("inside", headers={"x-own": "kept"})


def answer(
    headers: dict[str, str], names: Collection[str] | None = LOOPBACK_NAMES, port: int | None = 8000
) -> httpx.Response:
    """Return the answer to one GET with these headers."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(guarded(INSIDE, names, port, PAGE_HEADERS))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(get())


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LocalHost:8000", "[::1]:8000"])
def test_own_names_pass(host: str) -> None:
    """Calls from a page of the same address pass, and so do calls without Origin."""
    assert answer({"Host": host}).text == "inside"
    assert answer({"Host": host, "Origin": f"http://{host.lower()}"}).text == "inside"


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "127.0.0.1", "127.0.0.1:8001", "127.0.0.1.evil.example:8000", "127.0.0.1:8000:8000", ""],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    """Another name or another port in `Host` is refused, because the call was made for another site."""
    refused = answer({"Host": host})
    assert (refused.status_code, refused.text) == (403, "foreign Host or Origin\n")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "https://127.0.0.1:8000", "http://127.0.0.1:1"])
def test_a_foreign_page_is_refused(origin: str) -> None:
    """An Origin is refused unless its scheme, name and port are those of the call."""
    assert answer({"Origin": origin}).status_code == 403


def test_names_and_ports_can_be_left_open() -> None:
    """With None as names or port, every name or every port is allowed."""
    assert answer({"Host": "build.example"}, names=None, port=None).status_code == 200
    assert answer({"Host": "evil.example"}, port=None).status_code == 403
    assert answer({"Host": "localhost"}, port=None).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "evil.example"])
def test_every_answer_has_the_headers(host: str) -> None:
    """Refusals have the headers too, and the application's own headers stay."""
    headers = answer({"Host": host}).headers
    assert {name.decode(): headers[name.decode()] for name, _ in PAGE_HEADERS} == {
        name.decode(): value.decode() for name, value in PAGE_HEADERS
    }
    assert headers.get("x-own") == ("kept" if host == "127.0.0.1:8000" else None)


def test_the_policy_allows_nothing_inline() -> None:
    """No inline script or style can run."""
    assert "unsafe" not in POLICY
