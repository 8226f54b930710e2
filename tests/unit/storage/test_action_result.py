"""Action results: records are read back as they were written, and garbage is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.digest import sha256
from qwenbuild.request import Size
from qwenbuild.storage.action_result import Entry, entry_of, name_of, parse_entry, parse_files, render

KEY = sha256(b"a key")
_DIGEST: dict[str, Any] = {"hash": sha256(b"image"), "sizeBytes": "5"}


def test_a_rendered_result_is_read_back() -> None:
    """The files are read back with digest and size. A result with image and provenance is an entry."""
    files = {"image.png": (sha256(b"image"), 5), "provenance.json": (sha256(b"{}"), 2)}
    entry = Entry(KEY, sha256(b"image"), 5, sha256(b"{}"))
    assert (parse_files(render(files)), parse_entry(KEY, render(files))) == (files, entry)


@pytest.mark.parametrize("name", ["image.png", "provenance.json"])
def test_a_result_without_image_or_provenance_is_no_entry(name: str) -> None:
    """Such a result is not an error: other tools may keep their results in the same cache."""
    files = {name: (sha256(b"image"), 5)}
    assert (entry_of(KEY, files), parse_entry(KEY, render(files)), parse_entry(KEY, b"{")) == (None, None, None)


@pytest.mark.parametrize(
    ("said", "size"),
    [({"sizeBytes": 5}, 5), ({"sizeBytes": "5"}, 5), ({"sizeBytes": 0}, 0), ({"sizeBytes": "0"}, 0), ({}, 0)],
)
def test_sizes_may_be_numbers_or_strings(said: dict[str, object], size: int) -> None:
    """JSON writers use both forms, so both are read. Those of proto3 leave out a zero."""
    content = json.dumps({"outputFiles": [{"path": "a", "digest": {"hash": _DIGEST["hash"], **said}}]}).encode()
    assert parse_files(content) == {"a": (sha256(b"image"), size)}


@pytest.mark.parametrize(
    "digest",
    [{"sizeBytes": -1}, {"sizeBytes": "-1"}, {"sizeBytes": 1.5}, {"sizeBytes": "1_0"}, {"sizeBytes": True},
     {"sizeBytes": None}, {"sizeBytes": "٣"}, {"sizeBytes": "9" * 5000}, {"hash": "../../etc/passwd"}, {"hash": 1},
     {"hash": "A" * 64}],
)  # fmt: skip
def test_a_result_with_an_impossible_digest_is_none(digest: dict[str, object]) -> None:
    """A size must be a natural number, and a hash must be 64 hex digits, so no path leads out of the store."""
    assert parse_files(json.dumps({"outputFiles": [{"path": "a", "digest": {**_DIGEST, **digest}}]}).encode()) is None


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner:
       st.lists(inner) | st.dictionaries(st.sampled_from(["outputFiles", "path", "digest", "hash"]), inner),
       ).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_reading_a_result_never_raises(content: bytes) -> None:
    """For garbage and for any JSON, `parse_files` returns valid digests and sizes, or None."""
    files = parse_files(content)
    assert files is None or all(len(digest) == 64 and size >= 0 for digest, size in files.values())


def test_an_image_of_another_size_is_named_by_its_size() -> None:
    """Its entry has the size. For whoever wants the image of the request, the result has none."""
    size = Size(1024, 768)
    files = {name_of(size): (sha256(b"image"), 5), "provenance.json": (sha256(b"{}"), 2)}
    assert list(files) == ["1024x768.png", "provenance.json"]
    assert parse_entry(KEY, render(files)) == Entry(KEY, sha256(b"image"), 5, sha256(b"{}"), size)
    assert entry_of(KEY, files) is None
    both = parse_entry(KEY, render({**files, name_of(None): (sha256(b"own"), 3)}))
    assert both == Entry(KEY, sha256(b"own"), 3, sha256(b"{}"))
    for name in ("0x8.png", "08x8.png", "٣x8.png", "8x8.jpg", "8x.png", f"{'9' * 8}x8.png"):
        assert parse_entry(KEY, render({**files, name: (sha256(b"image"), 5)})) is not None
        assert parse_entry(KEY, render({name: (sha256(b"image"), 5), "provenance.json": (sha256(b"{}"), 2)})) is None
