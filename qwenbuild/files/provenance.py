"""The provenance of an image: a text chunk inside its PNG.

The pixels are never encoded again. Chunks of other programs are kept byte for byte. Equal arguments give equal bytes.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

from qwenbuild.digest import canonical_json
from qwenbuild.errors import BadImage

from . import regular
from .png_chunks import CRC, HEAD, MAX_CHUNKS, SIGNATURE, Chunk, chunks, packed, too_many

KEYWORD = "qwenbuild"
"""Keyword of the iTXt chunk that holds the provenance as canonical JSON."""

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""The source that the XMP packet states: a trained model (IPTC NewsCodes, Digital Source Type)."""

MAX_PROVENANCE_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 28

_OWN = KEYWORD.encode() + b"\0"
_TEXT_KINDS = frozenset({b"iTXt", b"tEXt", b"zTXt"})
_MAX_KEYWORD = 79
_MOST_TRIED = 8  # texts with a keyword of ours that are looked into: each may be a bomb

_XMP_KEYWORD = "XML:com.adobe.xmp"
_XMP_PROPERTIES = {
    "CreatorTool": f'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="{KEYWORD}"',
    "DigitalSourceType": 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"',
}
_XMP_END = "</rdf:RDF>"
# `end="r"`: the packet is read-only: an edit in place would make the chunk's CRC wrong.
_XMP_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    f'{_XMP_END}</x:xmpmeta><?xpacket end="r"?>'
)


def with_provenance(png: bytes, provenance: Mapping[str, Any]) -> bytes:
    """Return `png` with two iTXt chunks before the pixels: the provenance and an XMP packet.

    `provenance` is JSON-ready; its chunk replaces an earlier one. The XMP packet names a trained model as the source.
    If `png` has a packet already, the packet is kept and extended, because services write labels there (GB 45438-2025).

    Provenance over MAX_PROVENANCE_BYTES is written, but the readers below return None for it. Raises BadImage if `png`
    is not a sequence of chunks with pixels; ValueError and TypeError as `canonical_json` does.
    """
    text = canonical_json(dict(provenance))
    packet, tried = _XMP_EMPTY, 0
    kept: list[Chunk] = []
    for chunk in chunks(png):
        keyword = _keyword(chunk)
        if keyword == _XMP_KEYWORD:
            tried += 1
            packet = (_packet(chunk) if tried <= _MOST_TRIED else None) or packet
        elif keyword != KEYWORD:
            kept.append(chunk)
    first = next((at for at, chunk in enumerate(kept) if chunk.kind == b"IDAT"), None)
    if first is None:
        raise BadImage("the PNG has no pixels", facts=["there is no IDAT chunk"])
    own = (_text_chunk(KEYWORD, text), _text_chunk(_XMP_KEYWORD, _labelled(packet).encode()))
    before, after = kept[:first], kept[first:]
    return b"".join((SIGNATURE, *(chunk.whole for chunk in before), *own, *(chunk.whole for chunk in after)))


def read_provenance(png: bytes) -> dict[str, Any] | None:
    """Return the provenance that `with_provenance` put into `png`; None if there is no valid provenance.

    Raises BadImage if there are too many chunks.
    """
    return _scan(io.BytesIO(png))


def read_provenance_file(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the provenance of the PNG file at `path`, or None, without reading its pixels.

    Raises OSError, also if it is no regular file or larger than `MAX_FILE_BYTES`, and BadImage as `read_provenance`.
    """
    with regular.opened(path, MAX_FILE_BYTES) as file:
        return _scan(file)


def _keyword(chunk: Chunk) -> str | None:
    """Return the keyword of a text chunk; None for other chunks, and if the keyword has no end mark."""
    if chunk.kind not in _TEXT_KINDS:
        return None
    keyword, end, _ = bytes(chunk.body[: _MAX_KEYWORD + 1]).partition(b"\0")
    return keyword.decode("latin-1") if end else None


def _text_chunk(keyword: str, text: bytes) -> bytes:
    not_compressed_no_language = b"\0\0\0\0\0"
    return packed(b"iTXt", keyword.encode("latin-1") + not_compressed_no_language + text)


def _international_text(body: bytes, keyword: str) -> str | None:
    """Return the text of an iTXt chunk with this keyword, compressed or not; None for anything else."""
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


def _packet(chunk: Chunk) -> str | None:
    """Return the XMP packet of a text chunk; None if it can't be extended."""
    text = _international_text(bytes(chunk.body), _XMP_KEYWORD) if chunk.kind == b"iTXt" else None
    return text if text is not None and _XMP_END in text else None


def _labelled(packet: str) -> str:
    """Return the packet with its missing properties added."""
    missing = [attributes for name, attributes in _XMP_PROPERTIES.items() if name not in packet]
    if not missing:
        return packet
    before, end, after = packet.rpartition(_XMP_END)
    return f'{before}<rdf:Description rdf:about="" {" ".join(missing)}/>{end}{after}'


def _scan(file: BinaryIO) -> dict[str, Any] | None:
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return None
    tried = 0
    for _ in range(MAX_CHUNKS):
        head = file.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        length, kind = HEAD.unpack(head)
        if kind == b"IEND":
            return None
        if kind != b"iTXt" or length > MAX_PROVENANCE_BYTES + 1024 or tried == _MOST_TRIED:
            file.seek(length + CRC.size, os.SEEK_CUR)
            continue
        body, crc = file.read(length), file.read(CRC.size)
        if not body.startswith(_OWN):
            continue
        tried += 1
        if crc == CRC.pack(zlib.crc32(body, zlib.crc32(kind))):
            provenance = _parsed(_international_text(body, KEYWORD))
            if provenance is not None:
                return provenance
    raise too_many()


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
