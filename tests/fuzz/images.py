"""Images: PNGs of chunks that are repeated, mixed and mutated, and the provenance in them."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from qwenbuild.errors import BadImage
from qwenbuild.files.png import verify
from qwenbuild.files.provenance import read_provenance, read_provenance_file, with_provenance
from tests.support.pngs import SIZE, Chunk, bomb, image, pack

from .mutation import json_values, mutated_bytes
from .target import Check, Target

_BOMB = bomb(20)
_BODIES = [
    b"", b"qwenbuild\0\0\0\0\0{}", b'qwenbuild\0\0\0\0\0{"a": 1}', b"qwenbuild\0\1\0\0\0" + _BOMB,
    b"qwenbuild\0\0" + _BOMB,
    b"XML:com.adobe.xmp\0\0\0\0\0<rdf:RDF></rdf:RDF>", b"XML:com.adobe.xmp\0\1\0\0\0" + _BOMB, b"icc\0\0" + _BOMB,
    b"qwenbuild\0\0\0\0\0" + b"[" * 100_000, b"qwenbuild\0\0\0\0\0{\"a\": " + b"9" * 5000 + b"}",
    struct.pack(">IIBBBBB", 5, 4, 8, 2, 0, 0, 1), struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0),
    b"\0" * 768,
]  # fmt: skip
_kinds = st.sampled_from([b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tRNS", b"acTL",
                          b"fdAT",
                          b"eXIf", b"caBX", b"zzZz", b"ZZZZ", b"\0\0\0\0"])  # fmt: skip
_chunks = st.tuples(_kinds, st.sampled_from(_BODIES) | st.binary(max_size=40))


@st.composite
def _pngs(draw: st.DrawFn) -> bytes:
    """Draw a sound image with some chunks added, repeated and shuffled, then mutated."""
    chunks: list[Chunk] = image()
    for chunk in draw(st.lists(_chunks, max_size=4)):
        chunks.insert(draw(st.integers(0, len(chunks))), chunk)
    if draw(st.integers(0, 5)) == 0:
        random.Random(draw(st.integers(0, 99))).shuffle(chunks)
    if draw(st.integers(0, 9)) == 0:
        chunks[-1:-1] = [(b"teXt", b"")] * 20_000
    content = pack(chunks)
    return (
        draw(mutated_bytes(content)) if draw(st.booleans()) else content + draw(st.sampled_from([b"", b"", b"\0" * 99]))
    )


@contextmanager
def _opened(folder: Path) -> Iterator[Check]:
    path = folder / "a.png"

    def check(drawn: tuple[bytes, dict[str, Any]]) -> None:
        """An image is verified or refused, and an image with provenance gives the provenance back."""
        content, provenance = drawn
        path.write_bytes(content)
        found = read_provenance(content)
        assert (found is None or isinstance(found, dict)) and repr(read_provenance_file(path)) == repr(found)
        try:
            verify(content, SIZE)
        except BadImage as error:
            assert 0 < len(str(error)) < 10_000
            return
        try:
            marked = with_provenance(content, provenance)
        except (ValueError, TypeError):  # the provenance is not JSON
            return
        verify(marked, SIZE)
        assert with_provenance(marked, provenance) == marked

    yield check


_provenances = st.dictionaries(st.text(max_size=5), json_values, max_size=3)
TARGET = Target("png", "PNG images and their provenance", st.tuples(_pngs(), _provenances), _opened, 130)
