"""The null provider: makes plain images of the requested size, free and fast.

It serves for trials and benchmarks. The colour comes from the action key, so that images differ. The bytes
are made without an image library.
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
    """Renders plain images, with the request's label across them, if it has one.

    `[providers.null] latency_s` is how long each render takes, in seconds (default 0).
    """

    name = "null"
    family = "null-1"
    command_line_options = ()
    labelled = False

    def __init__(self, settings: Settings) -> None:
        reject_unknown(settings.table, ("latency_s",), self.name)
        latency_s = settings.table.get("latency_s", 0.0)
        number = isinstance(latency_s, int | float) and not isinstance(latency_s, bool)
        if not number or not 0 <= latency_s < math.inf:
            raise UsageError(
                f"[providers.null] latency_s = {latency_s!r} is not a number of seconds", name="wrong-setting"
            )
        self._latency_s = float(latency_s)
        self.concurrency = settings.jobs or os.cpu_count() or 1

    def check(self, model: str) -> str | None:
        """Return None: every model can be rendered."""
        return None

    def price(self, model: str) -> Price | None:
        """Return None: renders are free."""
        return None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return the time in seconds that the latency takes."""
        return math.ceil(sum(renders.values()) / self.concurrency) * self._latency_s

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Return an empty context: renders need no resources."""
        yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the plain image of a request."""
        if self._latency_s:
            import asyncio  # here, because a plan needs a provider but no event loop

            await asyncio.sleep(self._latency_s)
        colour = bytes.fromhex(request._replace(label="").key[:6])
        return Rendered(plain(request.size, colour, request.label), verified=True)


def plain(size: Size, colour: bytes, text: str = "") -> bytes:
    """Return a PNG of one colour, with a text across its middle. `colour` is three bytes: red, green, blue."""
    header = struct.pack(">IIBBBBB", size.width, size.height, 1, 3, 0, 0, 0)  # 1 bit a pixel, with a palette
    palette = colour + bytes((value + 128) % 256 for value in colour) if text else colour
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", _pixels(size, text)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


@lru_cache(maxsize=64)
def _pixels(size: Size, text: str) -> bytes:
    width = (size.width + 7) // 8  # of a row, in bytes
    rows = _written(size, text) if text else bytes(width * size.height)  # 0 is the first colour of the palette
    return zlib.compress(b"".join(b"\0" + rows[at : at + width] for at in range(0, len(rows), width)), 9)


def _written(size: Size, text: str) -> bytes:
    """Return the rows of an image with a text in its second colour, as wide as two thirds of the image."""
    from PIL import Image, ImageDraw, ImageFont  # here, because most null images have no text

    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    px = 100 * size.width * 2 / 3 / draw.textlength(text, ImageFont.load_default(100))
    middle = size.width / 2, size.height / 2
    draw.text(middle, text, 1, ImageFont.load_default(max(1.0, min(px, size.height / 2))), anchor="mm")
    return image.tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
