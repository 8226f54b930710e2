"""Files appear whole or not at all: written beside their destination's file system, then renamed.

A crash at any point leaves the destination as it was, or as it should be. What a crash leaves
behind lies in the staging folder, never beside the user's files; `sweep` removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

_Fill = Callable[[int], None]  # writes the content to a file descriptor
_FICLONE = 0x40049409  # ioctl_ficlone(2): share the extents of another file, copy on write


def write(path: Path, content: bytes, staging: Path, *, mtime_ns: int | None = None) -> os.stat_result:
    """Replace `path` by `content`, durably, and return the new file's status.

    `staging` is a folder for the temporary file; where it lies on another file system the
    temporary file stands beside `path` instead. Missing parents are made. Raises OSError.
    """
    return _replace(path, staging, lambda fd: _write_all(fd, content), mtime_ns)


def clone(source: Path, path: Path, content: bytes, staging: Path, *, mtime_ns: int | None = None) -> os.stat_result:
    """Replace `path` by a copy of `source`, whose bytes are `content`; shares extents where the file system can.

    The caller has read and verified `content`; it is what gets written where sharing is not to
    be had. Raises OSError.
    """

    def fill(fd: int) -> None:
        if not _reflink(source, fd, len(content)):
            _write_all(fd, content)

    return _replace(path, staging, fill, mtime_ns)


def sweep(staging: Path, *, older_than_s: float = 0.0) -> None:
    """Remove temporary files that a crash left in `staging`, those of the last `older_than_s` seconds excepted."""
    limit = time.time() - older_than_s
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(staging):
            with contextlib.suppress(OSError):
                if entry.name.endswith(".tmp") and entry.stat(follow_symlinks=False).st_mtime <= limit:
                    os.unlink(entry.path)


def _replace(path: Path, staging: Path, fill: _Fill, mtime_ns: int | None) -> os.stat_result:
    path.parent.mkdir(parents=True, exist_ok=True)
    staging.mkdir(parents=True, exist_ok=True)
    try:
        return _via(staging / f"{secrets.token_hex(8)}.tmp", path, fill, mtime_ns)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    return _via(path.with_name(f".{secrets.token_hex(8)}.tmp"), path, fill, mtime_ns)


def _via(temporary: Path, path: Path, fill: _Fill, mtime_ns: int | None) -> os.stat_result:
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            fill(fd)
            if mtime_ns is not None:
                os.utime(fd if os.utime in os.supports_fd else temporary, ns=(mtime_ns, mtime_ns))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return os.lstat(path)


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _reflink(source: Path, fd: int, size: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    with open(source, "rb") as file:
        try:
            fcntl.ioctl(fd, _FICLONE, file.fileno())
        except OSError:
            return False
    return os.fstat(fd).st_size == size
