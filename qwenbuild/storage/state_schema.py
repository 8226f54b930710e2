"""The schema of the state: its tables, what every version of qwenbuild put into it, and what its cells must hold.

A state with anything else in it is refused: a view or a trigger of a stranger runs when a table is read or written. So
whoever adds a table raises VERSION.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from functools import cache
from typing import Final, NamedTuple

VERSION: Final = 3
"""The version of a new state."""

WITH_PARAMETERS: Final = 4
"""The version of a state that has recorded a submission with vendor parameters.

Older versions of qwenbuild can't read such a submission. They refuse a state of this version, and say so.
"""

_SCHEMA_2: Final = """
CREATE TABLE requests(key TEXT PRIMARY KEY, request TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outputs(
    path TEXT PRIMARY KEY, key TEXT NOT NULL, image TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    name TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE submissions(
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, provider TEXT NOT NULL, handle TEXT NOT NULL DEFAULT '',
    context TEXT NOT NULL, intended_at_s REAL NOT NULL, forced INTEGER NOT NULL, outcome TEXT,
    uid TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX open_submissions ON submissions(key) WHERE outcome IS NULL;
CREATE TABLE runs(id INTEGER PRIMARY KEY, started_at_s REAL NOT NULL, finished_at_s REAL, summary TEXT);
"""

_SINCE_2: Final = ",\n    uid TEXT NOT NULL DEFAULT ''"

# Version 2: a submission that costs money has the name of its row in the ledger.
TO_2: Final = """
ALTER TABLE submissions ADD COLUMN uid TEXT NOT NULL DEFAULT '';
UPDATE submissions SET uid = lower(hex(randomblob(16))) WHERE outcome IS NULL;
"""

# Version 3: the last failure of each output, until it succeeds; and each request that is not sent again.
TO_3: Final = """
CREATE TABLE failures(
    path TEXT NOT NULL, key TEXT NOT NULL, host TEXT NOT NULL, at_s REAL NOT NULL, is_final INTEGER NOT NULL,
    error TEXT NOT NULL, PRIMARY KEY(key, path)
) WITHOUT ROWID;
CREATE INDEX failures_by_path ON failures(path);
"""

SCHEMA: Final = _SCHEMA_2 + TO_3

# A trigger keeps the history, so older versions of qwenbuild add to it too. Older files get it at the next write.
HISTORY: Final = """
CREATE TABLE IF NOT EXISTS history(
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, key TEXT NOT NULL, image TEXT NOT NULL, at_s REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS history_by_path ON history(path);
CREATE TRIGGER IF NOT EXISTS remember_output AFTER INSERT ON outputs
WHEN NEW.image IS NOT (SELECT image FROM history WHERE path = NEW.path ORDER BY id DESC LIMIT 1) BEGIN
    INSERT INTO history(path, key, image, at_s)
    VALUES (NEW.path, NEW.key, NEW.image, (julianday('now') - 2440587.5) * 86400.0);
END;
"""

_MARKS: Final = re.compile("([(),])")


class Object(NamedTuple):
    """A table, an index, a trigger or a view: its type, its name, its table, and its SQL with single spaces."""

    type: str
    name: str
    table: str
    sql: str


_DIGESTS: Final = " AND ".join(
    f"typeof({name}) = 'text' AND length(CAST({name} AS BLOB)) = 64" for name in ("key", "image")
)
_PATH: Final = (
    "typeof(path) = 'text' AND length(CAST(path AS BLOB)) BETWEEN 1 AND 4096 AND instr(path, char(0)) = 0"
    " AND instr('/' || path || '/', '//') + instr('/' || path || '/', '/../') + instr('/' || path || '/', '/./') = 0"
)

CELLS: Final = {
    "outputs": f"{_PATH} AND {_DIGESTS} AND typeof(name) = 'text' AND length(CAST(name AS BLOB)) <= 1048576"
    " AND typeof(size) = 'integer' AND typeof(mtime_ns) = 'integer' AND typeof(inode) = 'integer'",
    "history": f"{_PATH} AND {_DIGESTS} AND typeof(at_s) = 'real' AND at_s BETWEEN 0 AND 1e11",
    "requests": "typeof(key) = 'text' AND typeof(request) = 'text'",
    "failures": f"{_PATH} AND typeof(key) = 'text' AND length(CAST(key AS BLOB)) = 64 AND typeof(host) = 'text'"
    " AND typeof(at_s) = 'real' AND at_s BETWEEN 0 AND 1e11 AND typeof(error) = 'text'",
}
"""What holds for every row of a table, in SQL: the types, the lengths, and that paths stay inside."""

DIGESTS: Final = {"outputs": "key || image", "history": "key || image", "requests": "''", "failures": "key"}
"""The texts of each table that consist of lower-case hex digits. SQL would take ten times as long to see it."""


def objects(db: sqlite3.Connection) -> set[Object]:
    """Return everything in a database's schema. Raises sqlite3.Error."""
    found = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
    return {
        Object(str(kind), str(name), str(table), " ".join(_MARKS.sub(r" \1 ", str(sql)).split()))
        for kind, name, table, sql in found
    }


@cache
def known() -> frozenset[Object]:
    """Return the objects that a version of qwenbuild may have put into a state."""
    found = set[Object]()
    for script in (_SCHEMA_2, _SCHEMA_2.replace(_SINCE_2, "")):
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            db.executescript(script + HISTORY)
            found |= objects(db)
            if script is not _SCHEMA_2:
                db.executescript(TO_2)
                found |= objects(db)
            db.executescript(TO_3)
            found |= objects(db)
    return frozenset(found)
