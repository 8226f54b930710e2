"""The schema of the ledger: its tables, and the columns of a row.

`search` is what the service's list of tasks said last about a lost answer, in JSON.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
"""The version of a new ledger."""

WITH_PARAMETERS: Final = 2
"""The version of a ledger that has recorded a request with vendor parameters.

Older versions of qwenbuild can't read such a request. They refuse a ledger of this version, and say so.
"""

SCHEMA: Final = """
CREATE TABLE secrets(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE submissions(
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    model TEXT NOT NULL,
    project TEXT NOT NULL,
    cell TEXT NOT NULL,
    provider TEXT NOT NULL,
    host TEXT NOT NULL,
    region TEXT NOT NULL,
    interface TEXT NOT NULL,
    account TEXT NOT NULL,
    context TEXT NOT NULL,
    claimant TEXT NOT NULL,
    forced INTEGER NOT NULL,
    price TEXT NOT NULL,
    currency TEXT NOT NULL,
    handle TEXT NOT NULL DEFAULT '',
    intended_at_s REAL NOT NULL,
    settled_at_s REAL,
    outcome TEXT,
    refusal TEXT,
    search TEXT
);
CREATE UNIQUE INDEX open_submissions ON submissions(key) WHERE outcome IS NULL;
CREATE INDEX submissions_by_key ON submissions(key, id);
CREATE INDEX submissions_by_time ON submissions(intended_at_s);
"""

COLUMNS: Final = (
    "id, uid, key, request, project, cell, provider, account, context, claimant, forced, price, currency, handle,"
    " intended_at_s, settled_at_s, outcome, refusal, search"
)
"""The columns of a `claims.Row`, in its order."""
