"""The claimant: a process that holds claims in the ledger, alive while it holds the lock of its own file.

A process number proves nothing. Containers and other hosts have their own numbers, and a restored CI cache brings back
old ones. The operating system releases the lock of a file when its process ends, however the process ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qwenbuild.errors import LedgerError

from .claims import ENVIRON

if TYPE_CHECKING:
    from filelock import FileLock

_NAME = re.compile(r"[0-9a-f]{32}")

NETWORK_FILE_SYSTEMS: Final = frozenset((
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs",
))  # fmt: skip
"""Names in `/proc/self/mountinfo` of file systems on which SQLite's WAL mode and file locks are not dependable."""

LOCAL_FUSE: Final = frozenset((
    "fuse.bindfs", "fuse.cryfs", "fuse.encfs", "fuse.ext4", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.mergerfs",
    "fuse.overlayfs",
))  # fmt: skip
"""Local file systems behind FUSE. Most others behind FUSE are on a network: sshfs, rclone, s3fs, glusterfs."""


class Claimant:
    """This process, until it is closed. `name` stands in the ledger beside each of its claims."""

    def __init__(self, folder: Path) -> None:
        """Create and lock a file in `folder`. Raises OSError."""
        from filelock import Timeout

        folder.mkdir(parents=True, exist_ok=True)
        self.name: Final = secrets.token_hex(16)
        self._path = folder / self.name
        self._lock = _lock(self._path)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:  # filelock takes a file that can't be made for a file that vanished
            raise OSError(f"{self._path} can't be made") from None

    def close(self) -> None:
        """Release the lock: from now on, this process counts as dead."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.release()


def is_alive(folder: Path, name: str) -> bool:
    """Return whether the claimant `name` of `folder` still runs.

    If the lock can't be tried, the claimant counts as alive: a claim is never taken away on a guess.
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
    """Return why the locks of `folder` are not dependable, or None if they are.

    `mounts` is the text of `/proc/self/mountinfo`; None reads it, if the system has it.
    """
    from filelock import Timeout

    kind = file_system(folder, _mounts() if mounts is None else mounts)
    if kind in NETWORK_FILE_SYSTEMS or (kind.startswith("fuse.") and kind not in LOCAL_FUSE):
        return f"it is on a network file system ({kind})"
    path = folder / f"probe-{secrets.token_hex(8)}"
    one, other = _lock(path), _lock(path)
    fault: str | None = "its file system lets two processes lock one file"
    try:
        one.acquire(blocking=False)
        with contextlib.suppress(Timeout):
            other.acquire(blocking=False)
        if not other.is_locked:
            fault = None
    except Timeout:  # filelock takes a file that can't be made for a file that vanished
        fault = "no file can be made there"
    except OSError as error:
        fault = f"no file can be locked there: {error.strerror or error}"
    for lock in (other, one):
        lock.release()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    return fault


def file_system(folder: Path, mounts: str) -> str:
    """Return the type of the file system that holds `folder`, empty if `mounts` (see `lock_fault`) does not say."""
    found, longest = "", 0
    path = os.path.realpath(folder)
    for line in mounts.split("\n"):  # a name may hold other line breaks, such as U+2028
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
        return os.fsdecode(Path("/proc/self/mountinfo").read_bytes())  # names as in the paths of this process
    except OSError:  # pragma: no cover - another system
        return ""  # pragma: no cover


def _lock(path: Path) -> FileLock:
    # The fallback would write the process number into the file, and a number proves nothing.
    from filelock import FileLock

    return FileLock(path, thread_local=False, fallback_to_soft=False)


def unfit(folder: Path, fault: str) -> LedgerError:
    """Return the error of a folder whose locks are not dependable; `fault` says why."""
    hint = f"set {ENVIRON} to a folder on a local disk, the same for all of your projects"
    return LedgerError(f"the ledger can't be in {folder}: {fault}", hint=hint, name="ledger-place")
