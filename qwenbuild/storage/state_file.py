"""The state's file: opens it with care, because somebody may have sent it with the project.

This follows SQLite's own advice on files of strangers (https://sqlite.org/security.html): the schema must be
qwenbuild's own, every page is checked before a query runs, and each query has a limit of steps. A file that fails
counts as damaged.

Checking takes a second for 100,000 outputs. So a build leaves a mark beside the file: inode, size and times
of the file as the build left it. Nobody can send a file that has them, so a file with its mark needs no check.

Source: SQLite 3.40, "Defense Against The Dark Arts", and `pager.c` for journals.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Final

from qwenbuild.files import regular

from . import state_schema

_BESIDE: Final = ("-journal", "-wal", "-shm")
_MARK: Final = "-checked"
_SUPER_JOURNAL: Final = bytes.fromhex(
    "d9d505f920a163d7"
)  # ends a journal that names another file; SQLite deletes that one
_MOST_BYTES_A_CELL: Final = 64 * 2**20
_STEPS_A_CALL: Final = 1_000_000
_LEAST_CALLS: Final = 200  # some seconds; a query of a million outputs needs 30
_UNREACHABLE: Final = (
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY
)  # fmt: skip
_STEPS_A_BYTE: Final = 20  # a row takes at least a dozen bytes, and no query takes 200 steps for a row

_Fingerprint = tuple[int, ...]


class Damaged(ValueError):
    """The file is not a state as qwenbuild writes it. The text says what is wrong."""


class Steps:
    """The steps that a query may still take, in calls of SQLite's progress handler. Afterwards SQLite interrupts it."""

    def __init__(self) -> None:
        self._most = self._left = _LEAST_CALLS

    def limit(self, db: sqlite3.Connection, size_bytes: int) -> None:
        """Limit the queries of a connection to a file of this size."""
        self._most += size_bytes * _STEPS_A_BYTE // _STEPS_A_CALL
        self.begin()
        db.set_progress_handler(self._is_over, _STEPS_A_CALL)

    def begin(self) -> None:
        """Give the next query all of its steps."""
        self._left = self._most

    def _is_over(self) -> bool:
        self._left -= 1
        return self._left < 0


def connect(path: Path, steps: Steps, *, create: bool) -> sqlite3.Connection:
    """Open the file; `steps` limits its queries. Without `create`, a missing file is an empty state in memory.

    Raises Damaged, sqlite3.Error, OSError.
    """
    uri = Path(os.path.realpath(path)).as_uri()
    if not create and not path.exists():
        uri = "file::memory:"
    else:
        _refuse_special_files(path)
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif os.access(path.parent, os.W_OK):
            uri += "?mode=rw"  # "ro" would leave the files of WAL mode behind
        else:
            uri += "?immutable=1"  # this process can't write there, and WAL mode needs files beside the database
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        db.execute("PRAGMA trusted_schema=OFF")
        db.execute("PRAGMA cell_size_check=ON")
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES_A_CELL)
        db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        if sys.version_info >= (3, 12):  # pragma: no cover - another Python
            db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)  # pragma: no cover - the same
        steps.limit(db, _size_bytes(path))
    except BaseException:  # pragma: no cover - a defect of SQLite
        db.close()
        raise
    return db


def _refuse_special_files(path: Path) -> None:
    real = os.path.realpath(path)
    regular.check(real)
    for suffix in _BESIDE:
        regular.check(real + suffix, follow=False)
    with contextlib.suppress(FileNotFoundError), open(real + "-journal", "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_SUPER_JOURNAL)))
        if file.read() == _SUPER_JOURNAL:
            raise Damaged(f"{path.name}-journal names another file, which SQLite would delete")


def check(db: sqlite3.Connection, path: Path) -> None:
    """Raise Damaged unless the file is as qwenbuild writes it; sqlite3.Error if it can't be read.

    Pages and cells of a file that has its mark are not read.
    """
    present = state_schema.objects(db)
    if strange := present - state_schema.known():
        first = min(strange)
        raise Damaged(f"it has a {first.type} that qwenbuild did not make: {first.name}")
    if (now := _fingerprint(path)) and now == _marked(path):
        return
    for (said,) in db.execute("PRAGMA quick_check(1)"):
        if said != "ok":
            raise Damaged(said.splitlines()[-1])
    for table in {it.name for it in present} & state_schema.CELLS.keys():
        strange_row = db.execute(f"SELECT 1 FROM {table} WHERE NOT ({state_schema.CELLS[table]}) LIMIT 1").fetchone()  # noqa: S608
        if strange_row or not _are_digests(db.execute(f"SELECT {state_schema.DIGESTS[table]} FROM {table}")):  # noqa: S608
            raise Damaged(f"a row of {table} holds what qwenbuild does not write")


def _are_digests(rows: sqlite3.Cursor) -> bool:
    while some := rows.fetchmany(5000):
        if "".join([text for (text,) in some]).encode().translate(None, b"0123456789abcdef"):
            return False
    return True


def _fingerprint(path: Path) -> _Fingerprint | None:
    """Return what changes whenever the file does; None if it can't be told, or if there are writes beside the file."""
    try:
        status = os.stat(path)
        if _size_bytes(Path(f"{os.path.realpath(path)}-wal")):
            return None
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def mark(path: Path) -> None:
    """Note that the file is as qwenbuild left it. Call it after the file was checked, written and closed.

    If the note can't be written, the next process checks the file again.
    """
    now = _fingerprint(path)
    if now is None or now == _marked(path):
        return
    place = f"{path}{_MARK}"
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)  # a stranger's link would lead the note into another file
        with open(place, "x", encoding="ascii") as file:
            file.write(" ".join(map(str, now)))


def _marked(path: Path) -> _Fingerprint | None:
    try:
        return tuple(map(int, regular.read(f"{path}{_MARK}", 200).split()))
    except (OSError, ValueError):
        return None


def _size_bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def hint_of(error: Exception) -> str:
    """Return what the user can do about an error of SQLite, of the file system, or a damaged row."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the higher bits name the kind of an I/O error
    if code == sqlite3.SQLITE_FULL:
        return "free some disk space"
    if code == sqlite3.SQLITE_IOERR:  # also raised on a full disk, if the files of WAL mode can't be made
        return "check that its disk has free space and its folder is writable"
    is_in_the_way = isinstance(error, regular.NotRegular | IsADirectoryError)
    if (isinstance(error, OSError) and not is_in_the_way) or code in _UNREACHABLE:
        return "check that the folder is writable"
    return "move the file away and build again: the store has the images, the ledger has the paid submissions"
