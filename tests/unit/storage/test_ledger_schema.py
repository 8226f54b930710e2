"""The schema of the ledger."""

from __future__ import annotations

import contextlib
import sqlite3

from qwenbuild.storage.claims import Row
from qwenbuild.storage.ledger_schema import COLUMNS, SCHEMA


def test_a_row_has_the_columns_in_its_order() -> None:
    """A row that is read becomes a `Row` by position."""
    assert tuple(COLUMNS.split(", ")) == Row._fields
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        assert db.execute(f"SELECT {COLUMNS} FROM submissions").fetchall() == []
