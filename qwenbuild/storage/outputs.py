"""The files below `out/`: writing, recognising and removing them.

Invariants: nothing is written outside the output folder, whatever links lie in it; a file that is
not as it was seen is left alone; only files that are as qwenbuild wrote them are removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qwenbuild.digest import sha256_file
from qwenbuild.errors import OutputError
from qwenbuild.files import atomic

from .records import Output


class Status(Protocol):
    """What tells whether a file is another one than before, named as in `os.stat_result`."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ino(self) -> int: ...


def status(path: Path | str) -> os.stat_result | None:
    """Return the file's status, links not followed; None where nothing is there. Raises OutputError."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a circle of links, a folder that can't be searched
        raise OutputError(
            f"{path} can't be looked at: {error.strerror or error}", hint="set its folder right, then build again"
        ) from error


def digest(path: Path | str, seen: Status) -> str:
    """Return the file's SHA-256; empty for what is no regular file or can't be read."""
    if not stat.S_ISREG(seen.st_mode):
        return ""
    try:
        return sha256_file(path)
    except OSError:
        return ""


def is_untouched(record: Output, seen: Status) -> bool:
    """Whether the file has the status that it was written with."""
    return (
        seen.st_mtime_ns == record.st_mtime_ns and seen.st_ino == record.st_ino
        and seen.st_size == record.st_size and stat.S_ISREG(seen.st_mode)
    )  # fmt: skip


def is_unchanged(path: Path | str, record: Output, seen: Status) -> bool:
    """Whether the file is what qwenbuild wrote: the same status, else the same bytes."""
    return is_untouched(record, seen) or (seen.st_size == record.st_size and digest(path, seen) == record.image)


@dataclass(frozen=True, slots=True)
class Copy:
    """The output `name` to be, complete in a temporary file with the status `status`.

    `blob` and `seen` are as `Outputs.write` takes them.
    """

    name: str
    blob: Path
    seen: Status | None
    temporary: str
    status: os.stat_result


class Outputs:
    """The output folder of one project; `staging` is where files are written before they appear in it."""

    def __init__(self, folder: Path, staging: Path) -> None:
        self._folder, self._staging = folder, staging
        self._inside: set[str] = set()  # folders known to lie inside
        self._is_staging = False  # whether the folder for staging is known to be there

    def sweep(self) -> None:
        """Remove what a crash left in staging."""
        atomic.sweep(self._staging)

    def write(self, name: str, blob: Path, image: bytes, seen: Status | None) -> os.stat_result:
        """Write the output `name`, sharing the extents of `blob` where the file system can; return its status.

        `image` are the blob's bytes, `seen` the status on which the decision to write rests.
        Raises OutputError.
        """
        path = self._folder / name
        try:
            self._ensure_inside(os.path.dirname(path))
            _refuse_changed(path, seen)
            # A time to the nanosecond: an edit within the kernel's coarse tick still changes it.
            return atomic.clone(blob, path, image, self._staging, mtime_ns=time.time_ns())
        except OSError as error:
            raise _unwritable(path, error) from error

    def copy(self, name: str, blob: Path, image: bytes, seen: Status | None) -> Copy:
        """Make the file that `place` gives its name; the arguments are those of `write`. Raises OutputError."""
        path = os.path.join(self._folder, name)
        try:
            self._ensure_inside(os.path.dirname(path))
            if not self._is_staging:
                self._staging.mkdir(parents=True, exist_ok=True)
                self._is_staging = True
            made = atomic.stage_clone(blob, image, self._staging, mtime_ns=time.time_ns())
        except OSError as error:
            raise _unwritable(path, error) from error
        return Copy(name, blob, seen, *made)

    def place(self, copies: Sequence[Copy]) -> list[os.stat_result | OutputError]:
        """Give copies their names; return, for each, the status of the output that stands then, or why there is none.

        Two waits for the disk serve all of them: one before any has its name, so that no power cut
        leaves a torn output, and one before this returns, so that what is recorded outlives it.
        """
        try:
            atomic.sync([copy.temporary for copy in copies])
            found = [self._placed(copy) for copy in copies]
            atomic.sync(sorted({os.path.dirname(self._path(copy)) for copy in copies}))
        except OSError as error:
            return [_unwritable(self._path(copy), error) for copy in copies]
        finally:
            for copy in copies:
                with contextlib.suppress(OSError):
                    os.unlink(copy.temporary)
        return found

    def _path(self, copy: Copy) -> str:
        return os.path.join(self._folder, copy.name)

    def _placed(self, copy: Copy) -> os.stat_result | OutputError:
        path = self._path(copy)
        try:
            _refuse_changed(path, copy.seen)
            os.replace(copy.temporary, path)
        except OutputError as error:
            return error
        except OSError as error:
            if error.errno != errno.EXDEV:
                return _unwritable(path, error)
            try:  # staging is on another file system: this one waits for the disk by itself
                return self.write(copy.name, copy.blob, Path(copy.temporary).read_bytes(), copy.seen)
            except (OSError, OutputError) as fault:
                return fault if isinstance(fault, OutputError) else _unwritable(path, fault)
        return copy.status

    def remove(self, record: Output, *, dry_run: bool) -> bool:
        """Remove an output, and the folders that this leaves empty; return False for one that is kept.

        Those are edited ones, and those that a symbolic link takes out of the output folder. Raises OutputError.
        """
        path = self._folder / record.path
        seen = status(path)
        if seen is None:
            return True
        if not is_unchanged(path, record, seen) or not self._is_inside(path.parent):
            return False
        if dry_run:
            return True
        try:
            path.unlink()
        except OSError as error:
            raise OutputError(f"{path} can't be removed: {error.strerror or error}") from error
        for parent in path.parents:
            if parent == self._folder:
                break
            try:
                parent.rmdir()
            except OSError:
                break
        return True

    def _ensure_inside(self, folder: str) -> None:
        """Make the folder; refuse one that a symbolic link takes out of the output folder."""
        if folder in self._inside:
            return
        if not self._is_inside(folder):
            raise OutputError(f"{folder} leads out of {self._folder}", hint="remove the symbolic link")
        os.makedirs(folder, exist_ok=True)
        self._inside.add(folder)

    def _is_inside(self, folder: Path | str) -> bool:
        return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(self._folder))


def _unwritable(path: Path | str, error: OSError) -> OutputError:
    return OutputError(
        f"{path} can't be written: {error.strerror or error}",
        facts=["the image itself is safe in the store"],
        hint="make room or set permissions, then build again: it will be restored, not rendered",
    )


def _refuse_changed(path: Path | str, then: Status | None) -> None:
    now = status(path)
    if now is None:
        return
    if not then or (now.st_size, now.st_mtime_ns, now.st_ino) != (then.st_size, then.st_mtime_ns, then.st_ino):
        raise OutputError(
            f"{path} changed during the build and was left alone",
            facts=["the rendered image is safe in the store"],
            hint="build again; --overwrite gives up the edit",
        )
    if not stat.S_ISREG(now.st_mode):
        raise OutputError(f"{path} is no regular file", hint="move it away, then build again")
