"""PNG verification: proves that bytes are one whole image, of a given size or of any.

The pixels are decompressed and counted, but neither computed nor kept. The only errors are BadImage and
its kind WrongSize.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NoReturn

from qwenbuild.errors import BadImage, WrongSize
from qwenbuild.request import Size

from .png_chunks import CRC, HEAD, IHDR, MAX_CHUNKS, SIGNATURE, Chunk, chunks

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # bits per sample, by colour type
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples per pixel, by colour type
_LAST_FILTER = 4
_PIECE = 1 << 20  # bytes; allocating memory for a whole image would take longer than decompressing
# The passes of an interlaced image: first column, first row, distance between columns, distance between rows.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_MOST_PIXELS = 1 << 26  # an image of another size than asked for is decoded, too; no model offers a tenth of this
_IHDR_HEAD = HEAD.pack(IHDR.size, b"IHDR")
_SIDES = struct.Struct(">II")
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


def size_of(png: bytes) -> Size:
    """Return the size of a PNG image by its header; raises BadImage if it has none."""
    if not png.startswith(SIGNATURE + _IHDR_HEAD) or len(png) < len(SIGNATURE) + HEAD.size + IHDR.size:
        _bad("the bytes are not a PNG image", f"length: {len(png)} bytes")
    return Size(*_SIDES.unpack_from(png, len(SIGNATURE) + len(_IHDR_HEAD)))


def verify(png: bytes, size: Size | None = None) -> int:
    """Raise BadImage unless `png` begins with one whole PNG image of `size` whose pixels can all be decoded.

    Without a `size`, the image may have any; see `size_of`.

    Return the length of the image in bytes: what follows is no part of it. An image with bytes behind its end was paid
    for all the same, so the caller cuts them off.

    Checks:
    - the CRC of every chunk, and that every critical chunk is known;
    - the dimensions, before anything is decompressed;
    - the order of the chunks, and the palette;
    - the pixel data: its length, its checksum, and the filter of each row.

    Nothing else can make decoding fail, so the pixels need not be computed. Of ancillary chunks only the CRC is
    checked: decoders may ignore them, and a paid image must not be lost because of a comment. So nothing of them is
    decompressed, and an animated image counts by its first picture.
    """
    all_chunks = list(chunks(png))
    for chunk in all_chunks:
        if not chunk.intact:
            _bad("the PNG is corrupt", f"wrong checksum in chunk: {chunk.kind.decode()}")
    rows, pixels = _structure(all_chunks, size)
    _check_pixels(b"".join(chunk.body for chunk in pixels), rows)
    return len(SIGNATURE) + sum(len(chunk.whole) for chunk in all_chunks)


def is_whole(png: bytes, size: Size) -> bool:
    """Return whether `png` is one image of `size` and nothing else, by its chunks: neither checksums nor pixels.

    For bytes that were verified once and have kept their digest since. A restore asks it of each image, so it is quick.
    """
    at, end, count, kind = len(SIGNATURE), len(png), 0, b""
    if not png.startswith(SIGNATURE + _IHDR_HEAD + _SIDES.pack(*size)):
        return False
    while at + HEAD.size <= end and kind != b"IEND" and count <= MAX_CHUNKS:
        length, kind = HEAD.unpack_from(png, at)
        at, count = at + HEAD.size + length + CRC.size, count + 1
    return kind == b"IEND" and at == end


def _structure(all_chunks: list[Chunk], size: Size | None) -> tuple[list[tuple[int, int]], list[Chunk]]:
    """Return (bytes per row, rows) of each pass, and the chunks with the compressed pixels; raises BadImage."""
    rows, palette = _header(all_chunks[0], size)
    kinds = [chunk.kind for chunk in all_chunks]
    for kind in set(kinds) - _CRITICAL:
        if kind[:1].isupper():
            _bad("the PNG can't be decoded", f"unknown critical chunk: {kind.decode()}")
    if kinds.count(b"IHDR") > 1:
        _bad("the PNG is corrupt", "it has two headers")
    if b"IDAT" not in kinds:
        _bad("the PNG has no pixels", "there is no IDAT chunk")
    first, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    if kinds[first : first + count] != [b"IDAT"] * count:
        _bad("the PNG is corrupt", "its pixel data is interrupted by other chunks")
    if palette:
        colours = [len(chunk.body) for chunk in all_chunks[:first] if chunk.kind == b"PLTE"]
        if len(colours) != 1 or colours[0] % 3 or not 3 <= colours[0] <= 768:
            _bad("the PNG is corrupt", "its palette is missing or malformed")
    return rows, all_chunks[first : first + count]


def _bad(claim: str, *facts: str) -> NoReturn:
    raise BadImage(claim, facts=facts)


def _header(chunk: Chunk, size: Size | None) -> tuple[list[tuple[int, int]], bool]:
    """Return (bytes per row, rows) of each pass, and whether pixels are palette indices; raises BadImage."""
    width, height, depth, colour, compression, filtering, interlace = IHDR.unpack(chunk.body)
    if size is not None and (width, height) != size:
        facts = [f"wanted: {size}", f"got:    {Size(width, height)}"]
        raise WrongSize("the image has the wrong size", facts=facts)
    if not 0 < width * height <= _MOST_PIXELS:
        _bad("the PNG is not an image that anybody asks for", f"its size: {Size(width, height)}")
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        _bad("the PNG is corrupt", "its header has an impossible bit depth, colour type or method")
    bits = depth * _SAMPLES[colour]
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    rows = []
    for left, top, across, down in passes:
        columns, count = -((left - width) // across), -((top - height) // down)
        if columns > 0 and count > 0:
            rows.append((1 + (columns * bits + 7) // 8, count))
    return rows, colour == 3


def _check_pixels(compressed: bytes, rows: list[tuple[int, int]]) -> None:
    """Check length, checksum and filters of the pixel data; `rows` are (bytes per row, rows) of each pass."""
    passes, wanted = [], 0  # (first byte, byte after the last, bytes per row) of each pass
    for stride, count in rows:
        passes.append((wanted, wanted + stride * count, stride))
        wanted += stride * count
    inflater, got = zlib.decompressobj(), 0
    try:
        # One byte more than wanted: so a bomb is noticed, and zlib reads up to the checksum.
        for raw in _inflated(inflater, compressed, wanted + 1):
            for begin, end, stride in passes:
                row = max(begin, begin - (begin - got) // stride * stride)  # the first row that begins in this piece
                if max(raw[row - got : max(0, end - got) : stride], default=0) > _LAST_FILTER:
                    _bad("the PNG is corrupt", "a row has an unknown filter type")
            got += len(raw)
    except zlib.error as error:
        _bad("the PNG is corrupt", f"its pixel data does not decompress: {error}")
    if got > wanted:
        _bad("the PNG is corrupt", "it holds more pixels than its header says")
    if got < wanted or not inflater.eof:
        _bad("the PNG is truncated", f"pixel data: {got} of {wanted} bytes")


def _inflated(inflater: zlib._Decompress, compressed: bytes, most: int) -> Iterator[bytes]:
    """Yield up to `most` decompressed bytes, in pieces small enough that their memory is reused; raises zlib.error."""
    for at in range(0, len(compressed), _PIECE):
        rest: bytes | memoryview = memoryview(compressed)[at : at + _PIECE]
        while most and not inflater.eof:
            raw = inflater.decompress(rest, min(most, _PIECE))
            most, rest = most - len(raw), inflater.unconsumed_tail
            yield raw
            if not rest and len(raw) < _PIECE:  # after a full piece, the inflater may hold more bytes
                break
