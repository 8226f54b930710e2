"""PNG chunks: splits the bytes of a PNG image into chunks, and packs new ones.

The bytes come from strangers. No memory is allocated for a declared length, the number of chunks has a limit, and the
only error is BadImage.

The format is that of the W3C's PNG specification, third edition (2025-06-24).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from qwenbuild.errors import BadImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD = struct.Struct(">I4s")
"""The head of a chunk: the length of its body in bytes, and its kind."""
CRC = struct.Struct(">I")
"""The checksum after a chunk's body; the checksum covers kind and body."""
IHDR = struct.Struct(">IIBBBBB")
"""The body of the first chunk: width, height, bit depth, colour type, compression, filter method, interlace method."""

MAX_CHUNKS = 50_000
"""The most chunks of an image. Pixels of 64 MiB have 8,192 in libpng's pieces; millions of chunks take all memory."""

_OTHER_FORMATS = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image"),
    (b"<", "a web page or XML: an error page?"),
    (b"{", "JSON: an error message?"),
)


class Chunk(NamedTuple):
    """One chunk; `whole` has length, kind, body and CRC."""

    kind: bytes
    body: memoryview
    whole: memoryview

    @property
    def intact(self) -> bool:
        """Whether the CRC matches."""
        return CRC.pack(zlib.crc32(self.whole[4:-4])) == self.whole[-4:]


def chunks(png: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG image, from IHDR to IEND, without checking their checksums.

    Bytes after IEND are no part of the image, and decoders do not look at them. Raises BadImage if `png` is not a PNG
    image, is truncated, or has more than `MAX_CHUNKS`.
    """
    if not png.startswith(SIGNATURE):
        found = next((what for start, what in _OTHER_FORMATS if png.startswith(start)), "unknown bytes")
        raise BadImage(
            "the bytes are not a PNG image",
            facts=[f"found: {found if png else 'nothing'}", f"length: {len(png)} bytes"],
        )
    view, at = memoryview(png), len(SIGNATURE)
    kind, count = b"", 0
    while kind != b"IEND":
        end, count = at, count + 1
        if count > MAX_CHUNKS:
            raise too_many()
        if at + HEAD.size <= len(png):
            length, kind = HEAD.unpack_from(png, at)
            if not kind.isalpha():
                raise BadImage("the PNG is corrupt", facts=[f"no chunk begins at byte {at}"])
            if (at == len(SIGNATURE)) != (kind == b"IHDR" and length == IHDR.size):
                raise BadImage("the PNG is corrupt", facts=["it must have exactly one header, at the start"])
            end = at + HEAD.size + length + CRC.size
        if not at < end <= len(png):
            raise BadImage("the PNG is truncated", facts=[f"length: {len(png)} bytes", "its end (IEND) is missing"])
        yield Chunk(kind, view[at + HEAD.size : end - CRC.size], view[at:end])
        at = end


def too_many() -> BadImage:
    """Return the error of an image with too many chunks."""
    return BadImage("the PNG is not an image that anybody draws", facts=[f"it has more than {MAX_CHUNKS:,} chunks"])


def packed(kind: bytes, body: bytes) -> bytes:
    """Return a chunk as bytes, with length and checksum."""
    return HEAD.pack(len(body), kind) + body + CRC.pack(zlib.crc32(body, zlib.crc32(kind)))
