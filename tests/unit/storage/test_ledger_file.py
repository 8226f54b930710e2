"""The ledger's file: whoever only looks changes nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from qwenbuild.errors import LedgerError
from qwenbuild.storage.ledger import Ledger
from qwenbuild.storage.ledger_file import FILE, connect, faults
from qwenbuild.storage.ledger_schema import VERSION
from tests.support.trouble import nobody, public_folder


def test_a_new_ledger_has_no_version(tmp_path: Path) -> None:
    """Its folder is made; once the ledger has made its tables, there is a version."""
    db, version = connect(tmp_path / "ledger" / FILE, create=True)
    db.close()
    assert version == 0
    Ledger(tmp_path / "ledger").close()
    db, version = connect(tmp_path / "ledger" / FILE, create=False)
    db.close()
    assert version == VERSION


def test_a_ledger_in_a_folder_that_can_not_be_written() -> None:
    """It can be read, although WAL mode needs files beside it."""
    with public_folder() as folder:
        Ledger(folder / "ledger").close()
        os.chmod(folder / "ledger", 0o555)
        with nobody():
            db, version = connect(folder / "ledger" / FILE, create=False)
            with contextlib.closing(db):
                assert (version, db.execute("SELECT count(*) FROM submissions").fetchone()) == (VERSION, (0,))
        assert [path.name for path in (folder / "ledger").iterdir()] == [FILE]


def test_a_ledger_of_a_newer_version(tmp_path: Path) -> None:
    """It is refused, and the message says what to do."""
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(LedgerError) as caught:
        connect(tmp_path / FILE, create=False)
    assert str(caught.value) == (
        f"error: {tmp_path / FILE} was written by a newer qwenbuild\n"
        "  = its format is 99, this one knows 2\n  = hint: upgrade qwenbuild"
    )


def test_faults_say_what_to_do(tmp_path: Path) -> None:
    """An error of SQLite or of the file system becomes a LedgerError that names the file."""
    (tmp_path / FILE).write_bytes(b"no database " * 99)
    with pytest.raises(LedgerError) as caught, faults(tmp_path / FILE):
        connect(tmp_path / FILE, create=False)
    assert caught.value.claim == f"{tmp_path / FILE}: file is not a database"
