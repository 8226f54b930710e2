"""The records of outputs: the present file at each path, and the images that were there before."""

from __future__ import annotations

import stat
from typing import Any, NamedTuple


class Output(NamedTuple):
    """An output as qwenbuild wrote it: its request's key, its bytes' SHA-256, its cell's name, its file status.

    The fields `st_*` have the names of `os.stat_result`, so a record can be used as the status of its file.
    """

    path: str
    key: str
    image: str
    st_size: int
    st_mtime_ns: int
    st_ino: int
    name: str

    @property
    def st_mode(self) -> int:
        """The type of a regular file."""
        return stat.S_IFREG


class PastImage(NamedTuple):
    """An image that was at an output's path: its request's key, its SHA-256, when it was written, and its request."""

    key: str
    image: str
    at_s: float  # seconds since the epoch
    request: dict[str, Any] | None
