"""Who holds claims in the ledger: one process, alive as long as it holds the lock of a file of its own.

A process number proves nothing: containers and other hosts have their own numbers, and a restored
CI cache brings old ones back. The operating system releases a file's lock when its process ends,
however it ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from filelock import FileLock

_NAME = re.compile(r"[0-9a-f]{32}")

NETWORK_FILE_SYSTEMS: Final = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
        "virtiofs",
    ]
)
"""Names in `/proc/self/mountinfo` of file systems on which SQLite's WAL mode and file locks are not dependable."""


class Claimant:
    """This process, for as long as it is open. `name` stands in the ledger beside each claim."""

    def __init__(self, folder: Path) -> None:
        """Create and lock a file in `folder`. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.name: Final = secrets.token_hex(16)
        self._path = folder / self.name
        self._lock = _lock(self._path)
        self._lock.acquire(blocking=False)

    def close(self) -> None:
        """Release the lock: from now on, other processes take this one for dead."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.release()


def is_alive(folder: Path, name: str) -> bool:
    """Return whether the claimant `name` of `folder` still runs.

    A lock that can't be tried counts as held: a claim is never taken away on a guess.
    """
    from filelock import Timeout

    path = folder / name
    if not _NAME.fullmatch(name) or not path.exists():
        return False
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return True
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    lock.release()
    return False


def lock_fault(folder: Path, mounts: str | None = None) -> str | None:
    """Return why locks in `folder` can't be relied on, or None if they can.

    `mounts` is the text of `/proc/self/mountinfo`; None reads it, if the system has it.
    """
    from filelock import Timeout

    kind = file_system(folder, _mounts() if mounts is None else mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        return f"it is on a network file system ({kind})"
    path = folder / f"probe-{secrets.token_hex(8)}"
    one, other = _lock(path), _lock(path)
    fault: str | None = "its file system lets two processes lock one file"
    try:
        one.acquire(blocking=False)
        other.acquire(blocking=False)
    except Timeout:
        fault = None
    except OSError as error:
        fault = f"its file system has no locks: {error.strerror or error}"
    for lock in (other, one):
        lock.release()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    return fault


def file_system(folder: Path, mounts: str) -> str:
    """Return the type of the file system that `folder` is on, empty if `mounts` (see `lock_fault`) does not say."""
    found, longest = "", 0
    path = os.path.realpath(folder)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and after:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= longest:
                found, longest = after.split(" ", 1)[0], len(point)
    return found


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _lock(path: Path) -> FileLock:
    # Without the fallback: it writes the process number into the file, and a number proves nothing.
    from filelock import FileLock

    return FileLock(path, thread_local=False, fallback_to_soft=False)
