"""PNG chunks: splits the bytes of a PNG image into chunks, and packs new ones.

The bytes come from strangers. No memory is allocated for a declared length, and the only error is BadImage.

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

    Raises BadImage if `png` is not a PNG image, is truncated, or has bytes after IEND.
    """
    if not png.startswith(SIGNATURE):
        found = next((what for start, what in _OTHER_FORMATS if png.startswith(start)), "unknown bytes")
        raise BadImage(
            "the bytes are not a PNG image",
            facts=[f"found: {found if png else 'nothing'}", f"length: {len(png)} bytes"],
        )
    view, at = memoryview(png), len(SIGNATURE)
    kind = b""
    while kind != b"IEND":
        end = at
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
    if at != len(png):
        raise BadImage(
            "there are bytes after the end of the PNG", facts=[f"length: {len(png)} bytes, the image ends at {at}"]
        )


def packed(kind: bytes, body: bytes) -> bytes:
    """Return a chunk as bytes, with length and checksum."""
    return HEAD.pack(len(body), kind) + body + CRC.pack(zlib.crc32(body, zlib.crc32(kind)))
