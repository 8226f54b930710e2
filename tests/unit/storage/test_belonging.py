"""Belonging: an image counts only for the request that it was made for."""

from __future__ import annotations

import json

import pytest

from qwenbuild.emulation import FACT
from qwenbuild.files.provenance import KEYWORD, with_provenance
from qwenbuild.providers.null import plain
from qwenbuild.request import Size
from qwenbuild.storage.belonging import is_image_of
from tests.support.pngs import Chunk, itxt, made_for, pack, unpack

KEY = "ab" * 32
SIZE = Size(16, 8)
IMAGE = made_for(KEY, SIZE)


@pytest.mark.parametrize("decode", [True, False])
def test_the_image_of_a_request(decode: bool) -> None:
    """It has the size, carries the key, and nothing follows its end."""
    assert is_image_of(IMAGE, KEY, SIZE, decode=decode)
    for wrong in (
        b"", b"no image", IMAGE[:-1], IMAGE[: len(IMAGE) // 2], IMAGE + b"\0", made_for(KEY, Size(8, 16)),
        made_for("cd" * 32, SIZE), IMAGE.replace(b"qwenbuild\0", b"somebody\0"),
    ):  # fmt: skip
        assert not is_image_of(wrong, KEY, SIZE, decode=decode)


@pytest.mark.parametrize("compressed", [True, False])
def test_provenance_in_another_form(compressed: bool) -> None:
    """JSON with spaces, or a compressed chunk, says the same as qwenbuild's own form."""
    own = plain(SIZE, b"\1\2\3")
    for key, expected in ((KEY, True), ("cd" * 32, False)):
        text = json.dumps({"action_key": key}, indent=1).encode()
        assert (
            is_image_of(with_text(own, itxt(KEYWORD, text, compressed=compressed)), KEY, SIZE, decode=True) == expected
        )
    assert not is_image_of(own, KEY, SIZE, decode=True)


def test_the_key_in_another_place() -> None:
    """Behind the pixels, or as a part of another text, the key is no provenance."""
    own, said = plain(SIZE, b"\1\2\3"), f'"action_key":"{KEY}"'.encode()
    assert not is_image_of(with_text(own, itxt("Comment", said), before=b"IEND"), KEY, SIZE, decode=True)
    assert not is_image_of(with_text(own, itxt("Comment", KEY.encode())), KEY, SIZE, decode=True)


def with_text(png: bytes, chunk: Chunk, before: bytes = b"IDAT") -> bytes:
    """Return a PNG with one more chunk before its first chunk of a kind."""
    chunks = unpack(png)
    at = next(number for number, it in enumerate(chunks) if it[0] == before)
    return pack([*chunks[:at], chunk, *chunks[at:]])


def test_pixels_are_decoded_if_nobody_has_done_it_before() -> None:
    """A remote cache may send a wrong byte among the pixels; the store knows its bytes by their digest."""
    at = IMAGE.index(b"IDAT") + 8
    torn = IMAGE[:at] + bytes([IMAGE[at] ^ 1]) + IMAGE[at + 1 :]
    assert not is_image_of(torn, KEY, SIZE, decode=True)
    assert is_image_of(torn, KEY, SIZE, decode=False)


def test_an_unmarked_image_of_an_emulator_belongs_to_no_request() -> None:
    """An older version stored it, or pushed it into a remote cache, as the service's."""
    known = {"action_key": KEY, "downloaded_from": "127.0.0.1", "request_id": "0b7f4a36-2f4e-4c1e-9a44-3f6de3b7a1c2"}
    plain_image = plain(SIZE, b"\1\2\3")
    for facts, expected in (
        (known, False),
        ({**known, FACT: "http://127.0.0.1:8123"}, True),
        ({"action_key": KEY}, True),
    ):
        assert is_image_of(with_provenance(plain_image, facts), KEY, SIZE, decode=True) == expected
