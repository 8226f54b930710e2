"""Regular files: reads files of no other kind, and at most a limit of bytes.

A project's files may be a stranger's. A pipe makes its reader wait for ever, a device such as `/dev/zero` has no end,
and opening a device can already change something. So the kind is asked before the file is opened, and again afterwards.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, Final

_Path = str | os.PathLike[str]

MAX_TEXT_BYTES: Final = 256 * 2**20
"""The most bytes of a text file: rows for a million cells fit."""

_PIECE: Final = 1 << 20
_FLAGS: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_BINARY", "O_NONBLOCK", "O_NOCTTY"))


class NotRegular(OSError):
    """The path leads to a pipe, a device or a socket. `strerror` says so."""


class TooLarge(OSError):
    """The file has more bytes than the reader takes. `strerror` says so."""


def read(path: _Path, most_bytes: int) -> bytes:
    """Return the bytes of a regular file. Raises OSError: also NotRegular, and TooLarge above `most_bytes`."""
    return b"".join(pieces(path, most_bytes))


def pieces(path: _Path, most_bytes: int, piece_bytes: int = _PIECE) -> Iterator[bytes]:
    """Yield the bytes of a regular file in pieces of at most `piece_bytes`. Raises what `read` raises."""
    fd, left = _opened(path, most_bytes), most_bytes
    try:
        while piece := os.read(fd, min(piece_bytes, left + 1)):
            left -= len(piece)
            if left < 0:  # files of /proc state no size
                raise _too_large(path, most_bytes)
            yield piece
    finally:
        os.close(fd)


def opened(path: _Path, most_bytes: int) -> BinaryIO:
    """Return a regular file, opened for reading. Raises what `read` raises; the caller closes it."""
    return os.fdopen(_opened(path, most_bytes), "rb")


def sha256_file(path: _Path, most_bytes: int) -> str:
    """Return the SHA-256 of a regular file as 64 lower-case hex digits. Raises what `read` raises."""
    hashed = hashlib.sha256()
    for piece in pieces(path, most_bytes):
        hashed.update(piece)
    return hashed.hexdigest()


def check(path: _Path, *, follow: bool = True) -> None:
    """Raise NotRegular if there is something other than a regular file. A missing file is fine.

    Without `follow`, a link is refused as well. Raises OSError if the path can't be examined.
    """
    try:
        status = os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return
    _check_kind(path, status)


def _opened(path: _Path, most_bytes: int) -> int:
    """Return a descriptor of a regular file of at most `most_bytes`."""
    try:
        _check_kind(path, os.stat(path))
    except ValueError as error:  # the path contains NUL
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from None
    fd = os.open(path, _FLAGS)
    try:
        _check_kind(path, os.fstat(fd), most_bytes)  # another file may be there by now
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_kind(path: _Path, status: os.stat_result, most_bytes: int | None = None) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
    if stat.S_ISLNK(status.st_mode):
        raise NotRegular(errno.EINVAL, "it is a link", os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise NotRegular(errno.EINVAL, "it is not a regular file", os.fspath(path))
    if most_bytes is not None and status.st_size > most_bytes:
        raise _too_large(path, most_bytes)


def _too_large(path: _Path, most_bytes: int) -> TooLarge:
    return TooLarge(errno.EFBIG, f"it has more than {most_bytes:,} bytes", os.fspath(path))
