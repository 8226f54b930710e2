"""Hints for a ledger that can't be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from qwenbuild.storage.ledger_hints import damaged_hint, hint_of

PATH = Path("/data/ledger.sqlite3")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_LOCKED, "end that program"),
        (sqlite3.SQLITE_FULL, "free some disk space"),
        (sqlite3.SQLITE_IOERR, "a folder on another disk"),
        (sqlite3.SQLITE_NOTADB, damaged_hint(PATH)),
        (sqlite3.SQLITE_PERM, "make the folder writable"),
    ],
)
def test_each_error_has_a_next_step(code: int, expected: str) -> None:
    """The hint depends on SQLite's error code."""
    error = sqlite3.OperationalError()
    error.sqlite_errorcode = code
    assert expected in hint_of(error, PATH)
