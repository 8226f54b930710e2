"""The ledger's file: opens it, and turns its faults into errors that say what to do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from qwenbuild.errors import LedgerError
from qwenbuild.files import atomic

from .ledger_hints import hint_of
from .ledger_schema import WITH_PARAMETERS

FILE: Final = "ledger.sqlite3"
_BUSY_S = 10.0  # longer than any transaction of a healthy process
_LOOK_BUSY_S = 2.0  # a plan does not wait longer for a locked ledger


def connect(path: Path, *, create: bool) -> tuple[sqlite3.Connection, int]:
    """Return a connection, and the version of the ledger: 0 for a new file.

    Without `create`, a missing file is an error. A folder that can't be written is none then: the file is only read.
    Raises LedgerError for a ledger of a newer qwenbuild, sqlite3.Error and OSError.
    """
    if create:
        atomic.make_folder(path.parent)
    is_fixed = not (create or os.access(path.parent, os.W_OK))  # WAL mode needs files beside the database
    mode = "mode=rwc" if create else "immutable=1" if is_fixed else "mode=rw"
    uri = f"{path.absolute().as_uri()}?{mode}"
    busy_s = _BUSY_S if create else _LOOK_BUSY_S
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=busy_s)
    try:
        db.execute("PRAGMA trusted_schema=OFF")
        return db, _version(db, path)
    except BaseException:
        db.close()
        raise


def _version(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > WITH_PARAMETERS:
        raise LedgerError(
            f"{path} was written by a newer qwenbuild",
            facts=[f"its format is {version}, this one knows {WITH_PARAMETERS}"],
            hint="upgrade qwenbuild",
            name="newer-version",
        )
    return int(version)


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into LedgerError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(f"{path}: {error}", hint=hint_of(error, path)) from error
