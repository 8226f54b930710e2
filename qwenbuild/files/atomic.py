"""Files appear whole or not at all: written in a staging folder, then renamed.

A crash at any point, power cuts included, leaves the destination as it was or as it should be.
What a crash leaves behind lies in the staging folder, where `sweep` removes it; only where that
folder is on another file system does it lie beside the destination, as `.<16 hex>.tmp`.

A name that was just written may be lost in a power cut until its folder is synced too; callers
that can't make the file again call `sync_folder`.

Many files at once wait for the disk together: `stage_clone` each, `sync` them all, rename them,
`sync` their folders.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_Fill = Callable[[int], None]  # writes the content to a file descriptor
_FICLONE = 0x40049409  # ioctl_ficlone(2): share the extents of another file, copy on write
_BINARY: int = getattr(os, "O_BINARY", 0)
_FEW = 8  # files that are synced one by one: syncing a file system waits for what others wrote to it, too


def write(path: Path, content: bytes, staging: Path, *, mtime_ns: int | None = None) -> os.stat_result:
    """Replace `path` by `content` and return the new file's status (its ctime may be that of before the rename).

    `staging` is a folder for the temporary file; where it lies on another file system the
    temporary file stands beside `path` instead. Missing parents are made. Raises OSError.
    """
    return _replace(path, staging, lambda fd: _write_all(fd, content), mtime_ns)


def clone(source: Path, path: Path, content: bytes, staging: Path, *, mtime_ns: int | None = None) -> os.stat_result:
    """Replace `path` by a copy of `source`, whose bytes are `content`; shares extents where the file system can.

    The caller has read and verified `content`; it is what gets written where sharing is not to
    be had, also where `source` has gone since. Returns and raises as `write` does.
    """
    return _replace(path, staging, _cloning(source, content), mtime_ns)


def stage_clone(source: Path, content: bytes, staging: Path, *, mtime_ns: int) -> tuple[str, os.stat_result]:
    """Return a new temporary file of `staging`, a copy as `clone` makes it but not yet on the disk, and its status.

    The caller renames it after `sync`, or unlinks it. The folder must exist. Raises OSError, and
    leaves nothing behind when it does.
    """
    temporary = os.path.join(staging, _temporary_name())
    return temporary, _create(temporary, _cloning(source, content), mtime_ns, 0o666, durable=False)


def sync(paths: Sequence[str]) -> None:
    """Bring files, or the names in folders, to the disk: all at once where the system can. Raises OSError."""
    if len(paths) > _FEW and (syncfs := _syncfs()):
        for path in {os.lstat(path).st_dev: path for path in paths}.values():
            fd = os.open(path, os.O_RDONLY)
            try:
                syncfs(fd)
            finally:
                os.close(fd)
        return
    for path in paths:
        if sys.platform != "win32" or not os.path.isdir(path):
            _sync(path)


def shares(source: Path, target: Path) -> bool:
    """Return whether a copy of a file in the folder `source` can share its extents in the folder `target`.

    Tries it with files that are gone afterwards. Raises OSError where they can't be made.
    """
    content = b"qwenbuild" * 1000
    with tempfile.NamedTemporaryFile(dir=source) as original, tempfile.TemporaryFile(dir=target) as copy:
        original.write(content)
        original.flush()
        return _reflink(Path(original.name), copy.fileno(), len(content))


def stage(content: bytes, staging: Path, *, mode: int = 0o666) -> Path:
    """Return a new temporary file of `staging` that holds `content`, already on the disk.

    The caller renames it to where it belongs, or unlinks it. `mode` is subject to the umask.
    The folder must exist. Raises OSError, and leaves nothing behind when it does.
    """
    temporary = staging / _temporary_name()
    _create(temporary, lambda fd: _write_all(fd, content), None, mode, durable=True)
    return temporary


def make_folder(path: Path) -> None:
    """Make the folder `path` and its missing parents, so that they outlive a power cut. Raises OSError."""
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    except FileNotFoundError:
        if path.parent.is_dir():  # none can be made there, as below /proc
            raise
        make_folder(path.parent)
        make_folder(path)
        return
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in the folder `path` to the disk; does nothing where the system can't. Raises OSError."""
    if sys.platform != "win32":  # folders can't be opened there; NTFS journals their entries itself
        _sync(path)


def _sync(path: Path | str) -> None:
    # Windows flushes only what may be written to.
    fd = os.open(path, os.O_RDWR | _BINARY if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(fd)


def sweep(staging: Path, *, older_than_s: float = 0.0) -> None:
    """Remove temporary files that a crash left in `staging`, those made in the last `older_than_s` seconds excepted.

    Never raises: what can't be removed stays for the next time.
    """
    limit = time.time() - older_than_s
    with contextlib.suppress(OSError), os.scandir(staging) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                # Not the mtime, which `write` sets to what its caller wants while the file is in use.
                if entry.name.endswith(".tmp") and entry.stat(follow_symlinks=False).st_ctime <= limit:
                    os.unlink(entry.path)


def _temporary_name() -> str:
    return f"{secrets.token_hex(8)}.tmp"


def _replace(path: Path, staging: Path, fill: _Fill, mtime_ns: int | None) -> os.stat_result:
    path.parent.mkdir(parents=True, exist_ok=True)
    staging.mkdir(parents=True, exist_ok=True)
    try:
        return _via(staging / _temporary_name(), path, fill, mtime_ns)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    return _via(path.with_name("." + _temporary_name()), path, fill, mtime_ns)


def _via(temporary: Path, path: Path, fill: _Fill, mtime_ns: int | None) -> os.stat_result:
    # Before the rename: after it the name may already be somebody else's file.
    status = _create(temporary, fill, mtime_ns, 0o666, durable=True)
    try:
        os.replace(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    return status


def _create(temporary: Path | str, fill: _Fill, mtime_ns: int | None, mode: int, *, durable: bool) -> os.stat_result:
    """Return the status of the new file."""
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
    try:
        try:
            fill(fd)
            if mtime_ns is not None:
                os.utime(fd if os.utime in os.supports_fd else temporary, ns=(mtime_ns, mtime_ns))
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        return os.lstat(temporary)  # by name: what Windows knows by the descriptor has no inode
    except BaseException:
        _discard(temporary)
        raise


def _discard(temporary: Path | str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(temporary)


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _cloning(source: Path, content: bytes) -> _Fill:
    def fill(fd: int) -> None:
        if not _reflink(source, fd, len(content)):
            _write_all(fd, content)

    return fill


def _syncfs() -> Callable[[int], None] | None:
    """Return the function that brings a whole file system to the disk, where the system has one that waits."""
    if sys.platform != "linux":
        return None
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return None

    def syncfs(fd: int) -> None:
        if call(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return syncfs


def _reflink(source: Path, fd: int, size: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        with open(source, "rb") as file:
            fcntl.ioctl(fd, _FICLONE, file.fileno())
    except OSError:
        return False
    if os.fstat(fd).st_size == size:
        return True
    os.ftruncate(fd, 0)
    return False
