"""The null provider: plain images of the requested size, at no cost and nearly at once.

For trying pipelines and for benchmarks. The colour is taken from the action key, so that images
are told apart; the bytes are made without any image library.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

from qwenbuild.errors import UsageError
from qwenbuild.provider import Journal, Price, Rendered, Settings, reject_unknown
from qwenbuild.request import Request, Size


class NullProvider:
    """Renders plain images. `[providers.null] latency_s` makes each render take so many seconds."""

    name = "null"
    family = "null-1"
    command_line_options = ()
    labelled = False

    def __init__(self, settings: Settings) -> None:
        reject_unknown(settings.table, ("latency_s",), self.name)
        latency_s = settings.table.get("latency_s", 0.0)
        number = isinstance(latency_s, int | float) and not isinstance(latency_s, bool)
        if not number or not 0 <= latency_s < math.inf:
            raise UsageError(f"[providers.null] latency_s = {latency_s!r} is no number of seconds")
        self._latency_s = float(latency_s)
        self.concurrency = settings.jobs or os.cpu_count() or 1

    def check(self, model: str) -> str | None:
        """Return None: all models will do."""
        return None

    def price(self, model: str) -> Price | None:
        """Return None: it is free."""
        return None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return the time that the latency alone takes."""
        return math.ceil(sum(renders.values()) / self.concurrency) * self._latency_s

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Nothing is needed."""
        yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the plain image."""
        if self._latency_s:
            import asyncio  # here, for plans need a provider and no event loop

            await asyncio.sleep(self._latency_s)
        colour = bytes.fromhex(request.key[:6])
        return Rendered(plain(request.size, colour), verified=True)


def plain(size: Size, colour: bytes) -> bytes:
    """Return a PNG of one colour, three bytes of red, green and blue."""
    header = struct.pack(">IIBBBBB", size.width, size.height, 1, 3, 0, 0, 0)  # 1 bit a pixel, by a palette
    chunks = ((b"IHDR", header), (b"PLTE", colour), (b"IDAT", _pixels(size)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


@lru_cache(maxsize=64)
def _pixels(size: Size) -> bytes:
    row = b"\0" * (1 + (size.width + 7) // 8)  # the filter's type, then the palette's first colour
    return zlib.compress(row * size.height, 9)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
