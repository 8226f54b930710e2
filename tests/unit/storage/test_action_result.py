"""Action results: what a record names is read exactly, and garbage is no record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.digest import sha256
from qwenbuild.storage.action_result import Entry, entry_of, parse_entry, parse_files, render

KEY = sha256(b"a key")
_DIGEST: dict[str, Any] = {"hash": sha256(b"image"), "sizeBytes": "5"}


def test_a_rendered_result_is_read_back() -> None:
    """Its files come back with digest and size; with an image and its provenance they are an entry."""
    files = {"image.png": (sha256(b"image"), 5), "provenance.json": (sha256(b"{}"), 2)}
    entry = Entry(KEY, sha256(b"image"), 5, sha256(b"{}"))
    assert (parse_files(render(files)), parse_entry(KEY, render(files))) == (files, entry)


@pytest.mark.parametrize("name", ["image.png", "provenance.json"])
def test_a_result_without_image_or_provenance_is_no_entry(name: str) -> None:
    """Other tools may keep results in the same cache."""
    files = {name: (sha256(b"image"), 5)}
    assert (entry_of(KEY, files), parse_entry(KEY, render(files)), parse_entry(KEY, b"{")) == (None, None, None)


@pytest.mark.parametrize("size", [5, "5"])
def test_sizes_may_be_numbers_or_strings(size: object) -> None:
    """Both forms that JSON writers use are read."""
    content = json.dumps({"outputFiles": [{"path": "a", "digest": {**_DIGEST, "sizeBytes": size}}]}).encode()
    assert parse_files(content) == {"a": (sha256(b"image"), 5)}


@pytest.mark.parametrize(
    "digest",
    [{"sizeBytes": -1}, {"sizeBytes": "-1"}, {"sizeBytes": 1.5}, {"sizeBytes": "1_0"}, {"sizeBytes": True},
     {"sizeBytes": None}, {"sizeBytes": "٣"}, {"sizeBytes": "9" * 5000}, {"hash": "../../etc/passwd"}, {"hash": 1},
     {"hash": "A" * 64}],
)  # fmt: skip
def test_a_result_with_an_impossible_digest_is_none(digest: dict[str, object]) -> None:
    """Sizes are natural numbers, and a hash never leads out of the store."""
    assert parse_files(json.dumps({"outputFiles": [{"path": "a", "digest": {**_DIGEST, **digest}}]}).encode()) is None


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner:
       st.lists(inner) | st.dictionaries(st.sampled_from(["outputFiles", "path", "digest", "hash"]), inner),
       ).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_reading_a_result_never_raises(content: bytes) -> None:
    """Garbage and JSON of any shape give a result or None."""
    files = parse_files(content)
    assert files is None or all(len(digest) == 64 and size >= 0 for digest, size in files.values())
