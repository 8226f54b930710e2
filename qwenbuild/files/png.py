"""The PNG container: proves that bytes are the image that was asked for, and carries provenance inside them.

Invariants: no image is ever re-encoded; equal arguments give equal bytes; chunks that are not
qwenbuild's own stay byte for byte. Bytes come from strangers: nothing is allocated on the word of
a declared length, and the only error is BadImage.

The format is that of the W3C's PNG specification, third edition (2025-06-24).
"""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, NoReturn

from qwenbuild.digest import canonical_json
from qwenbuild.errors import BadImage
from qwenbuild.request import Size

KEYWORD = "qwenbuild"
"""Keyword of the iTXt chunk that holds the provenance as canonical JSON."""

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""What the XMP packet says of the image: made by a trained model (IPTC NewsCodes, Digital Source Type)."""

MAX_PROVENANCE_BYTES = 16 * 1024 * 1024

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
_TEXT = frozenset({b"iTXt", b"tEXt", b"zTXt"})
_MAX_KEYWORD = 79
_MAX_CHUNKS = 100_000  # a hostile file of empty chunks must not keep `show` busy

_XMP_KEYWORD = "XML:com.adobe.xmp"
_XMP_PROPERTIES = {
    "CreatorTool": f'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="{KEYWORD}"',
    "DigitalSourceType": 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"',
}
_XMP_END = "</rdf:RDF>"
# `end="r"`: an editor must not change the packet in place, the chunk's CRC would no longer fit.
_XMP_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    f'{_XMP_END}</x:xmpmeta><?xpacket end="r"?>'
)

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


def with_provenance(png: bytes, provenance: Mapping[str, Any]) -> bytes:
    """Return `png` with `provenance` (JSON-ready) and an XMP packet that names a trained model as its source.

    Both are iTXt chunks before the first IDAT: `qwenbuild` with canonical JSON, replacing what had
    that keyword, and the XMP packet. A packet that is already there (services label their images
    in it, as China's GB 45438-2025 demands) is kept; what it does not state yet is added to it.

    Provenance over MAX_PROVENANCE_BYTES is written, but not read again. Raises BadImage where
    `png` is not a sequence of chunks with pixels; ValueError and TypeError as `canonical_json` does.
    """
    text = canonical_json(dict(provenance))
    packet = _XMP_EMPTY
    kept: list[_Chunk] = []
    for chunk in _chunks(png):
        keyword = _keyword(chunk)
        if keyword == _XMP_KEYWORD:
            packet = _packet(chunk) or packet
        elif keyword != KEYWORD:
            kept.append(chunk)
    first = next((at for at, chunk in enumerate(kept) if chunk.kind == b"IDAT"), None)
    if first is None:
        _bad("the PNG has no pixels", "there is no IDAT chunk")
    ours = (_text_chunk(KEYWORD, text), _text_chunk(_XMP_KEYWORD, _labelled(packet).encode()))
    before, after = kept[:first], kept[first:]
    return b"".join((_SIGNATURE, *(c.whole for c in before), *ours, *(c.whole for c in after)))


def read_provenance(png: bytes) -> dict[str, Any] | None:
    """Return what `with_provenance` put into `png`, or None where nothing intact is found. Never raises."""
    return _scan(io.BytesIO(png))


def read_provenance_file(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the provenance in the PNG at `path` without reading its pixels, or None; raises OSError."""
    with open(path, "rb") as file:
        return _scan(file)


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


def _keyword(chunk: _Chunk) -> str | None:
    """Return the keyword of a text chunk, None for other chunks, and for one whose keyword has no end."""
    if chunk.kind not in _TEXT:
        return None
    keyword, end, _ = bytes(chunk.body[: _MAX_KEYWORD + 1]).partition(b"\0")
    return keyword.decode("latin-1") if end else None


def _text_chunk(keyword: str, text: bytes) -> bytes:
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text  # not compressed, no language
    return _CRC.pack(len(body) - 4) + body + _CRC.pack(zlib.crc32(body))


def _international_text(body: bytes, keyword: str) -> str | None:
    """Return the text of an iTXt chunk that has this keyword, compressed or not; None for anything else."""
    found, _, rest = body.partition(b"\0")
    if found != keyword.encode("latin-1") or rest[:2] not in (b"\0\0", b"\1\0"):
        return None
    text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if rest[0]:
        inflater = zlib.decompressobj()
        try:
            text = inflater.decompress(text, MAX_PROVENANCE_BYTES)
        except zlib.error:
            return None
        if not inflater.eof:
            return None
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None


def _packet(chunk: _Chunk) -> str | None:
    """Return the XMP packet of a text chunk, None where it is none that could be added to."""
    text = _international_text(bytes(chunk.body), _XMP_KEYWORD) if chunk.kind == b"iTXt" else None
    return text if text is not None and _XMP_END in text else None


def _labelled(packet: str) -> str:
    """Return the packet with those of our properties that it does not state yet."""
    missing = [attributes for name, attributes in _XMP_PROPERTIES.items() if name not in packet]
    if not missing:
        return packet
    before, end, after = packet.rpartition(_XMP_END)
    return f'{before}<rdf:Description rdf:about="" {" ".join(missing)}/>{end}{after}'


def _scan(file: BinaryIO) -> dict[str, Any] | None:
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return None
    for _ in range(_MAX_CHUNKS):
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, kind = _HEAD.unpack(head)
        if kind == b"IEND":
            return None
        if kind != b"iTXt" or length > MAX_PROVENANCE_BYTES + 1024:
            file.seek(length + _CRC.size, os.SEEK_CUR)
            continue
        body, crc = file.read(length), file.read(_CRC.size)
        if crc == _CRC.pack(zlib.crc32(body, zlib.crc32(kind))):
            provenance = _parsed(_international_text(body, KEYWORD))
            if provenance is not None:
                return provenance
    return None


def _parsed(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
