"""The PNG container: proves that bytes are the image that was asked for, and carries provenance inside them.

Invariants: no image is ever re-encoded; equal arguments give equal bytes; chunks that are not
qwenbuild's own stay byte for byte. Bytes come from strangers: nothing is allocated on the word of
a declared length, and the only error is BadImage.

The format is that of the W3C's PNG specification, third edition (2025-06-24).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from qwenbuild.errors import BadImage
from qwenbuild.request import Size

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">I4s")  # length of the body, kind
_CRC = struct.Struct(">I")
_IHDR = struct.Struct(">IIBBBBB")
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # bits a sample, by colour type
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples a pixel, by colour type
_LAST_FILTER = 4
_PIECE = 1 << 20  # bytes: memory for a whole image is new to the process each time, which costs more than inflating
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


_OTHER_FORMATS = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image"),
    (b"<", "a web page or XML: an error page?"),
    (b"{", "JSON: an error message?"),
)


class _Chunk(NamedTuple):
    kind: bytes
    body: memoryview
    whole: memoryview  # with length, kind and CRC


def verify(png: bytes, size: Size) -> None:
    """Return if `png` is one whole PNG image of `size`, all of whose pixels decode; raise BadImage otherwise.

    Checked are every chunk's CRC, the order of the chunks, the dimensions (before anything is
    decompressed), that the pixel data decompresses to exactly as many bytes as the dimensions
    need with its checksum right, that each row's filter is known, and that nothing follows.
    This is all that can go wrong in decoding pixels, so they need not be computed. What ancillary
    chunks say is not judged: decoders may ignore it, and an image that is paid for is not thrown
    away over a comment.
    """
    chunks = list(_chunks(png))
    for chunk in chunks:
        if zlib.crc32(chunk.whole[4:-4]) != _CRC.unpack(chunk.whole[-4:])[0]:
            _bad("the PNG is corrupt", f"checksum wrong in chunk: {chunk.kind.decode()}")
        if chunk.kind[:1].isupper() and chunk.kind not in _CRITICAL:
            _bad("the PNG needs a decoder's extension", f"unknown critical chunk: {chunk.kind.decode()}")
    rows, palette = _header(chunks[0], size)
    kinds = [chunk.kind for chunk in chunks]
    if kinds.count(b"IHDR") > 1:
        _bad("the PNG is corrupt", "it has two headers")
    if b"IDAT" not in kinds:
        _bad("the PNG has no pixels", "there is no IDAT chunk")
    first, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    if kinds[first : first + count] != [b"IDAT"] * count:
        _bad("the PNG is corrupt", "its pixel data is interrupted by other chunks")
    if palette:
        colours = [len(chunk.body) for chunk in chunks[:first] if chunk.kind == b"PLTE"]
        if len(colours) != 1 or colours[0] % 3 or not 3 <= colours[0] <= 768:
            _bad("the PNG is corrupt", "its palette is missing or malformed")
    _check_pixels(b"".join(chunk.body for chunk in chunks[first : first + count]), rows)


def _bad(claim: str, *facts: str, hint: str | None = None) -> NoReturn:
    raise BadImage(claim, facts=facts, hint=hint)


def _chunks(png: bytes) -> Iterator[_Chunk]:
    """Yield the chunks of a PNG from header to end, its checksums unread; raises BadImage."""
    if not png.startswith(_SIGNATURE):
        found = next((what for start, what in _OTHER_FORMATS if png.startswith(start)), "unknown bytes")
        _bad(
            "the bytes are not a PNG image",
            f"found: {found if png else 'nothing'}",
            f"length: {len(png)} bytes",
        )
    view, at = memoryview(png), len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        end = at
        if at + _HEAD.size <= len(png):
            length, kind = _HEAD.unpack_from(png, at)
            if not kind.isalpha():
                _bad("the PNG is corrupt", f"no chunk begins at byte {at}")
            if (at == len(_SIGNATURE)) != (kind == b"IHDR" and length == _IHDR.size):
                _bad("the PNG is corrupt", "it does not begin with one header")
            end = at + _HEAD.size + length + _CRC.size
        if not at < end <= len(png):
            _bad("the PNG is truncated", f"length: {len(png)} bytes", "its end (IEND) is missing")
        yield _Chunk(kind, view[at + _HEAD.size : end - _CRC.size], view[at:end])
        at = end
    if at != len(png):
        _bad("there are bytes after the end of the PNG", f"length: {len(png)} bytes, the image ends at {at}")


def _header(chunk: _Chunk, size: Size) -> tuple[list[tuple[int, int]], bool]:
    """Return (bytes a row, rows) of each pass, and whether pixels are palette indices; raises BadImage."""
    width, height, depth, colour, compression, filtering, interlace = _IHDR.unpack(chunk.body)
    if (width, height) != size:
        _bad("the image has the wrong size", f"wanted: {size}", f"got:    {Size(width, height)}")
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        _bad("the PNG is corrupt", "its header names a format that does not exist")
    bits = depth * _SAMPLES[colour]
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    rows = []
    for left, top, across, down in passes:
        columns, count = -((left - width) // across), -((top - height) // down)
        if columns > 0 and count > 0:
            rows.append((1 + (columns * bits + 7) // 8, count))
    return rows, colour == 3


def _check_pixels(compressed: bytes, rows: list[tuple[int, int]]) -> None:
    passes, wanted = [], 0  # of each pass: where its rows begin, where they end, bytes a row
    for stride, count in rows:
        passes.append((wanted, wanted + stride * count, stride))
        wanted += stride * count
    inflater, got = zlib.decompressobj(), 0
    try:
        # One byte more than wanted tells a bomb, and lets the stream come to its checksum.
        for raw in _inflated(inflater, compressed, wanted + 1):
            for begin, end, stride in passes:
                row = max(begin, begin - (begin - got) // stride * stride)  # the first that begins in these bytes
                if max(raw[row - got : max(0, end - got) : stride], default=0) > _LAST_FILTER:
                    _bad("the PNG is corrupt", "a row has a filter that does not exist")
            got += len(raw)
    except zlib.error as error:
        _bad("the PNG is corrupt", f"its pixel data does not decompress: {error}")
    if got > wanted:
        _bad("the PNG is corrupt", "it holds more pixels than its header says")
    if got < wanted or not inflater.eof:
        _bad("the PNG is truncated", f"pixel data: {got} of {wanted} bytes")


def _inflated(inflater: zlib._Decompress, compressed: bytes, most: int) -> Iterator[bytes]:
    """Yield up to `most` bytes in pieces that the system need not find new memory for each time; raises zlib.error."""
    for at in range(0, len(compressed), _PIECE):
        rest: bytes | memoryview = memoryview(compressed)[at : at + _PIECE]
        while most and not inflater.eof:
            raw = inflater.decompress(rest, min(most, _PIECE))
            most, rest = most - len(raw), inflater.unconsumed_tail
            yield raw
            if not rest and len(raw) < _PIECE:  # a full piece may have left some within
                break
