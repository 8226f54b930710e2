from __future__ import annotations

import zlib

import pytest
from hypothesis import given

from qwenbuild.errors import BadImage
from qwenbuild.files.png_chunks import chunks, packed
from tests.support import pngs
from tests.support.pngs import CHUNKS, Chunk, image, pack


@given(CHUNKS)
def test_chunks_are_those_that_were_packed(extra: list[Chunk]) -> None:
    """Kinds and bodies are read back in order. The signature and the whole chunks together are the file."""
    whole = [chunk for chunk in image(*extra) if chunk[0] != b"IHDR" and chunk[0] != b"IEND"]
    written = [pngs.header(), *whole, (b"IEND", b"")]
    content = pack(written)
    found = list(chunks(content))
    assert [(chunk.kind, bytes(chunk.body)) for chunk in found] == written
    assert pngs.SIGNATURE + b"".join(chunk.whole for chunk in found) == content
    assert all(chunk.intact for chunk in found)


def test_a_chunk_with_a_wrong_checksum_is_not_intact() -> None:
    """Only the chunk with the wrong checksum is not intact."""
    content = pack(image((b"tEXt", b"Comment\0text")))
    found = list(chunks(content.replace(b"text", b"test")))
    assert [chunk.kind for chunk in found if not chunk.intact] == [b"tEXt"]


def test_a_packed_chunk_has_length_and_checksum() -> None:
    """The checksum covers kind and body."""
    assert packed(b"tEXt", b"a\0b") == b"\0\0\0\x03tEXta\0b" + zlib.crc32(b"tEXta\0b").to_bytes(4, "big")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "error: the bytes are not a PNG image\n  = found: nothing\n  = length: 0 bytes"),
        (
            b"GIF89a",
            "error: the bytes are not a PNG image\n  = found: a GIF image\n  = length: 6 bytes",
        ),
        (
            pack(image())[:-4],
            f"error: the PNG is truncated\n  = length: {len(pack(image())) - 4} bytes\n  = its end (IEND) is missing",
        ),
        (pack(image()[1:]), "error: the PNG is corrupt\n  = it must have exactly one header, at the start"),
        (pack([pngs.header(), (b"\0\0\0\0", b"")]), "error: the PNG is corrupt\n  = no chunk begins at byte 33"),
    ],
)
def test_bytes_that_are_not_a_whole_png_are_refused(content: bytes, message: str) -> None:
    """The message says what the bytes are, or what is missing."""
    with pytest.raises(BadImage) as caught:
        list(chunks(content))
    assert str(caught.value) == message
