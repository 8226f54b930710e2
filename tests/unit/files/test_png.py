from __future__ import annotations

import bisect
import io
import itertools
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qwenbuild.errors import BadImage
from qwenbuild.files import png
from qwenbuild.files.provenance import read_provenance, with_provenance
from qwenbuild.request import Size
from tests.support.pngs import CHUNKS, SIGNATURE, SIZE, Chunk, bomb, header, image, pack, pixels, rows

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""First column, first row, distance between columns, distance between rows (PNG specification, section 8.1)."""


def _refused(content: bytes, size: Size = SIZE) -> str:
    with pytest.raises(BadImage) as caught:
        png.verify(content, size)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_verify_accepts_what_pillow_writes(mode: str) -> None:
    """An image of every mode that Pillow can write is accepted."""
    file = io.BytesIO()
    Image.new(mode, (33, 7), 1 if mode == "I;16" else None).save(file, "PNG")
    png.verify(file.getvalue(), Size(33, 7))


@pytest.mark.parametrize(("colour", "depth"), [(0, 1), (0, 16), (2, 8), (2, 16), (4, 8), (6, 8), (6, 16)])
def test_verify_accepts_interlaced_images_of_all_small_sizes(colour: int, depth: int) -> None:
    """The sizes of Adam7's passes agree with Pillow, also for empty passes."""
    bits = depth * {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    for width, height in itertools.product(range(1, 10), repeat=2):
        raw = b""
        for left, top, across, down in ADAM7:
            columns, count = len(range(left, width, across)), len(range(top, height, down))
            if columns:
                raw += (b"\0" + b"\x55" * ((columns * bits + 7) // 8)) * count
        first = header(Size(width, height), depth, colour, interlace=1)
        content = pack([first, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])
        png.verify(content, Size(width, height))
        assert pixels(content)[1] == (width, height)


def test_verify_names_wanted_and_found_size() -> None:
    """The message shows the two sizes in two lines."""
    assert _refused(pack(image()), Size(1328, 1328)) == (
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
    """The message distinguishes a JPEG, a proxy's page, and no bytes at all."""
    assert _refused(content) == (
        f"error: the bytes are not a PNG image\n  = found: {found}\n  = length: {len(content)} bytes"
    )


def _swap_data(chunks: list[Chunk], data: bytes) -> list[Chunk]:
    return [chunks[0], (b"IDAT", data), (b"IEND", b"")]


@pytest.mark.parametrize(
    ("chunks", "complaint"),
    [
        ([header()], "is truncated"),
        ([header(), (b"IEND", b"")], "there is no IDAT chunk"),
        (image()[1:], "it must have exactly one header, at the start"),
        ([header(), *image()], "it must have exactly one header, at the start"),
        (image((b"IHDR", b"")), "it has two headers"),
        ([(b"IHDR", header()[1] + b"\0"), *image()[1:]], "it must have exactly one header, at the start"),
        ([header(depth=4), *image()[1:]], "an impossible bit depth, colour type or method"),
        ([header(colour=5), *image()[1:]], "an impossible bit depth, colour type or method"),
        ([header(interlace=2), *image()[1:]], "an impossible bit depth, colour type or method"),
        ([header(colour=3), *image(raw=rows(pixel_bytes=1))[1:]], "its palette is missing or malformed"),
        ([header(colour=3), (b"PLTE", b"rgbr"), *image(raw=rows(pixel_bytes=1))[1:]], "missing or malformed"),
        (image((b"QWEN", b"")), "unknown critical chunk: QWEN"),
        ([*image()[:2], (b"tEXt", b"a\0b"), *image()[2:]], "interrupted by other chunks"),
        (image(raw=rows()[:-1]), "pixel data: 63 of 64 bytes"),
        (image(raw=rows() + b"\0"), "more pixels than its header says"),
        (image(raw=rows(filter_type=5)), "an unknown filter type"),
        (_swap_data(image(), b"not zlib"), "does not decompress"),
        (_swap_data(image(), zlib.compress(rows())[:-1]), "pixel data: 64 of 64 bytes"),
        (_swap_data(image(), zlib.compress(rows())[:-1] + b"\xff"), "does not decompress"),
        (_swap_data(image(), b""), "pixel data: 0 of 64 bytes"),
    ],
)  # fmt: skip
def test_verify_refuses_defects(chunks: list[Chunk], complaint: str) -> None:
    """The message names each defect, also if all checksums are right."""
    assert complaint in _refused(pack(chunks))


def test_verify_says_where_the_image_ends() -> None:
    """Every decoder shows an image with bytes behind its end, and it was paid for; the caller cuts them off."""
    content = pack(image())
    for after in (b"", bytes(16), content, b"PK\x03\x04", bytes(1000)):
        assert png.verify(content + after, SIZE) == len(content)
        assert png.is_whole(content + after, SIZE) is (after == b"")


def test_a_million_chunks_are_refused() -> None:
    """They would take a gigabyte of memory. As many as any encoder writes are accepted."""
    first, *rest = image()
    empty = (b"tEXt", b"")
    whole = pack([first, *[empty] * 100, *rest])
    assert png.verify(whole, SIZE) == len(whole)
    content = pack([first, empty, *rest])
    at = content.index(b"tEXt") - 4
    many = content[:at] + content[at : at + 12] * 1_000_000 + content[at + 12 :]
    tracemalloc.start()
    assert "it has more than 50,000 chunks" in _refused(many)
    assert not png.is_whole(many, SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000


_BOMB = bomb(300)
HOSTILE: dict[str, list[Chunk]] = {
    "a profile": [(b"iCCP", b"name\0\0" + _BOMB)],
    "a compressed text": [(b"zTXt", b"Comment\0\0" + _BOMB)],
    "an international text": [(b"iTXt", b"Comment\0\1\0\0\0" + _BOMB)],
    "a packet": [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + _BOMB)] * 20,
    "an animation": [
        (b"acTL", bytes([0, 0, 0, 2, 0, 0, 0, 0])), (b"fcTL", bytes(26)), (b"fdAT", bytes(4) + _BOMB),
    ],
    "empty chunks": [(b"tEXt", b""), (b"iTXt", b""), (b"zTXt", b""), (b"iCCP", b""), (b"sPLT", b""), (b"eXIf", b"")],
    "a palette of colours": [(b"PLTE", b"")],
    "a size of a page": [(b"pHYs", b"\xff" * 9), (b"gAMA", bytes(4)), (b"cHRM", b"x"), (b"tIME", b"")],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_an_ancillary_chunk_is_decompressed(name: str) -> None:
    """The image is paid for, so it is kept with its comments; they take neither time nor memory."""
    content = pack(image(*HOSTILE[name]))
    tracemalloc.start()
    assert png.verify(content, SIZE) == len(content)
    kept = with_provenance(content, {"action_key": "k"})
    assert png.verify(kept, SIZE) == len(kept)
    assert read_provenance(kept) == {"action_key": "k"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000
    assert len(kept) < len(content) + 10_000


def test_verify_refuses_every_truncation_and_every_flipped_byte() -> None:
    """Each missing byte and each wrong byte is noticed."""
    content = pack(image((b"tEXt", b"Comment\0text")))
    for at in range(len(content)):
        _refused(content[:at])
        _refused(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])


@pytest.mark.parametrize("interlace", [0, 1])
def test_verify_sees_every_row_of_a_large_image(interlace: int) -> None:
    """A wrong filter is found in the first row, in the last one, and on both sides of the border between two pieces."""
    side = 1024
    size = Size(side, side)
    starts, length = [], 0
    for left, top, across, down in ADAM7 if interlace else [(0, 0, 1, 1)]:
        stride = 1 + 3 * -((left - side) // across)
        starts += [length + stride * row for row in range(-((top - side) // down))]
        length = starts[-1] + stride
    assert length > 3 * 2**20

    def made(at: int, value: int) -> bytes:
        raw = bytearray(b"\x07" * length)
        for start in starts:
            raw[start] = 4
        raw[at] = value
        chunks = _swap_data(image(), zlib.compress(raw, 1))
        return pack([header(size, interlace=interlace), *chunks[1:]])

    png.verify(made(starts[0] + 1, 9), size)
    border = bisect.bisect(starts, 2**20)  # the first row after the border between two pieces
    for at in (starts[0], starts[border - 1], starts[border], starts[len(starts) // 2], starts[-1]):
        assert "filter" in _refused(made(at, 5), size)


def test_verify_decompresses_no_bomb() -> None:
    """A small file that holds 300 MB of zeros is refused, and takes little memory."""
    bomb = pack(_swap_data(image(), zlib.compress(bytes(300_000_000))))
    tracemalloc.start()
    _refused(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(bomb)


def test_verify_compares_sizes_before_it_decompresses() -> None:
    """A header of 2^31-1 by 2^31-1 pixels is refused at once."""
    huge = [header(Size(2**31 - 1, 2**31 - 1)), *image()[1:]]
    assert "wrong size" in _refused(pack(huge))


_RAW = st.lists(st.tuples(st.integers(0, 5), st.binary(min_size=15, max_size=15)), min_size=4, max_size=4).map(
    lambda rows: b"".join(bytes([filter_type]) + pixels for filter_type, pixels in rows)
)


@given(_RAW, CHUNKS, st.booleans(), st.data())
def test_what_verify_accepts_pillow_shows(raw: bytes, extra: list[Chunk], shuffle: bool, data: st.DataObject) -> None:
    """For any chunks in any order, `verify` raises BadImage, or Pillow decodes an image of the size."""
    first, *rest = [*image(raw=raw)[:1], *extra, *image(raw=raw)[1:]]
    content = pack([first, *(data.draw(st.permutations(rest)) if shuffle else rest)])
    try:
        png.verify(content, SIZE)
    except BadImage:
        return
    assert pixels(content)[1] == SIZE


@settings(max_examples=300)
@given(st.data())
def test_corruption_never_passes_as_another_image(data: st.DataObject) -> None:
    """If bytes are cut, overwritten, inserted or doubled, `verify` raises BadImage or the pixels are unchanged."""
    original = with_provenance(pack(image()), {"prompt": "a dog"})
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 40)))
        content[start:stop] = data.draw(st.binary(max_size=40) | st.just(bytes(content[start:stop]) * 2))
    try:
        png.verify(bytes(content), SIZE)
    except BadImage:
        return
    assert pixels(bytes(content)) == pixels(original)


@given(st.binary(max_size=300).map(lambda tail: SIGNATURE + tail) | st.binary(max_size=100))
def test_garbage_raises_only_bad_image(content: bytes) -> None:
    """For any bytes, `verify` raises no other error than BadImage."""
    with pytest.raises(BadImage):
        png.verify(content, SIZE)
