"""Bytes by name at a server of Bazel's HTTP cache protocol: `ac/<64 hex>` and `cas/<64 hex>`.

`GET` fetches, `HEAD` asks, `PUT` stores with its Content-Length; 404 says that a name is not there.
Any web server that takes PUT will do, nginx with WebDAV among them.

Invariants: what leaves here is what the server sent, no more than asked for, and unverified (see
`sharing`); redirects are not followed, cookies not kept; the token is in no error.

Source: https://bazel.build/remote/caching (2026-05), "HTTP caching protocol".
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx

from qwenbuild.errors import RemoteError, RemoteUnreachable, UsageError
from qwenbuild.version import __version__

CONNECT_S: Final = 2.0  # a build can do without the remote
SILENCE_S: Final = 5.0
TRANSFER_S: Final = 120.0
_STORED = (200, 201, 202, 204)
_TYPES = {"ac": "application/json", "cas": "application/octet-stream"}  # bazel-remote wants exactly the first
_NOT_FOR_HEADERS = re.compile(r"[^\x21-\x7e \t]")


class Transport(Protocol):
    """Where names and bytes are kept. Paths are `ac/<64 hex>` or `cas/<64 hex>`; every method raises RemoteError."""

    async def get(self, path: str, limit: int) -> bytes | None:
        """Return the bytes of a name, at most `limit`; None where it is not there."""

    async def has(self, path: str) -> bool:
        """Whether the name is there."""

    async def put(self, path: str, content: bytes) -> None:
        """Store bytes under a name, replacing what is there."""

    async def aclose(self) -> None:
        """Let go of connections."""


class HttpTransport:
    """A server of the HTTP cache protocol, below `url`. For one event loop."""

    def __init__(self, url: str, headers: Mapping[str, str], name: str, *, concurrency: int = 16) -> None:
        """`name` is the URL as messages show it. Raises UsageError where the URL or a header can't be used."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"not the URL of a remote cache: {name}", hint="such as https://cache.example/qwenbuild")
        for header, value in headers.items():
            if _NOT_FOR_HEADERS.search(header + value):
                raise UsageError(f"the remote's header {header!r} holds characters that no header may")
        self.name = name
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S, pool=None)
        try:
            self._client = httpx.AsyncClient(
                base_url=url.rstrip("/") + "/", limits=limits, timeout=timeout, follow_redirects=False,
                headers={"User-Agent": f"qwenbuild/{__version__}", "Accept-Encoding": "identity", **headers},
            )  # fmt: skip
        except (OSError, ImportError, ValueError, httpx.InvalidURL):
            raise UsageError("the CA bundle or proxy that the environment names can't be used") from None

    async def get(self, path: str, limit: int) -> bytes | None:
        content = bytearray()
        asked = self._client.stream("GET", path, headers={"Accept": _type(path)})
        with _told(self.name):
            async with asyncio.timeout(TRANSFER_S), asked as response:
                if response.status_code == 404:
                    return None
                if response.status_code != 200:
                    raise RemoteError(f"{self.name} answered {response.status_code} to a GET")
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > limit:
                        raise RemoteError(f"{self.name} sent more than {limit:,} bytes")
        return bytes(content)

    async def has(self, path: str) -> bool:
        with _told(self.name):
            async with asyncio.timeout(TRANSFER_S):
                response = await self._client.head(path, headers={"Accept": _type(path)})
        if response.status_code not in (200, 204, 404):
            raise RemoteError(f"{self.name} answered {response.status_code} to a HEAD")
        return response.status_code != 404

    async def put(self, path: str, content: bytes) -> None:
        with _told(self.name):
            async with asyncio.timeout(TRANSFER_S):
                response = await self._client.put(path, content=content, headers={"Content-Type": _type(path)})
        if response.status_code not in _STORED:
            raise RemoteError(f"{self.name} answered {response.status_code} to a PUT")

    async def aclose(self) -> None:
        await self._client.aclose()


def _type(path: str) -> str:
    return _TYPES[path.partition("/")[0]]


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what httpx raises into RemoteError, which holds no request."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise RemoteUnreachable(f"{name} can't be reached") from None
    except (TimeoutError, httpx.TimeoutException):
        raise RemoteUnreachable(f"{name} does not answer") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise RemoteError(f"the connection to {name} failed: {type(error).__name__}") from None
