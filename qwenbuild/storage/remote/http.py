"""The HTTP transport: a server of Bazel's HTTP cache protocol, or any web server that accepts PUT.

`GET` reads `ac/<64 hex>` and `cas/<64 hex>`, `HEAD` asks whether they exist, and `PUT` stores them with a
Content-Length. 404 means that a name does not exist. nginx with WebDAV is such a server.

Invariants: bytes are returned as the server sent them, and never more than the limit. `cache` verifies them.
Redirects are not followed and cookies are not kept. No error contains the token.

Source: https://bazel.build/remote/caching (2026-05), "HTTP caching protocol".
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import httpx

from qwenbuild import proxies
from qwenbuild.errors import RemoteError, RemoteUnreachable, UsageError
from qwenbuild.version import __version__

from .transport import CONNECT_S, SILENCE_S

_STORED = (200, 201, 202, 204)
_TYPES = {"ac": "application/json", "cas": "application/octet-stream"}  # bazel-remote accepts only this type for `ac`
_NOT_FOR_HEADERS = re.compile(r"[^\x21-\x7e \t]")


class HttpTransport:
    """A `Transport` to a server of the HTTP cache protocol, below `url`. It belongs to one event loop."""

    def __init__(self, url: str, headers: Mapping[str, str], name: str, *, concurrency: int = 16) -> None:
        """`name` is the URL as messages show it. Raises UsageError if the URL or a header can't be used."""
        if not _is_usable(url):
            raise UsageError(
                f"not the URL of a remote cache: {name}",
                hint="such as https://cache.example/qwenbuild",
                name="remote-url",
            )
        for header, value in headers.items():
            if header.lower() == "host":  # many servers share an address: the approved one is the URL's
                raise UsageError(
                    "the remote's header Host would name another server",
                    hint="write it into the URL",
                    name="remote-url",
                )
            if _NOT_FOR_HEADERS.search(header + value):
                raise UsageError(
                    f"the remote's header {header!r} contains characters that headers can't have", name="remote-url"
                )
        proxies.check_proxies(os.environ)
        self.name = name
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S, pool=None)
        try:
            self._client = httpx.AsyncClient(
                base_url=url.rstrip("/") + "/", limits=limits, timeout=timeout, follow_redirects=False,
                headers={"User-Agent": f"qwenbuild/{__version__}", "Accept-Encoding": "identity", **headers},
            )  # fmt: skip
        except (OSError, ImportError, ValueError, httpx.InvalidURL):
            raise UsageError(
                "the CA bundle or the proxy in the environment variables can't be used", name="ca-bundle"
            ) from None

    async def get(self, path: str, limit: int) -> bytes | None:
        content = bytearray()
        request = self._client.stream("GET", path, headers={"Accept": _type(path)})
        with _remote_errors(self.name):
            async with request as response:
                if response.status_code == 404:
                    return None
                if response.status_code != 200:
                    raise RemoteError(f"{self.name} answered {response.status_code} to a GET", name="remote-failed")
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > limit:
                        raise RemoteError(f"{self.name} sent more than {limit:,} bytes", name="remote-failed")
        return bytes(content)

    async def has(self, path: str) -> bool:
        with _remote_errors(self.name):
            response = await self._client.head(path, headers={"Accept": _type(path)})
        if response.status_code not in (200, 204, 404):
            raise RemoteError(f"{self.name} answered {response.status_code} to a HEAD", name="remote-failed")
        return response.status_code != 404

    async def put(self, path: str, content: bytes) -> None:
        with _remote_errors(self.name):
            response = await self._client.put(path, content=content, headers={"Content-Type": _type(path)})
        if response.status_code not in _STORED:
            raise RemoteError(f"{self.name} answered {response.status_code} to a PUT", name="remote-failed")

    async def aclose(self) -> None:
        await self._client.aclose()


def _is_usable(url: str) -> bool:
    """Return whether a request can be sent to the URL: its host and its port are possible ones."""
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(is_whole) and not (parts.query or parts.fragment)


def _type(path: str) -> str:
    return _TYPES[path.partition("/")[0]]


@contextlib.contextmanager
def _remote_errors(name: str) -> Iterator[None]:
    """Turn httpx's errors into RemoteError without any part of the request."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise RemoteUnreachable(f"{name} can't be reached") from None
    except (TimeoutError, httpx.TimeoutException):
        raise RemoteUnreachable(f"{name} does not answer") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, OverflowError) as error:
        raise RemoteError(f"the connection to {name} failed: {type(error).__name__}") from None
