"""Tests of PNG verification and of provenance in PNGs, with Pillow as the second opinion."""

from __future__ import annotations

import bisect
import io
import itertools
import json
import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from qwenbuild.errors import BadImage
from qwenbuild.files import png, provenance
from qwenbuild.files.provenance import read_provenance, read_provenance_file, with_provenance
from qwenbuild.request import Size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE = Size(5, 4)
XMP = "XML:com.adobe.xmp"
Chunk = tuple[bytes, bytes]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)
_PROVENANCE = st.dictionaries(_TEXT, _JSON, max_size=4)


def _pack(chunks: Sequence[Chunk]) -> bytes:
    whole = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return SIGNATURE + b"".join(whole)


def _unpack(content: bytes) -> list[Chunk]:
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += length + 12
    return chunks


def _header(size: Size = SIZE, depth: int = 8, colour: int = 2, interlace: int = 0) -> Chunk:
    return b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace)


def _rows(size: Size = SIZE, pixel_bytes: int = 3, filter_type: int = 0) -> bytes:
    noise = random.Random(1)
    return b"".join(bytes([filter_type]) + noise.randbytes(size.width * pixel_bytes) for _ in range(size.height))


def _image(*extra: Chunk, raw: bytes | None = None) -> list[Chunk]:
    """Return the chunks of an image, `extra` ones behind its header."""
    data = zlib.compress(_rows() if raw is None else raw)
    return [_header(), *extra, (b"IDAT", data[:20]), (b"IDAT", data[20:]), (b"IEND", b"")]


def _itxt(keyword: str, text: bytes, *, compressed: bool = False) -> Chunk:
    content = zlib.compress(text) if compressed else text
    return b"iTXt", keyword.encode() + b"\0" + bytes([compressed, 0]) + b"\0\0" + content


def _pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.mode, image.size, image.tobytes()


def _xmp(content: bytes) -> str:
    (body,) = [body for kind, body in _unpack(content) if kind == b"iTXt" and body.startswith(XMP.encode() + b"\0")]
    return body.split(b"\0", 5)[-1].decode()


def _properties(packet: str) -> dict[str, str]:
    """Return all attributes of the packet's descriptions, read by an XML parser."""
    tree = ElementTree.fromstring(packet)
    return {name: value for node in tree.iter() if node.tag.endswith("Description") for name, value in node.items()}


def _refused(content: bytes, size: Size = SIZE) -> str:
    with pytest.raises(BadImage) as caught:
        png.verify(content, size)
    return str(caught.value)


# --- verify ---


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_verify_accepts_what_pillow_writes(mode: str) -> None:
    """Every mode that Pillow can write passes."""
    file = io.BytesIO()
    Image.new(mode, (33, 7), 1 if mode == "I;16" else None).save(file, "PNG")
    png.verify(file.getvalue(), Size(33, 7))


@pytest.mark.parametrize(("colour", "depth"), [(0, 1), (0, 16), (2, 8), (2, 16), (4, 8), (6, 8), (6, 16)])
def test_verify_accepts_interlaced_images_of_all_small_sizes(colour: int, depth: int) -> None:
    """Adam7's passes are counted as Pillow counts them, empty ones included."""
    bits = depth * {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    for width, height in itertools.product(range(1, 10), repeat=2):
        raw = b""
        for left, top, across, down in png._ADAM7:
            columns, count = len(range(left, width, across)), len(range(top, height, down))
            if columns:
                raw += (b"\0" + b"\x55" * ((columns * bits + 7) // 8)) * count
        header = _header(Size(width, height), depth, colour, interlace=1)
        content = _pack([header, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])
        png.verify(content, Size(width, height))
        assert _pixels(content)[1] == (width, height)


def test_verify_names_wanted_and_found_size() -> None:
    """The sizes stand below each other."""
    assert _refused(_pack(_image()), Size(1328, 1328)) == (
        "error: the image has the wrong size\n  = wanted: 1328x1328\n  = got:    5x4"
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "nothing"),
        (b"\xff\xd8\xff\xe0JFIF", "a JPEG image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image"),
        (b"GIF89a", "a GIF image"),
        (b"<html>502 Bad Gateway", "a web page or XML: an error page?"),
        (b'{"code":"AccessDenied"}', "JSON: an error message?"),
        (SIGNATURE[:5], "unknown bytes"),
    ],
)
def test_verify_says_what_it_found_instead_of_a_png(content: bytes, found: str) -> None:
    """A JPEG, a proxy's page and nothing at all are told apart."""
    assert _refused(content) == (
        f"error: the bytes are not a PNG image\n  = found: {found}\n  = length: {len(content)} bytes"
    )


def _swap_data(chunks: list[Chunk], data: bytes) -> list[Chunk]:
    return [chunks[0], (b"IDAT", data), (b"IEND", b"")]


@pytest.mark.parametrize(
    ("chunks", "complaint"),
    [
        ([_header()], "is truncated"),
        ([_header(), (b"IEND", b"")], "there is no IDAT chunk"),
        (_image()[1:], "does not begin with one header"),
        ([_header(), *_image()], "does not begin with one header"),
        (_image((b"IHDR", b"")), "it has two headers"),
        ([(b"IHDR", _header()[1] + b"\0"), *_image()[1:]], "does not begin with one header"),
        ([_header(depth=4), *_image()[1:]], "a format that does not exist"),
        ([_header(colour=5), *_image()[1:]], "a format that does not exist"),
        ([_header(interlace=2), *_image()[1:]], "a format that does not exist"),
        ([_header(colour=3), *_image(raw=_rows(pixel_bytes=1))[1:]], "its palette is missing or malformed"),
        ([_header(colour=3), (b"PLTE", b"rgbr"), *_image(raw=_rows(pixel_bytes=1))[1:]], "missing or malformed"),
        (_image((b"QWEN", b"")), "unknown critical chunk: QWEN"),
        ([*_image()[:2], (b"tEXt", b"a\0b"), *_image()[2:]], "interrupted by other chunks"),
        (_image(raw=_rows()[:-1]), "pixel data: 63 of 64 bytes"),
        (_image(raw=_rows() + b"\0"), "more pixels than its header says"),
        (_image(raw=_rows(filter_type=5)), "a filter that does not exist"),
        (_swap_data(_image(), b"not zlib"), "does not decompress"),
        (_swap_data(_image(), zlib.compress(_rows())[:-1]), "pixel data: 64 of 64 bytes"),
        (_swap_data(_image(), zlib.compress(_rows())[:-1] + b"\xff"), "does not decompress"),
        (_swap_data(_image(), b""), "pixel data: 0 of 64 bytes"),
    ],
)  # fmt: skip
def test_verify_refuses_defects(chunks: list[Chunk], complaint: str) -> None:
    """Each defect, with all checksums of chunks right, is named."""
    assert complaint in _refused(_pack(chunks))


def test_verify_refuses_bytes_after_the_end() -> None:
    """Something behind the image is not part of it."""
    content = _pack(_image())
    assert _refused(content + b"x") == (
        "error: there are bytes after the end of the PNG\n"
        f"  = length: {len(content) + 1} bytes, the image ends at {len(content)}"
    )


def test_verify_refuses_every_truncation_and_every_flipped_byte() -> None:
    """No byte of an image can be missing or wrong."""
    content = _pack(_image((b"tEXt", b"Comment\0text")))
    for at in range(len(content)):
        _refused(content[:at])
        _refused(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])


@pytest.mark.parametrize("interlace", [0, 1])
def test_verify_sees_every_row_of_a_large_image(interlace: int) -> None:
    """A wrong filter is found wherever its row lies, though the pixels are never in memory as a whole."""
    side = 1024
    size = Size(side, side)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    starts, length = [], 0
    for left, top, across, down in passes if interlace else [(0, 0, 1, 1)]:
        stride = 1 + 3 * -((left - side) // across)
        starts += [length + stride * row for row in range(-((top - side) // down))]
        length = starts[-1] + stride
    assert length > 3 * 2**20

    def made(at: int, value: int) -> bytes:
        raw = bytearray(b"\x07" * length)
        for start in starts:
            raw[start] = 4
        raw[at] = value
        chunks = _swap_data(_image(), zlib.compress(raw, 1))
        return _pack([_header(size, interlace=interlace), *chunks[1:]])

    png.verify(made(starts[0] + 1, 9), size)
    border = bisect.bisect(starts, 2**20)  # where one piece that is looked at ends, and the next begins
    for at in (starts[0], starts[border - 1], starts[border], starts[len(starts) // 2], starts[-1]):
        assert "filter" in _refused(made(at, 5), size)


def test_verify_decompresses_no_bomb() -> None:
    """A small file of 300 MB of zeros is refused with little memory."""
    bomb = _pack(_swap_data(_image(), zlib.compress(bytes(300_000_000))))
    tracemalloc.start()
    _refused(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(bomb)


def test_verify_compares_sizes_before_it_decompresses() -> None:
    """A header of 2^31-1 pixels a side is refused at once."""
    huge = [_header(Size(2**31 - 1, 2**31 - 1)), *_image()[1:]]
    assert "wrong size" in _refused(_pack(huge))


_CHUNKS = st.lists(
    st.tuples(st.sampled_from([b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tEXt", b"iTXt", b"caBX", b"zzZz"]),
              st.binary(max_size=30)),
    max_size=4,
)  # fmt: skip


_RAW = st.lists(st.tuples(st.integers(0, 5), st.binary(min_size=15, max_size=15)), min_size=4, max_size=4).map(
    lambda rows: b"".join(bytes([filter_type]) + pixels for filter_type, pixels in rows)
)


@given(_RAW, _CHUNKS, st.booleans(), st.data())
def test_what_verify_accepts_pillow_shows(raw: bytes, extra: list[Chunk], shuffle: bool, data: st.DataObject) -> None:
    """Whatever the chunks are and in whichever order: BadImage, or an image of the size that Pillow decodes."""
    first, *rest = [*_image(raw=raw)[:1], *extra, *_image(raw=raw)[1:]]
    content = _pack([first, *(data.draw(st.permutations(rest)) if shuffle else rest)])
    try:
        png.verify(content, SIZE)
    except BadImage:
        return
    assert _pixels(content)[1] == SIZE


@settings(max_examples=300)
@given(st.data())
def test_corruption_never_passes_as_another_image(data: st.DataObject) -> None:
    """Bytes that were cut, overwritten, inserted or doubled raise BadImage, or the pixels are those there were."""
    original = with_provenance(_pack(_image()), {"prompt": "a dog"})
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 40)))
        content[start:stop] = data.draw(st.binary(max_size=40) | st.just(bytes(content[start:stop]) * 2))
    try:
        png.verify(bytes(content), SIZE)
    except BadImage:
        return
    assert _pixels(bytes(content)) == _pixels(original)


@given(st.binary(max_size=300).map(lambda tail: SIGNATURE + tail) | st.binary(max_size=100))
def test_garbage_raises_bad_image_alone(content: bytes) -> None:
    """No bytes make verify or with_provenance raise anything else, and reading them gives None."""
    for action in (lambda: png.verify(content, SIZE), lambda: with_provenance(content, {})):
        with pytest.raises(BadImage):
            action()
    assert read_provenance(content) is None


# --- provenance ---


@given(_PROVENANCE, _PROVENANCE, _CHUNKS, _CHUNKS)
@example({}, {}, [], [(b"tEXt", b"qwenbuild")])  # a keyword that has no end
def test_provenance_comes_back_and_the_rest_stays(
    provenance: dict[str, Any], older: dict[str, Any], before: list[Chunk], after: list[Chunk]
) -> None:
    """What was put in is read, what was there before is replaced, and every other chunk is kept in order."""
    extra = [chunk for chunk in before + after if chunk[0] not in (b"IHDR", b"IDAT", b"IEND", b"PLTE")]
    head, tail = extra[: len(before)], extra[len(before) :]
    chunks = _image(*head)
    chunks[-1:-1] = tail
    original = _pack(chunks)
    marked = with_provenance(with_provenance(original, older), provenance)
    assert read_provenance(marked) == provenance
    ours = (b"qwenbuild\0", XMP.encode() + b"\0")
    assert [(kind, body) for kind, body in _unpack(marked) if not body.startswith(ours)] == chunks
    assert marked == with_provenance(original, provenance) == with_provenance(marked, provenance)


@given(_PROVENANCE)
def test_provenance_changes_no_pixel(provenance: dict[str, Any]) -> None:
    """The marked image verifies and decodes to the same pixels."""
    original = _pack(_image())
    marked = with_provenance(original, provenance)
    png.verify(marked, SIZE)
    assert _pixels(marked) == _pixels(original)


def test_provenance_stands_before_the_pixels_as_canonical_json() -> None:
    """A reader need not pass the pixels; other tools see an ordinary text chunk."""
    marked = with_provenance(_pack(_image()), {"b": "海报", "a": 1})
    assert [kind for kind, _ in _unpack(marked)] == [b"IHDR", b"iTXt", b"iTXt", b"IDAT", b"IDAT", b"IEND"]
    with Image.open(io.BytesIO(marked)) as image:
        assert image.info["qwenbuild"] == '{"a":1,"b":"海报"}'


def test_xmp_names_a_trained_model_as_the_source() -> None:
    """The packet is XML that states the IPTC's source type and the tool."""
    properties = _properties(_xmp(with_provenance(_pack(_image()), {})))
    assert properties == {
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about": "",
        "{http://ns.adobe.com/xap/1.0/}CreatorTool": "qwenbuild",
        "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType": (
            "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        ),
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_a_label_that_the_service_left_in_xmp_is_kept(compressed: bool) -> None:
    """A packet that is there is added to, once, whether or not it was compressed."""
    label = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" TC260:AIGC="{}"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="their tool"/></rdf:RDF></x:xmpmeta>'
    )
    original = _pack(_image(_itxt(XMP, label.encode(), compressed=compressed)))
    once = with_provenance(original, {})
    properties = _properties(_xmp(once))
    assert properties["{http://www.tc260.org.cn/ns/AIGC/1.0/}AIGC"] == "{}"
    assert properties["{http://ns.adobe.com/xap/1.0/}CreatorTool"] == "their tool"
    assert (
        properties["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"] == provenance.DIGITAL_SOURCE_TYPE
    )
    assert with_provenance(once, {}) == once


def test_a_packet_that_is_no_xmp_is_replaced() -> None:
    """Garbage under XMP's keyword does not stay, nor does qwenbuild's keyword in chunks of other kinds."""
    content = _pack(_image(_itxt(XMP, b"\xff garbage"), (b"tEXt", b"qwenbuild\0x"), (b"zTXt", b"qwenbuild\0\0x")))
    assert with_provenance(content, {"a": 1}) == with_provenance(_pack(_image()), {"a": 1})


def test_no_provenance_is_none() -> None:
    """An image without the chunk has none."""
    assert read_provenance(_pack(_image())) is None


_BOMB = zlib.compress(bytes(200_000_000))


@pytest.mark.parametrize(
    "chunk",
    [
        _itxt("qwenbuild", b"not JSON"),
        _itxt("qwenbuild", b"[1, 2]"),
        _itxt("qwenbuild", b'{"a": NaN}'),
        _itxt("qwenbuild", b"\xff\xfe{\0}\0"),
        _itxt("qwenbuild", b'{"a":' + b"[" * 200_000),
        _itxt("qwenbuild", b'{"a":' + b"9" * 5000 + b"}"),
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
    """Broken text, deep or endless JSON and bombs are no provenance, found quickly and with little memory."""
    content = _pack(_image(chunk))
    tracemalloc.start()
    found = read_provenance(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is None
    assert peak < 4 * provenance.MAX_PROVENANCE_BYTES


def test_compressed_provenance_is_read() -> None:
    """Optimisers compress text chunks; that loses nothing."""
    content = _pack(_image(_itxt("qwenbuild", b'{"a":1}', compressed=True)))
    assert read_provenance(content) == {"a": 1}


def test_provenance_with_a_wrong_checksum_is_none() -> None:
    """Corrupt provenance is not shown as if it were right."""
    content = with_provenance(_pack(_image()), {"seed": 1})
    assert read_provenance(content.replace(b'{"seed":1}', b'{"seed":7}')) is None


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 20 * 1024 * 1024])
@pytest.mark.parametrize("kind", [b"iTXt", b"IDAT", b"\0\0\0\0"])
def test_a_huge_declared_length_allocates_nothing(tmp_path: Path, kind: bytes, length: int) -> None:
    """A chunk that claims gigabytes is the end of the file, for bytes and files alike."""
    content = _pack([_header()]) + struct.pack(">I", length) + kind + b"x" * 100
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
    """Two million chunks are given up on."""
    path = tmp_path / "hostile.png"
    path.write_bytes(SIGNATURE + struct.pack(">I4sI", 0, b"aaaa", 0) * 2_000_000)
    begun = time.perf_counter()
    assert read_provenance_file(path) is None
    assert time.perf_counter() - begun < 2


def test_a_file_is_read_without_its_pixels(tmp_path: Path) -> None:
    """Provenance behind 100 MB of pixel data costs a few reads, and where it stands does not matter."""
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(_pack([_header()]) + struct.pack(">I", 100_000_000) + b"IDAT")
        file.seek(100_000_004, 1)  # a hole
        file.write(_pack([_itxt("qwenbuild", b'{"a":1}')])[8:])
    tracemalloc.start()
    assert read_provenance_file(path) == {"a": 1}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """The caller says what a missing file means."""
    with pytest.raises(FileNotFoundError):
        read_provenance_file(tmp_path / "missing.png")


def test_read_provenance_gives_what_json_gives() -> None:
    """Numbers, text and nesting come back as they went in."""
    facts = {"seed": 2**31 - 1, "ratio": 0.1, "prompt": 'A "quoted"\n海报\x00', "usage": {"n": [1, None, True]}}
    marked = with_provenance(_pack(_image()), facts)
    assert read_provenance(marked) == facts == json.loads(json.dumps(facts))
