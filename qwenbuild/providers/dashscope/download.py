"""Downloads: fetches an image from an allowed host over https, and verifies the image.

Invariants:
- An image is returned only after `png.verify` accepted it.
- A request goes only to the host that the link names, and carries no credentials.
- No error shows the link, because the link gives access to the image.

Source: Qwen-Image API reference of 2026-02-10, section on access to images: images lie on `*.aliyuncs.com`
hosts, and links are valid for 24 hours.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

import httpx

from qwenbuild.emulation import HEADER
from qwenbuild.errors import BadImage
from qwenbuild.files import png

from ..exchange import TRANSPORT_FAULTS
from ..masking import Mask
from ..retrying import Tell, silent
from . import wire
from .endpoint import Endpoint
from .retry import retrying

MAX_BYTES: Final = 64 * 2**20  # a 2048 x 2048 RGBA image is 16 MiB before compression
_MOST_REDIRECTS: Final = 3
_GATEWAY: Final = "a gateway in between may have changed the link: ask who runs it, then build again"
_PORTS: Final = {"https": 443, "http": 80}
_PAID: Final = "it was rendered and billed: the next build downloads it again, for 24 hours"


class LinkDead(BadImage):
    """The storage says that the link has expired or that the image is gone. Other attempts follow nevertheless."""

    name = "image-expired"


class _Expired(LinkDead):
    """The expiry time in the link is over, so another attempt can't succeed."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Image:
    """A verified image, and the host that served it. `is_emulated`: the answer has the mark of an emulator."""

    png: bytes = field(repr=False)
    host: str
    is_emulated: bool = False


class Downloads:
    """Downloads images with one httpx client."""

    def __init__(
        self, client: httpx.AsyncClient, endpoint: Endpoint, hosts: Sequence[str], first_wait_s: float, read_s: float,
        whole_s: float, mask: Mask | None = None,
    ) -> None:  # fmt: skip
        """`hosts` are host names, or `*.` and a domain. The endpoint's own host is allowed as well.

        In seconds: `first_wait_s` the first wait before another attempt, `read_s` the longest silence
        within a download, `whole_s` the longest download, redirects included. A slower one is stopped and tried again.
        `mask` hides the key in what a server says: a gateway that serves the images knows the key, too.
        """
        self._hide: Callable[[str], str] = mask.text if mask else str
        self._client = client
        self._own = _origin(urlsplit(endpoint.base_url))
        self._hosts = tuple(hosts)
        self._first_wait_s = first_wait_s
        self._whole_s = whole_s
        self._timeout = httpx.Timeout(read_s, connect=15.0, pool=None)

    async def image(self, url: str, tell: Tell = silent) -> Image:
        """Return the image at `url`, of whatever size. `tell` is called before each further attempt.

        Raises BadImage after several failed attempts; the BadImage is a LinkDead if the image is gone.
        """
        url = url.strip()
        parts = self._allowed(f"https:{url}" if url.startswith("//") else url)
        async for attempt in retrying(self._first_wait_s, tell=tell):
            with attempt:
                image = await self._masked(parts.geturl())
                # Decoding takes tens of milliseconds, which would block the event loop.
                await asyncio.to_thread(_verify, image.png, image.host)
        return image

    def _allowed(self, url: str) -> SplitResult:
        """Return the parts of `url`, over https for a listed host. Raises BadImage if the link can't be used."""
        try:
            parts = urlsplit(url)
            host, origin = parts.hostname or "", _origin(parts)
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL) as error:  # a port out of range, a host that no name server can know
            raise _unusable(f"it is no address: {str(error)[:100]}") from None
        if not host:
            scheme = f"begins with {parts.scheme}:" if parts.scheme else "names no host"
            raise _unusable(f"it {scheme[:40]}")
        if origin == self._own:
            return parts
        if parts.scheme not in ("https", "http"):
            raise _unusable(f"its scheme is {parts.scheme[:40]}, not https")
        if parts.username is not None or parts.password is not None:
            raise _unusable("it holds a user name or a password")
        if origin[2] != _PORTS[parts.scheme]:
            raise _unusable(f"it leads to port {origin[2]} of {host}")
        if not any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self._hosts):
            raise _Forbidden(
                "the image's link leads to a host that is not allowed",
                facts=[f"host: {host}", _PAID],
                hint=f'allow the host: [providers.dashscope] download_hosts = ["*.aliyuncs.com", "{host}"]',
            )
        # The service hands out http links, too. A signature does not cover the scheme.
        return parts._replace(scheme="https", netloc=host)

    async def _masked(self, url: str) -> Image:
        """Do what `_fetch` does; no error holds the key."""
        try:
            return await self._fetch(url)
        except BadImage as bad:
            error = type(bad)(bad.claim, facts=[self._hide(fact) for fact in bad.facts], hint=bad.hint)
        raise error

    async def _fetch(self, url: str) -> Image:
        """Return what is at `url`, not verified, within `whole_s`. Follows redirects within the host only."""
        host = urlsplit(url).hostname  # redirects keep it
        try:
            async with asyncio.timeout(self._whole_s):
                for _ in range(_MOST_REDIRECTS + 1):
                    # A compressed answer of a few bytes could expand to gigabytes.
                    request = self._client.build_request(
                        "GET", url, headers={"Accept-Encoding": "identity"}, timeout=self._timeout
                    )
                    response = await self._client.send(request, stream=True)
                    try:
                        if not response.has_redirect_location:
                            return await _read(response, url)
                        url = self._redirected(url, response.headers["Location"])
                    finally:
                        await response.aclose()
            said = "it redirects again and again"
        except TimeoutError:
            said = f"not complete after {self._whole_s:g} s"
        except TRANSPORT_FAULTS as error:
            said = f"{type(error).__name__}: {error}"
        # Raised outside the handlers, so that httpx's error is not attached as context.
        raise _bad(f"the image could not be downloaded from {host}", said)

    def _redirected(self, url: str, location: str) -> str:
        """Return the URL that `url` redirects to. Raises BadImage if that is on another host."""
        here = urlsplit(url)
        try:
            there = urlsplit(urljoin(url, location))
            if _origin(there) == _origin(here):
                return there.geturl()
            host = there.hostname
        except ValueError:
            host = None
        raise _bad(
            "the image's link redirects to another host, which was not followed",
            f"from {here.hostname} to {host or 'nowhere'}",
        )


class _Forbidden(BadImage):
    """The link can't be used. Another attempt changes nothing."""

    name = "download-failed"
    retryable = False


def _unusable(why: str) -> _Forbidden:
    return _Forbidden("the image's link can't be used", facts=[why, _PAID], hint=_GATEWAY)


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    """Return scheme, host and port. Raises ValueError for an invalid port."""
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


async def _read(response: httpx.Response, url: str) -> Image:
    """Return the body of a complete answer, not verified. Raises BadImage."""
    host = response.url.host
    if response.status_code != 200:
        said = await _beginning(response)
        dead = _dead_link(response.status_code, said, url)
        if dead:
            told = f": {words}" if (words := _words(said)) else ""
            raise dead(f"{host} says that the image's link is dead", facts=[f"status {response.status_code}{told}"])
        told = f": {said}" if (said := _words(said)) else ""
        hint = f"build again later; if the answer stays the same, ask whoever runs {host}"
        raise _bad(f"{host} did not deliver the image", f"status {response.status_code}{told}", hint)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _bad(f"{host} sent the image compressed", f"Content-Encoding: {response.headers['Content-Encoding']}")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise _bad(f"{host} sent more than an image can be", f"more than {MAX_BYTES:,} bytes")
    return Image(bytes(content), urlsplit(url).hostname or "", HEADER in response.headers)


async def _beginning(response: httpx.Response) -> str:
    async for chunk in response.aiter_raw(4096):
        return wire.decoded(chunk)
    return ""


def _words(said: str) -> str:
    """Return what the storage says: its code and message, else the beginning of the page."""
    parts = [re.search(rf"<{name}>([^<]{{1,200}})</{name}>", said) for name in ("Code", "Message")]
    return wire.excerpt(": ".join(found[1] for found in parts if found) or said)


def _dead_link(status: int, said: str, url: str) -> type[LinkDead] | None:
    """Return the error for a link that a storage calls expired or gone; None if the status or text means neither."""
    expires = parse_qs(urlsplit(url).query).get("Expires", [""])[0]
    if status == 403 and expires.isascii() and expires.isdecimal() and float(expires) < time.time():
        return _Expired
    return LinkDead if status in (404, 410) or (status == 403 and "expired" in said.lower()) else None


def _verify(content: bytes, host: str) -> None:
    try:
        png.verify(content)
    except BadImage as error:
        facts = [*error.facts, f"downloaded from {host}", _PAID]
        hint = error.hint or f"build again; does a proxy or gateway between here and {host} change what it passes on?"
        raise type(error)(error.claim, facts=facts, hint=hint) from None


def _bad(claim: str, fact: str, hint: str = "is the network in order? Build again") -> BadImage:
    return BadImage(claim, facts=[fact, _PAID], hint=hint, name="download-failed")
