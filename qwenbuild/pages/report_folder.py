"""The folder of a report: writes its files whole, and knows which of them an earlier report wrote.

Invariants:
- A file is complete or missing, also if the report is interrupted or the disk is full.
- Nothing that a report did not write is replaced or removed.
- The record of what a report wrote is in the user's cache folder, never in the project: a stranger's project could hold
  a page with files of its own. A file counts as written before only if its size, time and inode are still as recorded.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from qwenbuild.digest import sha256
from qwenbuild.errors import UsageError
from qwenbuild.files import atomic, regular
from qwenbuild.files.user_folders import cache_folder

DATA = "data.js"
FOLDERS = ("images", "thumbnails", "details")

_OWN = re.compile(r"(images/[0-9a-f]{64}\.png|thumbnails/[0-9a-f]{64}\.webp|details/[0-9]{1,9}\.js)(\.part)?")
_FORMAT = 1
_MOST_BYTES = 1 << 28  # of a record
_LIFE_S = 90 * 86_400.0  # of a record that no report has renewed
_Mark = list[int]
"""The size, modification time and inode of a file."""


class ReportFolder:
    """One folder of a report. `pages` are the names of the files that stand at its top.

    `basis` is the text that the earlier report was saved with; "" if there was none, or if a file of its details has
    changed since. Threads may call `put` at once. Raises UsageError if the folder holds anything but a report, and
    OSError if it can't be read.
    """

    def __init__(self, root: Path, pages: Set[str]) -> None:
        self.root = root
        self._present = _refuse_foreign(root, pages)
        cache = cache_folder()
        name = f"{sha256(os.fsencode(os.path.realpath(root)))}.json"
        self._record = cache / "reports" / name if cache else None
        earlier = self._load()
        self._files: dict[str, _Mark] = {
            name: mark for name, mark in earlier["files"].items() if self._present.get(name) == mark
        }
        self._wanted: set[str] = set()
        details = [name for name in earlier["files"] if name.startswith("details/")]
        self.basis: str = earlier["basis"] if all(name in self._files for name in details) else ""

    def prepare(self) -> None:
        """Make the folder and the folders in it. Raises OSError."""
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def keep(self, name: str) -> bool:
        """Keep a file that an earlier report wrote; return False if it wrote none, or if it has changed since."""
        if name not in self._files:
            return False
        self._wanted.add(name)
        return True

    def keep_all(self) -> None:
        """Keep all files that the earlier report wrote."""
        self._wanted |= self._files.keys()

    def put(self, name: str, content: bytes) -> None:
        """Write a file. Raises OSError; then the file is as it was before."""
        path = self.root / name
        half = path.with_name(f"{path.name}.part")
        try:
            half.write_bytes(content)
            status = half.stat()
            half.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                half.unlink()
            raise
        self._wanted.add(name)
        self._files[name] = _mark(status)

    def save(self, basis: str) -> int:
        """Remove the files of earlier reports that were neither put nor kept, record all others; return their size."""
        for name in self._present:
            if name not in self._wanted and _OWN.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    (self.root / name).unlink()
        files = {name: self._files[name] for name in sorted(self._wanted)}
        size = sum(mark[0] for mark in files.values())
        if self._record is None:
            return size
        content = json.dumps({"format": _FORMAT, "basis": basis, "files": files}).encode("utf-8", "surrogatepass")
        with contextlib.suppress(OSError):  # without a record, the next report writes all files again
            atomic.write(self._record, content, self._record.parent, durable=False)
            atomic.sweep(self._record.parent, older_than_s=_LIFE_S, endings=(".tmp", ".json"))
        return size

    def _load(self) -> dict[str, Any]:
        try:
            found = json.loads(regular.read(self._record, _MOST_BYTES)) if self._record else {}
            if found["format"] == _FORMAT:
                return {"basis": str(found["basis"]), "files": dict(found["files"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        return {"basis": "", "files": {}}


def _mark(status: os.stat_result) -> _Mark:
    inode = 0 if os.name == "nt" else status.st_ino  # there, a listing has no inodes
    return [status.st_size, status.st_mtime_ns, inode]


def _refuse_foreign(folder: Path, pages: Set[str]) -> dict[str, _Mark]:
    """Return the marks of the files of a report by name; raises UsageError if the folder holds something else."""
    try:
        present = dict(_walk(folder))
    except OSError as error:
        raise UsageError(
            f"{folder} can't be used for a report: {error.strerror or error}", name="output-unwritable"
        ) from error
    top = {name for name in present if "/" not in name}
    foreign = {name for name in top if name.removesuffix(".part") not in pages and name not in FOLDERS}
    # A report that was interrupted has images, but no page yet.
    if top and DATA not in top:
        foreign |= {name for name in present if name not in FOLDERS and not _OWN.fullmatch(name)}
    if foreign:
        raise UsageError(
            f"{folder} holds files that are not a report",
            facts=[f"such as {min(foreign)}"],
            hint="let -o name an empty folder, or one that does not exist yet",
            name="file-in-the-way",
        )
    # A stranger's link would have the report overwrite, or remove, what it leads to.
    if links := sorted(name for name, status in present.items() if stat.S_ISLNK(status.st_mode)):
        raise UsageError(
            f"{folder} holds a link, which no report does",
            facts=[f"it is {folder / links[0]}"],
            hint="remove it, or let -o name an empty folder",
            name="file-in-the-way",
        )
    return {name: _mark(status) for name, status in present.items() if stat.S_ISREG(status.st_mode)}


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the name and the status of everything in a folder of a report, and in its `FOLDERS`."""
    if not folder.exists():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry.stat(follow_symlinks=False)
            if entry.name in FOLDERS and entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as inside:
                    for each in inside:
                        yield f"{entry.name}/{each.name}", each.stat(follow_symlinks=False)
