from __future__ import annotations

import io
import json
import os
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from qwenbuild.errors import BadImage
from qwenbuild.files import png, provenance
from qwenbuild.files.provenance import read_provenance, read_provenance_file, with_provenance
from tests.support.pngs import CHUNKS, SIGNATURE, SIZE, Chunk, bomb, header, image, itxt, pack, pixels, unpack

XMP = "XML:com.adobe.xmp"

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)
_PROVENANCE = st.dictionaries(_TEXT, _JSON, max_size=4)


def _xmp(content: bytes) -> str:
    (body,) = [body for kind, body in unpack(content) if kind == b"iTXt" and body.startswith(XMP.encode() + b"\0")]
    return body.split(b"\0", 5)[-1].decode()


def _properties(packet: str) -> dict[str, str]:
    """Return all attributes of the packet's descriptions, read by an XML parser."""
    tree = ElementTree.fromstring(packet)
    return {name: value for node in tree.iter() if node.tag.endswith("Description") for name, value in node.items()}


@given(_PROVENANCE, _PROVENANCE, CHUNKS, CHUNKS)
@example({}, {}, [], [(b"tEXt", b"qwenbuild")])  # a keyword without its end mark
def test_provenance_comes_back_and_the_rest_stays(
    provenance: dict[str, Any], older: dict[str, Any], before: list[Chunk], after: list[Chunk]
) -> None:
    """The new provenance replaces the older provenance, and all other chunks are kept in order."""
    extra = [chunk for chunk in before + after if chunk[0] not in (b"IHDR", b"IDAT", b"IEND", b"PLTE")]
    head, tail = extra[: len(before)], extra[len(before) :]
    chunks = image(*head)
    chunks[-1:-1] = tail
    original = pack(chunks)
    marked = with_provenance(with_provenance(original, older), provenance)
    assert read_provenance(marked) == provenance
    ours = (b"qwenbuild\0", XMP.encode() + b"\0")
    assert [(kind, body) for kind, body in unpack(marked) if not body.startswith(ours)] == chunks
    assert marked == with_provenance(original, provenance) == with_provenance(marked, provenance)


@given(_PROVENANCE)
def test_provenance_changes_no_pixel(provenance: dict[str, Any]) -> None:
    """The image with provenance passes `verify` and has the same pixels."""
    original = pack(image())
    marked = with_provenance(original, provenance)
    png.verify(marked, SIZE)
    assert pixels(marked) == pixels(original)


def test_provenance_stands_before_the_pixels_as_canonical_json() -> None:
    """Readers find the chunk before the pixels, and other tools see an ordinary text chunk."""
    marked = with_provenance(pack(image()), {"b": "海报", "a": 1})
    assert [kind for kind, _ in unpack(marked)] == [b"IHDR", b"iTXt", b"iTXt", b"IDAT", b"IDAT", b"IEND"]
    with Image.open(io.BytesIO(marked)) as opened:
        assert opened.info["qwenbuild"] == '{"a":1,"b":"海报"}'


def test_xmp_names_a_trained_model_as_the_source() -> None:
    """The packet is XML that states the IPTC's source type and the tool."""
    properties = _properties(_xmp(with_provenance(pack(image()), {})))
    assert properties == {
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about": "",
        "{http://ns.adobe.com/xap/1.0/}CreatorTool": "qwenbuild",
        "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType": (
            "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        ),
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_a_label_that_the_service_left_in_xmp_is_kept(compressed: bool) -> None:
    """An existing packet is extended once, compressed or not."""
    label = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" TC260:AIGC="{}"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="their tool"/></rdf:RDF></x:xmpmeta>'
    )
    original = pack(image(itxt(XMP, label.encode(), compressed=compressed)))
    once = with_provenance(original, {})
    properties = _properties(_xmp(once))
    assert properties["{http://www.tc260.org.cn/ns/AIGC/1.0/}AIGC"] == "{}"
    assert properties["{http://ns.adobe.com/xap/1.0/}CreatorTool"] == "their tool"
    assert (
        properties["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"] == provenance.DIGITAL_SOURCE_TYPE
    )
    assert with_provenance(once, {}) == once


def test_a_packet_that_is_no_xmp_is_replaced() -> None:
    """A broken XMP chunk is removed, and so are chunks of another kind with qwenbuild's keyword."""
    content = pack(image(itxt(XMP, b"\xff garbage"), (b"tEXt", b"qwenbuild\0x"), (b"zTXt", b"qwenbuild\0\0x")))
    assert with_provenance(content, {"a": 1}) == with_provenance(pack(image()), {"a": 1})


def test_no_provenance_is_none() -> None:
    """The provenance of an image without the chunk is None."""
    assert read_provenance(pack(image())) is None


_BOMB = bomb(200)


@pytest.mark.parametrize(
    "chunk",
    [
        itxt("qwenbuild", b"not JSON"),
        itxt("qwenbuild", b"[1, 2]"),
        itxt("qwenbuild", b'{"a": NaN}'),
        itxt("qwenbuild", b"\xff\xfe{\0}\0"),
        itxt("qwenbuild", b'{"a":' + b"[" * 200_000),
        itxt("qwenbuild", b'{"a":' + b"9" * 5000 + b"}"),
        (b"iTXt", b"qwenbuild"),
        (b"iTXt", b"qwenbuild\0"),
        (b"iTXt", b"qwenbuild\0\1\0\0\0not zlib"),
        (b"iTXt", b"qwenbuild\0\1\0\0\0" + zlib.compress(b'{"a": 1}')[:-3]),
        (b"iTXt", b"qwenbuild\0\1\0\0\0" + _BOMB),
        (b"iTXt", b"qwenbuild\0\2\0\0\0{}"),
        (b"zTXt", b"qwenbuild\0\0" + _BOMB),
        (b"tEXt", b"qwenbuild\0{}"),
    ],
    ids=range(14),
)
def test_hostile_provenance_is_none(chunk: Chunk) -> None:
    """Broken text, deep JSON, long numbers and bombs give None, and reading them takes little memory."""
    content = pack(image(chunk))
    tracemalloc.start()
    found = read_provenance(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is None
    assert peak < 4 * provenance.MAX_PROVENANCE_BYTES


def test_compressed_provenance_is_read() -> None:
    """Image optimisers compress text chunks; the provenance is still read."""
    content = pack(image(itxt("qwenbuild", b'{"a":1}', compressed=True)))
    assert read_provenance(content) == {"a": 1}


def test_provenance_with_a_wrong_checksum_is_none() -> None:
    """Provenance is not returned if the chunk's checksum is wrong."""
    content = with_provenance(pack(image()), {"seed": 1})
    assert read_provenance(content.replace(b'{"seed":1}', b'{"seed":7}')) is None


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 20 * 1024 * 1024])
@pytest.mark.parametrize("kind", [b"iTXt", b"IDAT", b"\0\0\0\0"])
def test_a_huge_declared_length_allocates_nothing(tmp_path: Path, kind: bytes, length: int) -> None:
    """A chunk that declares gigabytes ends the search, in bytes and in files, and takes no memory."""
    content = pack([header()]) + struct.pack(">I", length) + kind + b"x" * 100
    path = tmp_path / "hostile.png"
    path.write_bytes(content)
    readers: list[Callable[[], object]] = [
        lambda: read_provenance(content),
        lambda: read_provenance_file(path),
    ]
    for read in readers:
        tracemalloc.start()
        found = read()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found is None
        assert peak < 1_000_000


def test_a_file_of_empty_chunks_does_not_keep_the_reader_busy(tmp_path: Path) -> None:
    """The reader stops before it has read two million chunks, and says so."""
    path = tmp_path / "hostile.png"
    path.write_bytes(SIGNATURE + struct.pack(">I4sI", 0, b"aaaa", 0) * 2_000_000)
    begun = time.perf_counter()
    for read in (read_provenance_file, lambda path: read_provenance(path.read_bytes())):
        with pytest.raises(BadImage, match="it has more than 50,000 chunks"):
            read(path)
    assert time.perf_counter() - begun < 10


def test_a_file_is_read_without_its_pixels(tmp_path: Path) -> None:
    """Provenance behind 100 MB of pixel data is found, and takes little memory."""
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(pack([header()]) + struct.pack(">I", 100_000_000) + b"IDAT")
        file.seek(100_000_004, 1)  # a hole
        file.write(pack([itxt("qwenbuild", b'{"a":1}')])[8:])
    tracemalloc.start()
    assert read_provenance_file(path) == {"a": 1}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """A missing file raises FileNotFoundError, so the caller decides what it means."""
    with pytest.raises(FileNotFoundError):
        read_provenance_file(tmp_path / "missing.png")


def test_read_provenance_gives_what_json_gives() -> None:
    """Numbers, texts and nested values are read back as they were written."""
    facts = {"seed": 2**31 - 1, "ratio": 0.1, "prompt": 'A "quoted"\n海报\x00', "usage": {"n": [1, None, True]}}
    marked = with_provenance(pack(image()), facts)
    assert read_provenance(marked) == facts == json.loads(json.dumps(facts))


@given(st.binary(max_size=300).map(lambda tail: SIGNATURE + tail) | st.binary(max_size=100))
def test_garbage_has_no_provenance_and_takes_none(content: bytes) -> None:
    """For garbage, reading returns None, and writing raises BadImage."""
    assert read_provenance(content) is None
    with pytest.raises(BadImage):
        with_provenance(content, {})


def test_bytes_behind_the_end_are_cut_off() -> None:
    """They are no part of the image; whatever they are, the file that qwenbuild writes has none."""
    content = pack(image())
    assert with_provenance(content + bytes(16), {"a": 1}) == with_provenance(content, {"a": 1})


def test_many_bombs_take_no_more_time_than_a_few(tmp_path: Path) -> None:
    """Only some texts with the keyword are looked into, and texts of other keywords are not."""
    bomb = (b"iTXt", b"qwenbuild\0\1\0\0\0" + zlib.compress(bytes(provenance.MAX_PROVENANCE_BYTES - 1), 9))
    other = (b"iTXt", b"other\0\1\0\0\0" + _BOMB)
    good = itxt("qwenbuild", b'{"a":1}')
    assert read_provenance(pack(image(*[bomb] * 3, *[other] * 30, good))) == {"a": 1}
    begun_s = time.monotonic()
    content = pack(image(*[bomb] * 20_000, good))
    (tmp_path / "a.png").write_bytes(content)
    assert read_provenance(content) is read_provenance_file(tmp_path / "a.png") is None
    assert time.monotonic() - begun_s < 60


def test_only_a_regular_file_has_a_provenance(tmp_path: Path) -> None:
    """A pipe would be waited for, and a device has no end."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(OSError, match="it is not a regular file"):
            read_provenance_file(tmp_path / name)


def test_an_image_without_pixels_gets_no_provenance() -> None:
    """It is no image."""
    with pytest.raises(BadImage, match="the PNG has no pixels"):
        with_provenance(pack([header(), (b"IEND", b"")]), {"a": 1})
