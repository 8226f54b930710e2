"""The nouns of the ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from qwenbuild.storage.claims import Row
from qwenbuild.storage.ledger import Ledger


def test_a_row_has_only_columns_of_the_ledger(tmp_path: Path) -> None:
    """Each field of a row is a column of the same name."""
    ledger = Ledger(tmp_path)
    with sqlite3.connect(ledger.path) as db:
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(submissions)")]
    db.close()
    ledger.close()
    assert [name for name in Row._fields if name not in columns] == []
    assert sorted(set(columns) - set(Row._fields)) == ["host", "interface", "model", "region"]
