"""Action results: JSON records of the files that an action produced.

A record is an `ActionResult` of Bazel's remote execution API, in proto3 JSON. The store and the remote cache
keep the same record, below `ac/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qwenbuild.digest import canonical_json
from qwenbuild.request import Size

IMAGE, PROVENANCE = "image.png", "provenance.json"
MAX_BYTES = 16 * 1024

_HEX = re.compile(r"[0-9a-f]{64}")
_OTHER_SIZE = re.compile(r"([1-9][0-9]{0,6})x([1-9][0-9]{0,6})\.png", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """The files that the action with this key produced. Keys and digests are 64 lower-case hex digits.

    An image of another size than asked for is no `image.png`: its file is named by its size, such as `1024x1024.png`.
    """

    key: str
    image: str  # SHA-256 of image.png
    size_bytes: int  # of image.png
    provenance: str  # SHA-256 of provenance.json
    other_size: Size | None = None  # of an image whose size is not the one that was asked for


def is_digest(name: str) -> bool:
    """Whether `name` is 64 lower-case hex digits, the form of every key and digest."""
    return _HEX.fullmatch(name) is not None


def checked_digest(name: str) -> str:
    """Return `name`; raises ValueError unless it is 64 lower-case hex digits."""
    if not is_digest(name):
        raise ValueError(f"not 64 lower-case hex digits: {name!r}")
    return name


def parse_files(content: bytes) -> dict[str, tuple[str, int]] | None:
    """Return (digest, size in bytes) of each file by path; None if `content` is not an action result."""
    try:
        return {
            file["path"]: (checked_digest(file["digest"]["hash"]), _size(file["digest"].get("sizeBytes", 0)))
            for file in json.loads(content)["outputFiles"]
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def parse_entry(key: str, content: bytes) -> Entry | None:
    """Return the entry of `key`; None if `content` is not an action result, or lacks the image or the provenance."""
    files = parse_files(content)
    if files is None:
        return None
    for name in files:
        if (found := _OTHER_SIZE.fullmatch(name)) and IMAGE not in files:
            entry = entry_of(key, {**files, IMAGE: files[name]})
            return entry and replace(entry, other_size=Size(int(found[1]), int(found[2])))
    return entry_of(key, files)


def entry_of(key: str, files: Mapping[str, tuple[str, int]]) -> Entry | None:
    """Return the entry of `key` with these files (see `parse_files`); None if image or provenance is missing."""
    if IMAGE not in files or PROVENANCE not in files:
        return None
    image, size_bytes = files[IMAGE]
    return Entry(key, image, size_bytes, files[PROVENANCE][0])


def name_of(other_size: Size | None) -> str:
    """Return the path by which an action result names its image."""
    return f"{other_size}.png" if other_size else IMAGE


def render(files: Mapping[str, tuple[str, int]]) -> bytes:
    """Return the action result with these files: (digest, size in bytes) by path."""
    outputs: list[dict[str, Any]] = [
        {"path": path, "digest": {"hash": digest, "sizeBytes": str(size)}} for path, (digest, size) in files.items()
    ]
    return canonical_json({"outputFiles": outputs})


def _size(value: object) -> int:
    """Return a size in bytes. proto3 JSON writes an int64 as a string of digits; numbers are accepted too."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    raise ValueError(f"not a size: {value!r}")
