"""The ledger: every submission that may cost money, of all of a user's projects, in one SQLite file.

Invariants:
- A submission is on disk when the call returns, and so is the handle of an accepted one (WAL, `synchronous=FULL`).
- A key has at most one open submission. An open submission also claims its key: while its claimant lives,
  nobody else sends a request of that key.
- An open submission without a living claimant was left by a crash, by a lost answer or by `--detach`. With a handle,
  its image can be collected. Without one, it may have been billed.
- Rows are never deleted. If a project's state mirrors a row that the ledger lacks, the ledger was lost.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from qwenbuild.candidates import ADOPTED
from qwenbuild.digest import canonical_json
from qwenbuild.emulation import FACT
from qwenbuild.errors import LedgerError
from qwenbuild.files import atomic

from . import ledger_file
from .claimant import Claimant, is_alive, lock_fault, unfit
from .claims import ENVIRON, Claim, Held, Intent, Left, Row, Stored
from .ledger_file import FILE
from .ledger_schema import COLUMNS, SCHEMA, VERSION, WITH_PARAMETERS

_ALIVE_S = 0.1  # a claimant that was alive is not asked again for so long: asking takes 2 ms
_AT_ONCE = 500  # values of one query; SQLite takes at least 999


class Ledger:
    """One connection to the ledger, for one process. Threads may share it."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Open `folder/ledger.sqlite3`. Raises LedgerError if it can't be used, or is missing and not `create`."""
        self.path: Final = folder / FILE
        self._claimants = folder / "claimants"
        self._claimant: Claimant | None = None
        self._dead: set[str] = set()  # names of claimants; they are never used again
        self._alive: dict[str, float] = {}  # the `time.monotonic()` at which a claimant was last seen alive
        self._lock = threading.RLock()
        with self._faults():
            self._db, version = ledger_file.connect(self.path, create=create)
            try:
                self._migrate(version)
            except BaseException:
                self._db.close()
                raise

    def _migrate(self, version: int) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if version == 0:
            with self._transaction():  # two processes may both find the file empty
                (version,) = self._db.execute("PRAGMA user_version").fetchone()
                if version == 0:  # pragma: no branch - needs two processes at the same instant
                    if self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                        raise LedgerError(
                            f"{self.path} is another program's database",
                            hint=f"set {ENVIRON} to another folder",
                            name="ledger-place",
                        )
                    for statement in SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO secrets VALUES ('account', ?)", (secrets.token_bytes(32),))
                    self._db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close the file, and end the claims of submissions that are still open."""
        with self._lock:
            self._db.close()
            if self._claimant:
                self._claimant.close()
                self._claimant = None

    def prepare(self) -> None:
        """Become a claimant. Raises LedgerError if the locks of this folder are not dependable."""
        with self._faults():
            if self._claimant is None:
                self._claimants.mkdir(exist_ok=True)
                # Another process may have made these names, and been killed before it synced them.
                for place in (self.path.parent.parent, self.path.parent):
                    atomic.sync_folder(place)
                if fault := lock_fault(self._claimants):
                    raise unfit(self.path.parent, fault)
                self._claimant = Claimant(self._claimants)

    def digest(self, account: str) -> str:
        """Return the digest by which rows name an account. The ledger's own secret is its key. Empty for no account."""
        if not account:
            return ""
        with self._faults():
            (key,) = self._db.execute("SELECT value FROM secrets WHERE name = 'account'").fetchone()
            return hmac.digest(key, account.encode(), "sha256").hex()[:32]

    # --- claims ---

    def intend(self, intent: Intent, is_stored: Callable[[], bool] = lambda: False) -> Claim:
        """Claim a key, and record on disk that its request is about to be sent; return the new row.

        If something stands in the way, return that instead, and record nothing. `is_stored` is asked under the
        claim: whether the store has the image by now.
        """
        assert self._claimant is not None, "prepare() comes first"
        with self._transaction():
            row = self._open_row(intent.key)
            if row is not None and self._is_held(row):
                return Held(row)
            if is_stored():
                return Stored()
            if row is not None:
                if row.uid != intent.replaces:
                    return Left(row)
                self._settle(row.uid, "resubmitted")
            self._insert(intent, secrets.token_hex(16), self._claimant.name, "", time.time())
            row = self._open_row(intent.key)
            assert row is not None
            return row

    def restore(self, intent: Intent, uid: str, handle: str, intended_at_s: float) -> None:
        """Record an open submission that a project's state has and the ledger lacks. Nobody claims it."""
        with self._transaction():
            self._insert(intent, uid, "", handle, intended_at_s)

    def _insert(self, intent: Intent, uid: str, claimant: str, handle: str, intended_at_s: float) -> None:
        price = "" if intent.price is None else str(intent.price)
        context = dict(intent.context)
        account = self.digest(str(context.pop("account", "")))
        host, region, interface = (str(context.get(name, "")) for name in ("host", "region", "interface"))
        if intent.request.parameters:
            self._db.execute(f"PRAGMA user_version={WITH_PARAMETERS}")
        # Two projects that are older than the ledger may both have the key open: the first one is kept.
        self._db.execute(
            "INSERT OR IGNORE INTO submissions(uid, key, request, model, project, cell, provider, host, region,"
            " interface, account, context, claimant, forced, price, currency, handle, intended_at_s)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                uid, intent.key, canonical_json(intent.request.as_dict()).decode(), intent.request.model,
                intent.project, intent.cell, intent.provider, host, region, interface, account,
                canonical_json(context).decode(), claimant, intent.forced, price, intent.currency, handle,
                intended_at_s,
            ),
        )  # fmt: skip

    def take(self, uid: str) -> Row | Held | None:
        """Claim an open submission, to collect its image; return its present row.

        Return Held if a living process has claimed it, None if it was settled meanwhile or has no handle.
        """
        assert self._claimant is not None, "prepare() comes first"
        with self._transaction():
            now = self._row("uid = ?", uid)
            if now is None or now.outcome is not None:
                return None
            if self._is_held(now):
                return Held(now)
            if not now.handle:
                return None
            self._db.execute("UPDATE submissions SET claimant = ? WHERE uid = ?", (self._claimant.name, uid))
            return now._replace(claimant=self._claimant.name)

    def release(self, uid: str) -> None:
        """End the claim of an open submission: this process does nothing more for it."""
        with self._transaction():
            self._db.execute("UPDATE submissions SET claimant = '' WHERE uid = ?", (uid,))

    def is_held(self, row: Row) -> bool:
        """Return whether a living process other than this one has claimed an open submission."""
        with self._faults():
            return self._is_held(row)

    def _is_held(self, row: Row) -> bool:
        name, now_s = row.claimant, time.monotonic()
        if not name or name in self._dead or (self._claimant and name == self._claimant.name):
            return False
        if now_s - self._alive.get(name, -_ALIVE_S) < _ALIVE_S:
            return True
        if is_alive(self._claimants, name):
            self._alive[name] = now_s
            return True
        self._dead.add(name)
        return False

    # --- what becomes of a submission ---

    def accepted(self, uid: str, handle: str, emulated_by: str = "") -> None:
        """Record on disk the handle with which the provider can collect the image; empty if there is none any more.

        `emulated_by` is the address of the emulator that answered, empty if it was no emulator.
        """
        with self._transaction():
            self._db.execute("UPDATE submissions SET handle = ? WHERE uid = ?", (handle, uid))
            if emulated_by:
                self._note(uid, FACT, emulated_by)

    def _note(self, uid: str, name: str, value: object) -> None:
        """Add a value to the context of a submission."""
        (known,) = self._db.execute("SELECT context FROM submissions WHERE uid = ?", (uid,)).fetchone()
        context = canonical_json({**json.loads(known), name: value}).decode()
        self._db.execute("UPDATE submissions SET context = ? WHERE uid = ?", (context, uid))

    def settle(self, uid: str, outcome: str) -> None:
        """Close a submission: `done`, or `refused` (nothing was billed)."""
        with self._transaction():
            self._settle(uid, outcome)

    def _settle(self, uid: str, outcome: str) -> None:
        self._db.execute(
            "UPDATE submissions SET outcome = ?, settled_at_s = ? WHERE uid = ? AND outcome IS NULL",
            (outcome, time.time(), uid),
        )

    def adopt(self, uid: str, handle: str) -> Row | None:
        """Give an open submission with a lost answer the handle of a task, if no submission on record has it.

        Return the submission that has the handle now: this one, or another. Return None if the submission was
        settled, got another handle, or a living process works on it.
        """
        with self._transaction():
            now, owner = self._row("uid = ?", uid), self._row("handle = ? ORDER BY id DESC LIMIT 1", handle)
            if owner is None and now and not (now.outcome or now.handle or self._is_held(now)):
                self._db.execute("UPDATE submissions SET handle = ? WHERE uid = ?", (handle, uid))
                self._note(uid, ADOPTED, True)
                return self._row("uid = ?", uid)
            return owner

    def settle_unbilled(self, uid: str) -> bool:
        """Close an open submission that was not billed, unless it has a handle by now, or a living process has it."""
        with self._transaction():
            now = self._row("uid = ?", uid)
            if now is None or now.outcome or now.handle or self._is_held(now):
                return False
            self._settle(uid, "refused")
            return True

    def remember(self, searches: Mapping[str, Mapping[str, Any]]) -> None:
        """Record what a list of tasks says about submissions, by uid."""
        with self._transaction():
            rows = [(json.dumps(search), uid) for uid, search in searches.items()]
            self._db.executemany("UPDATE submissions SET search = ? WHERE uid = ?", rows)

    def explain(self, uid: str, refusal: Mapping[str, Any]) -> None:
        """Record why the service refused a submission, for builds that wait for its outcome."""
        with self._transaction():
            self._db.execute("UPDATE submissions SET refusal = ? WHERE uid = ?", (json.dumps(refusal), uid))

    # --- reading ---

    def open_rows(self, keys: Collection[str] | None = None) -> list[Row]:
        """Return the open submissions of these keys, or of all, oldest first."""
        if keys is None:
            return self._rows("outcome IS NULL")
        ordered, found = sorted(keys), list[Row]()
        for at in range(0, len(ordered), _AT_ONCE):
            some = ordered[at : at + _AT_ONCE]
            found += self._rows(f"outcome IS NULL AND key IN ({','.join('?' * len(some))})", *some)
        return sorted(found, key=lambda row: row.id)

    def last_settled(self, key: str) -> Row | None:
        """Return the submission of a key that was settled last."""
        with self._faults():
            return self._row("key = ? AND outcome IS NOT NULL ORDER BY settled_at_s DESC, id DESC LIMIT 1", key)

    def rows_since(self, since_s: float) -> list[Row]:
        """Return the submissions that may have been billed and were intended since then (seconds since the epoch)."""
        return self._rows("intended_at_s >= ? AND outcome IS NOT 'refused'", since_s)

    def rows_of(self, project: str) -> list[Row]:
        """Return the open submissions of a project, oldest first."""
        return self._rows("outcome IS NULL AND project = ?", project)

    def outcomes(self, uids: Iterable[str]) -> dict[str, str | None]:
        """Return the outcome of each of these submissions that the ledger knows; None for an open one."""
        ordered, found = sorted(uids), dict[str, str | None]()
        with self._faults():
            for at in range(0, len(ordered), _AT_ONCE):
                some = ordered[at : at + _AT_ONCE]
                marks = ",".join("?" * len(some))
                found.update(self._db.execute(f"SELECT uid, outcome FROM submissions WHERE uid IN ({marks})", some))  # noqa: S608
        return found

    def _open_row(self, key: str) -> Row | None:
        return self._row("key = ? AND outcome IS NULL", key)

    def _row(self, condition: str, *values: Any) -> Row | None:
        found = self._db.execute(f"SELECT {COLUMNS} FROM submissions WHERE {condition}", values).fetchone()  # noqa: S608
        return None if found is None else Row(*found)

    def _rows(self, condition: str, *values: Any) -> list[Row]:
        with self._faults():
            query = f"SELECT {COLUMNS} FROM submissions WHERE {condition} ORDER BY id"  # noqa: S608
            return [Row(*found) for found in self._db.execute(query, values)]

    # --- transactions ---

    @contextmanager
    def durably(self) -> Iterator[None]:
        """Join the writes of the context into one commit. When the context ends, all writes are on disk, or none."""
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._faults():
            if self._db.in_transaction:  # begun by `durably` in this thread, which holds the lock
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        with self._lock, ledger_file.faults(self.path):
            yield
