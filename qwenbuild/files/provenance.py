"""The provenance inside a PNG: written to a text chunk, and read back."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

from qwenbuild.digest import canonical_json

from .png import _CRC, _HEAD, _SIGNATURE, _bad, _Chunk, _chunks

KEYWORD = "qwenbuild"
"""Keyword of the iTXt chunk that holds the provenance as canonical JSON."""


DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""What the XMP packet says of the image: made by a trained model (IPTC NewsCodes, Digital Source Type)."""


MAX_PROVENANCE_BYTES = 16 * 1024 * 1024


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
