"""The schema of the state: what older versions wrote is known, in every order of upgrades."""

from __future__ import annotations

import contextlib
import sqlite3

from qwenbuild.storage.state_schema import CELLS, HISTORY, SCHEMA, TO_2, TO_3, Object, known, objects
from tests.unit.storage.test_submissions import OLDER_STATE


def made(*scripts: str) -> set[Object]:
    """Return the objects of a database after these scripts."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for script in scripts:
            db.executescript(script)
        return objects(db)


def test_every_state_of_every_version_is_known() -> None:
    """With and without the history, new and upgraded."""
    states = [
        made(SCHEMA), made(SCHEMA, HISTORY), made(OLDER_STATE), made(OLDER_STATE, HISTORY), made(OLDER_STATE, TO_2),
        made(OLDER_STATE, TO_2, HISTORY), made(OLDER_STATE, HISTORY, TO_2), made(OLDER_STATE, TO_2, HISTORY, TO_3),
        made(SCHEMA, "DROP TABLE failures"), made(SCHEMA, "ALTER TABLE submissions DROP COLUMN uid"),
    ]  # fmt: skip
    for state in states:
        assert state <= known()
    assert known() == set().union(*states)


def test_the_rules_for_cells_are_sql_on_known_tables() -> None:
    """Each rule can be asked of an empty state."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA + HISTORY)
        for table, rule in CELLS.items():
            assert db.execute(f"SELECT 1 FROM {table} WHERE NOT ({rule})").fetchall() == []
