"""The HTTP transport: limits, statuses and broken connections, tested with a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from operator import methodcaller
from typing import Any, TypeVar

import pytest

from qwenbuild.errors import RemoteError, RemoteUnreachable, UsageError
from qwenbuild.storage.remote.http import HttpTransport
from tests.support.caches import Cache

_T = TypeVar("_T")
RESULT, BLOB = f"ac/{'0' * 64}", f"cas/{'0' * 64}"


@pytest.fixture
def cache() -> Iterator[Cache]:
    """A running server."""
    with Cache().running() as running:
        yield running


def use(url: str, act: Callable[[HttpTransport], Awaitable[_T]], **headers: str) -> _T:
    """Return the result of `act`, called with a transport that is closed afterwards."""

    async def run() -> _T:
        transport = HttpTransport(url, headers, "r")
        try:
            return await act(transport)
        finally:
            await transport.aclose()

    return asyncio.run(run())


def test_requests_have_the_type_of_their_kind(cache: Cache) -> None:
    """Action results are JSON, blobs are bytes; the given headers are sent with each request."""
    for path, kind in ((RESULT, "application/json"), (BLOB, "application/octet-stream")):
        use(f"{cache.url}/team/", methodcaller("put", path, b"x"), Authorization="Bearer t")
        assert use(f"{cache.url}/team", methodcaller("get", path, 1)) == b"x"
        put, got = cache.headers[-2:]
        assert (put["Content-Type"], put["Content-Length"], put["Authorization"]) == (kind, "1", "Bearer t")
        assert (got["Accept"], got["path"]) == (kind, f"/team/{path}")


@pytest.mark.parametrize("status", [302, 401, 500])
def test_other_statuses_are_errors(cache: Cache, status: int) -> None:
    """Redirects are not followed, and no method treats a refusal as a miss."""

    def refuse(handler: Any, path: str, content: bytes) -> bool:
        handler.answer(status, Location="http://127.0.0.1:9/")
        return True

    cache.fault = refuse
    requests: dict[str, Callable[[HttpTransport], Awaitable[object]]] = {
        "GET": lambda it: it.get(BLOB, 1), "HEAD": lambda it: it.has(BLOB), "PUT": lambda it: it.put(BLOB, b"x")
    }  # fmt: skip
    for method, request in requests.items():
        with pytest.raises(RemoteError, match=f"^error: r answered {status} to a {method}$"):
            use(cache.url, request)
    assert sum(cache.calls.values()) == 3


def test_an_answer_above_the_limit_is_an_error(cache: Cache) -> None:
    """Reading stops at the limit, and the error names the limit."""
    cache.files[BLOB] = b"x" * 1001
    with pytest.raises(RemoteError, match="r sent more than 1,000 bytes"):
        use(cache.url, lambda it: it.get(BLOB, 1000))


def test_a_refused_connection_is_unreachable() -> None:
    """If nothing listens at the address, the error is RemoteUnreachable."""
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteUnreachable, match="r can't be reached"):
            use(f"http://127.0.0.1:{taken.getsockname()[1]}", lambda it: it.has(BLOB))


def test_a_lost_connection_is_an_error(cache: Cache) -> None:
    """A lost connection does not count as unreachable, because the remote may answer the next request."""

    def drop(handler: Any, path: str, content: bytes) -> bool:
        handler.close_connection = True
        return True

    cache.fault = drop
    with pytest.raises(RemoteError, match="the connection to r failed: RemoteProtocolError") as caught:
        use(cache.url, lambda it: it.has(BLOB))
    assert not isinstance(caught.value, RemoteUnreachable)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http:///x", "http://x?y=1", "http://x#y"])
def test_a_url_of_no_server_is_refused(url: str) -> None:
    """The message shows the given name, not the URL itself."""
    with pytest.raises(UsageError, match="not the URL of a remote cache: r"):
        HttpTransport(url, {}, "r")


def test_no_header_names_another_server() -> None:
    """An approval is for the URL's server. With the header Host, a shared address would give the token to another."""
    with pytest.raises(UsageError, match="the remote's header Host would name another server"):
        HttpTransport("http://x", {"hOST": "evil.example"}, "r")


def test_a_header_with_line_breaks_is_refused() -> None:
    """The message names the header, but not its value."""
    with pytest.raises(
        UsageError, match="the remote's header 'X' contains characters that headers can't have"
    ) as caught:
        HttpTransport("http://x", {"X": "canary\r\nY: z"}, "r")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://cache:99999", "http://cache:0/x", "http://[::1", f"https://{'a' * 64}.test", "https://a..test/x"]
)
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    """The HTTP library would fail later, with an error of another library."""
    with pytest.raises(UsageError, match="not the URL of a remote cache"):
        HttpTransport(url, {}, "shown")


@pytest.mark.parametrize("proxy", ["http://me:secret@proxy:99999", "http://[::1"])
def test_a_proxy_that_can_not_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, the value is not."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(UsageError) as caught:
        HttpTransport("https://cache.test/x", {}, "shown")
    assert caught.value.claim == "the proxy set in the environment can't be used"
    assert caught.value.facts[0].startswith("HTTPS_PROXY: ")
    assert "secret" not in str(caught.value)
