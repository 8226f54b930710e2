"""The output folder: writes, compares and removes the files below `out/`.

Invariants: nothing is written outside the output folder, even through symbolic links in it. A file that
changed since the plan is not touched. A file is removed only if it is unchanged since qwenbuild wrote it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qwenbuild.errors import OutputChanged, OutputError
from qwenbuild.files import atomic, regular

from .records import Output

_MAX_IMAGE_BYTES = 1 << 30  # far more than any image; a file that is mostly a hole may claim exabytes


_POINTER = re.compile(  # Git may have changed its line ends on the way out; the last two versions are older names
    rb"version (?:https://git-lfs\.github\.com/spec/v1|https://hawser\.github\.com/spec/v1|http://git-media\.io/v/2)\r?\n"
    rb"(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\r?\nsize \d+\s*"
)
_POINTER_BYTES = 1024  # the largest file that Git LFS takes for a pointer

POINTER = "a Git LFS pointer is in its place: `git lfs pull` fetches the image"
"""What is said of an output that `pointed` recognises."""


class Status(Protocol):
    """The fields of a file's status that show whether the file changed, named as in `os.stat_result`."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ino(self) -> int: ...


def status(path: Path | str) -> os.stat_result | None:
    """Return the file's status without following links; None if there is no file. Raises OutputError."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a circle of links, or a folder without search permission
        raise OutputError(
            f"{path} can't be examined: {error.strerror or error}", hint="repair its folder, then build again"
        ) from error


def digest(path: Path | str, seen: Status) -> str:
    """Return the file's SHA-256; empty if it is not a regular file, is larger than any image, or can't be read."""
    if not stat.S_ISREG(seen.st_mode):
        return ""
    try:
        return regular.sha256_file(path, _MAX_IMAGE_BYTES)
    except OSError:
        return ""


def pointed(path: Path | str, seen: Status) -> str:
    """Return the SHA-256 of the file that a Git LFS pointer stands for; empty if the file is no pointer.

    Source: Git LFS, "Specification", version 1.
    """
    if not stat.S_ISREG(seen.st_mode) or seen.st_size >= _POINTER_BYTES:
        return ""
    try:
        found = _POINTER.fullmatch(regular.read(os.fspath(path), _POINTER_BYTES))
    except OSError:
        return ""
    return found[1].decode() if found else ""


def is_untouched(record: Output, seen: Status) -> bool:
    """Whether the file has the same status as when it was written."""
    return (
        seen.st_mtime_ns == record.st_mtime_ns and seen.st_ino == record.st_ino
        and seen.st_size == record.st_size and stat.S_ISREG(seen.st_mode)
    )  # fmt: skip


def is_unchanged(path: Path | str, record: Output, seen: Status) -> bool:
    """Whether the file still has the status, or at least the bytes, that qwenbuild wrote."""
    return is_untouched(record, seen) or (seen.st_size == record.st_size and digest(path, seen) == record.image)


@dataclass(frozen=True, slots=True)
class Copy:
    """A complete temporary file that will become the output `name`; `status` is the file's status.

    `blob` and `seen` are the arguments of `Outputs.write`.
    """

    name: str
    blob: Path
    seen: Status | None
    temporary: str
    status: os.stat_result


class Outputs:
    """The output folder of one project. Files are first written in `staging`, then renamed."""

    def __init__(self, folder: Path, staging: Path) -> None:
        self._folder, self._staging = folder, staging
        self._inside: set[str] = set()  # folders that lie inside the output folder
        self._parents: set[str] = set()  # folders in which this object has made folders
        self._is_staging = False  # whether the staging folder exists

    def path(self, name: str) -> Path:
        """Return the path of the output `name`."""
        return self._folder / name

    def sweep(self) -> None:
        """Remove the files that a crash left in staging."""
        atomic.sweep(self._staging)

    def write(self, name: str, blob: Path, image: bytes, seen: Status | None) -> os.stat_result:
        """Write the output `name` as a reflink of `blob` if possible, else as a copy; return its status.

        `image` are the blob's bytes. `seen` is the status of the file at the time of planning, None if
        there was no file. Raises OutputError, also if the file changed since then.
        """
        path = self._folder / name
        try:
            self._ensure_inside(os.path.dirname(path))
            _refuse_changed(path, seen)
            # This time is finer than the kernel's coarse clock, so every later edit changes the time.
            return atomic.clone(blob, path, image, self._staging, mtime_ns=time.time_ns())
        except OSError as error:
            raise _unwritable(path, error) from error

    def copy(self, name: str, blob: Path, image: bytes, seen: Status | None) -> Copy:
        """Return a temporary file for `place`. The arguments are those of `write`. Raises OutputError."""
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
        """Rename copies to their outputs; return, for each copy, the status of the output, or the error.

        This waits for the disk twice, each time for all copies together. The first wait is before the
        renames, so a power cut leaves no torn output. The second wait is after the renames, so outputs
        that are recorded later survive a power cut.
        """
        try:
            atomic.sync([copy.temporary for copy in copies])
            found = [self._placed(copy) for copy in copies]
            atomic.sync(sorted(self._parents | {os.path.dirname(self._path(copy)) for copy in copies}))
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
            try:  # staging is on another file system, so this output is written and synced separately
                return self.write(copy.name, copy.blob, Path(copy.temporary).read_bytes(), copy.seen)
            except OutputError as fault:
                return fault
            except OSError as fault:  # pragma: no cover - somebody empties staging at this very moment
                return _unwritable(path, fault)  # pragma: no cover
        return copy.status

    def remove(self, record: Output, *, dry_run: bool) -> bool:
        """Remove an output and the folders that become empty; return False if it is kept.

        An output is kept if it was edited, or if its path leads out of the output folder.
        Raises OutputError.
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
        parent = path.parent
        with contextlib.suppress(OSError):  # it is not empty
            while parent != self._folder:
                parent.rmdir()
                parent = parent.parent
        return True

    def _ensure_inside(self, folder: str) -> None:
        """Make the folder. Raises OutputError if a symbolic link leads it out of the output folder."""
        if folder in self._inside:
            return
        if not self._is_inside(folder):
            raise OutputError(
                f"{folder} leads out of {self._folder}", hint="remove the symbolic link", name="outside-project"
            )
        missing = folder
        while not os.path.isdir(missing):
            missing = os.path.dirname(missing)
            self._parents.add(missing)
        os.makedirs(folder, exist_ok=True)
        self._inside.add(folder)

    def _is_inside(self, folder: Path | str) -> bool:
        return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(self._folder))


def _unwritable(path: Path | str, error: OSError) -> OutputError:
    return OutputError(
        f"{path} can't be written: {error.strerror or error}",
        facts=["the image itself is safe in the store"],
        hint="make room or set permissions, then build again: the output will then be restored, not rendered",
    )


def _refuse_changed(path: Path | str, then: Status | None) -> None:
    now = status(path)
    if now is None:
        return
    if not then or (now.st_size, now.st_mtime_ns, now.st_ino) != (then.st_size, then.st_mtime_ns, then.st_ino):
        raise OutputChanged(
            f"{path} changed during the build and was left alone",
            facts=["the rendered image is safe in the store"],
            hint="build again; --overwrite replaces the edited file",
        )
    if not stat.S_ISREG(now.st_mode):
        raise OutputError(
            f"{path} is not a regular file", hint="move it away, then build again", name="file-in-the-way"
        )
