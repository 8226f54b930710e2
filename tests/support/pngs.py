"""PNG images under test: packed from chunks, unpacked into chunks, and decoded by Pillow."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Sequence

from hypothesis import strategies as st
from PIL import Image

from qwenbuild.files.provenance import with_provenance
from qwenbuild.providers.null import plain
from qwenbuild.request import Size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE = Size(5, 4)
Chunk = tuple[bytes, bytes]
"""Kind and body."""

CHUNKS = st.lists(
    st.tuples(st.sampled_from([b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tEXt", b"iTXt", b"caBX", b"zzZz"]),
              st.binary(max_size=30)),
    max_size=4,
)  # fmt: skip
"""Some chunks, also kinds that must not be repeated."""


def pack(chunks: Sequence[Chunk]) -> bytes:
    """Return the PNG file with these chunks, each with its right checksum."""
    whole = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return SIGNATURE + b"".join(whole)


def made_for(key: str, size: Size, colour: bytes = b"rgb") -> bytes:
    """Return an image as a build stores it for the request with this key."""
    return with_provenance(plain(size, colour), {"action_key": key})


def unpack(content: bytes) -> list[Chunk]:
    """Return the chunks of a PNG file."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += length + 12
    return chunks


def header(size: Size = SIZE, depth: int = 8, colour: int = 2, interlace: int = 0) -> Chunk:
    """Return an IHDR chunk."""
    return b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace)


def rows(size: Size = SIZE, pixel_bytes: int = 3, filter_type: int = 0) -> bytes:
    """Return the rows of an image of noise, not compressed."""
    noise = random.Random(1)
    return b"".join(bytes([filter_type]) + noise.randbytes(size.width * pixel_bytes) for _ in range(size.height))


def image(*extra: Chunk, raw: bytes | None = None) -> list[Chunk]:
    """Return the chunks of a sound image of `SIZE`; `extra` chunks follow its header."""
    data = zlib.compress(rows() if raw is None else raw)
    return [header(), *extra, (b"IDAT", data[:20]), (b"IDAT", data[20:]), (b"IEND", b"")]


def itxt(keyword: str, text: bytes, *, compressed: bool = False) -> Chunk:
    """Return an iTXt chunk."""
    content = zlib.compress(text) if compressed else text
    return b"iTXt", keyword.encode() + b"\0" + bytes([compressed, 0]) + b"\0\0" + content


def pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    """Return mode, size and pixels of a PNG file, as Pillow decodes them."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.mode, image.size, image.tobytes()


def bomb(megabytes: int) -> bytes:
    """Return what zlib makes of this many megabytes of zeros. Packing them takes seconds, so one block is repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", megabytes * 1_000_000 % 65521, 1)  # Adler-32 of zeros
    return b"\x78\xda" + block * megabytes + b"\x03\0" + checksum
