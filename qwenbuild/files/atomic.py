"""Atomic writes: a file appears whole or not at all.

A file is written in a staging folder and then renamed. After a crash or a power cut, the destination has its old
content or its new content. A crash can leave a temporary file in the staging folder; `sweep` removes such files.
If the staging folder is on another file system, the temporary file is in the destination's folder, named
`.<16 hex>.tmp`.

In a power cut, a new name can be lost until its folder is synced. Callers that can't make the file again call
`sync_folder`.

Many files can wait for the disk together: `stage` or `stage_clone` each file, `sync` all of them, rename them, and
`sync` their folders. OSTree and `git -c core.fsyncMethod=batch` write many objects in this way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_Fill = Callable[[int], None]  # writes the content to a file descriptor
_FICLONE = 0x40049409  # ioctl_ficlone(2): share the extents of another file (copy on write)
_BINARY: int = getattr(os, "O_BINARY", 0)
# FUSE_SUPER_MAGIC of statfs(2): a program serves the file system. Linux passes each fsync(2) on to the program, but
# syncfs(2) only for virtiofs and block devices (fs/fuse/inode.c, `fuse_sync_fs`). Else syncfs(2) does nothing.
_FUSE = 0x65735546
_FEW = 8  # up to this many files are synced one by one: syncfs(2) also waits for other programs' files


def write(
    path: Path, content: bytes, staging: Path, *, mtime_ns: int | None = None, durable: bool = True
) -> os.stat_result:
    """Replace the file `path` by `content`; return the new file's status (`st_ctime` may be older than the rename).

    `staging` is the folder for the temporary file. Missing folders are created. With `mtime_ns`, the file gets this
    modification time. A file that is not `durable` does not wait for the disk: a power cut may damage it.
    Raises OSError.
    """
    return _replace(path, staging, lambda fd: _write_all(fd, content), mtime_ns, durable=durable)


def clone(source: Path, path: Path, content: bytes, staging: Path, *, mtime_ns: int | None = None) -> os.stat_result:
    """Replace the file `path` by a copy of `source`; the copy shares extents if the file system can.

    `content` are the bytes of `source`, which the caller has read and verified. They are written if sharing is
    impossible, for example because `source` is gone. Returns and raises as `write` does.
    """
    return _replace(path, staging, _cloning(source, content), mtime_ns)


def stage_clone(source: Path, content: bytes, staging: Path, *, mtime_ns: int) -> tuple[str, os.stat_result]:
    """Copy `source` as `clone` does, into a temporary file that is not synced yet; return its path and status.

    The caller renames the file after `sync`, or unlinks it. The folder `staging` must exist. Raises OSError; then no
    file is left.
    """
    temporary = os.path.join(staging, _temporary_name())
    return temporary, _create(temporary, _cloning(source, content), mtime_ns, 0o666, durable=False)


def sync(paths: Sequence[str]) -> None:
    """Wait until files, or the names in folders, are on the disk; all together if the system can. Raises OSError.

    For many files, one syncfs(2) takes at most a third of the time of an fsync(2) for each. But before Linux 5.8, it
    does not report files that could not be written. So only files that can be made again may be many.
    """
    if len(paths) > _FEW and (syncfs := _syncfs()):
        paths = [path for some in _by_device(paths) if not _is_synced(some[0], syncfs) for path in some]
    for path in paths:
        if sys.platform != "win32" or not os.path.isdir(path):  # pragma: no branch - Windows
            _sync(path)


def shares(source: Path, target: Path) -> bool:
    """Return whether a copy in the folder `target` can share the extents of a file in the folder `source`.

    Tries it with temporary files. Raises OSError if the files can't be created.
    """
    content = b"qwenbuild" * 1000
    with tempfile.NamedTemporaryFile(dir=source) as original, tempfile.TemporaryFile(dir=target) as copy:
        original.write(content)
        original.flush()
        return _reflink(Path(original.name), copy.fileno(), len(content))


def stage(content: bytes, staging: Path, *, mode: int = 0o666, durable: bool = True) -> Path:
    """Make a temporary file with `content`; return its path. With `durable`, wait until it is on the disk.

    The caller renames the file, or unlinks it. The umask applies to `mode`. The folder `staging` must exist. Raises
    OSError; then no file is left.
    """
    temporary = staging / _temporary_name()
    _create(temporary, lambda fd: _write_all(fd, content), None, mode, durable=durable)
    return temporary


def make_folder(path: Path) -> bool:
    """Make the folder `path` and its missing parents, and sync them; return whether this call made `path`.

    Other threads and processes may make the same folders at the same time. Raises OSError.
    """
    try:
        try:
            os.mkdir(path)
        except FileNotFoundError:
            if not make_folder(path.parent):  # somebody else did just now: it may not be synced yet
                sync_folder(path.parent.parent)
            os.mkdir(path)  # fails again in a file system that allows no new folders, such as /proc
    except FileExistsError:
        if not path.is_dir():
            raise
        return False
    sync_folder(path.parent)
    return True


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on the disk; does nothing on Windows. Raises OSError."""
    if sys.platform != "win32":  # pragma: no branch - Windows can't open folders; NTFS journals their entries
        _sync(path)


def _sync(path: Path | str) -> None:
    # Windows flushes only files that are open for writing.
    fd = os.open(path, os.O_RDWR | _BINARY if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems can't sync
            raise  # pragma: no cover - needs a broken disk; `python -m tests.faults` plays one
    finally:
        os.close(fd)


def sweep(staging: Path, *, older_than_s: float = 0.0, endings: tuple[str, ...] = (".tmp",)) -> None:
    """Remove temporary files that a crash has left in `staging`, if they are older than `older_than_s` seconds.

    `endings` are how the names of the files to remove end. Never raises: a file that can't be removed stays.
    """
    limit = time.time() - older_than_s
    with contextlib.suppress(OSError), os.scandir(staging) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                # Age by ctime: callers of `write` choose the mtime, also of a file that is still being written.
                if entry.name.endswith(endings) and entry.stat(follow_symlinks=False).st_ctime <= limit:
                    os.unlink(entry.path)


def _temporary_name() -> str:
    return f"{secrets.token_hex(8)}.tmp"


def _replace(path: Path, staging: Path, fill: _Fill, mtime_ns: int | None, *, durable: bool = True) -> os.stat_result:
    path.parent.mkdir(parents=True, exist_ok=True)
    staging.mkdir(parents=True, exist_ok=True)
    try:
        return _via(staging / _temporary_name(), path, fill, mtime_ns, durable=durable)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    return _via(path.with_name("." + _temporary_name()), path, fill, mtime_ns, durable=durable)


def _via(temporary: Path, path: Path, fill: _Fill, mtime_ns: int | None, *, durable: bool) -> os.stat_result:
    # The status is read before the rename: after the rename, another program may replace `path`.
    status = _create(temporary, fill, mtime_ns, 0o666, durable=durable)
    try:
        os.replace(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    return status


def _create(temporary: Path | str, fill: _Fill, mtime_ns: int | None, mode: int, *, durable: bool) -> os.stat_result:
    """Make a file and return its status; if that fails, remove the file."""
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
    try:
        try:
            fill(fd)
            if mtime_ns is not None:
                os.utime(temporary, ns=(mtime_ns, mtime_ns))
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        return os.lstat(temporary)  # by name: on Windows, a descriptor gives no inode
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
    """Return a function that fills a file from `source`, or else with `content`."""

    def fill(fd: int) -> None:
        if not _reflink(source, fd, len(content)):  # pragma: no branch - ext4 and tmpfs have no reflinks
            _write_all(fd, content)

    return fill


def _by_device(paths: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return the paths of each file system. Raises OSError."""
    found: dict[int, list[str]] = {}
    for path in paths:
        found.setdefault(os.lstat(path).st_dev, []).append(path)
    return found.values()


def _is_synced(path: str, syncfs: Callable[[int], bool]) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        return syncfs(fd)
    finally:
        os.close(fd)


def _syncfs() -> Callable[[int], bool] | None:
    """Return a function that syncs the whole file system of an open file and waits; None if the system has none.

    The function returns False, and does nothing, if the file system would not wait for the disk. Raises OSError.
    """
    if sys.platform != "linux":  # pragma: no cover - another system
        return None
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):  # pragma: no cover - a C library without syncfs
        return None

    def syncfs(fd: int) -> bool:
        status = ctypes.create_string_buffer(256)  # more than a `struct statfs`, whose first field is the type
        libc.fstatfs(fd, status)
        if ctypes.c_long.from_buffer(status).value == _FUSE:
            return False  # pragma: no cover - needs a mounted FUSE file system
        if libc.syncfs(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return True

    return syncfs


def _reflink(source: Path, fd: int, size: int) -> bool:
    """Share the extents of `source` with an open, empty file. If that fails, leave the file empty and return False."""
    if sys.platform != "linux":  # pragma: no cover - another system
        return False
    import fcntl

    try:
        with open(source, "rb") as file:
            fcntl.ioctl(fd, _FICLONE, file.fileno())
    except OSError:
        return False
    return _is_whole(fd, size)  # pragma: no cover - ext4 and tmpfs have no reflinks


def _is_whole(fd: int, size: int) -> bool:
    """Return whether an open file has this size; if not, empty it."""
    if os.fstat(fd).st_size == size:
        return True
    os.ftruncate(fd, 0)
    return False
