"""The state: a project's SQLite file of outputs written, submissions, runs and past requests.

Invariants:
- An intent to submit, and the handle of an accepted submission, are on disk when their call returns.
- A submission without outcome may have been billed. If it has a handle, its image can still be collected.
  A key has at most one submission without outcome.
- An output is recorded after its file is in place. If a crash loses the record, the next plan
  recognises the output by its bytes. So these commits do not wait for the disk.

`.qwenbuild/state.sqlite3` is the only file in `.qwenbuild/` that can't be derived from other files.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from qwenbuild.candidates import ADOPTED
from qwenbuild.digest import canonical_json
from qwenbuild.emulation import FACT
from qwenbuild.errors import StateError
from qwenbuild.request import Submission
from qwenbuild.state_folder import FOLDER, STATE

from . import state_file
from .records import DAMAGE, RUN_COLUMNS, Failure, Output, PastImage, Run, failure, request_fields, run, submission
from .state_file import Steps
from .state_schema import HISTORY, SCHEMA, TO_2, TO_3, VERSION, WITH_PARAMETERS

KEYS_PER_QUERY = 500  # every SQLite accepts at least 999 values


def state_path(project_root: Path) -> Path:
    """Return the path of the state of the project in this folder. The file may be missing."""
    return project_root / FOLDER / STATE


class State:
    """The state of one project. Threads may share it. Every method may raise StateError."""

    def __init__(self, path: Path, *, create: bool = True, is_checked: bool = False) -> None:
        """Open the state. Without `create`, a missing file is an empty state, and nothing is written.

        With `is_checked`, this process has opened the file before, and does not check it again.
        """
        self.path = path
        self._lock = threading.RLock()
        self._steps = Steps()
        self._leaves_mark = False
        with self._faults():
            self._db = state_file.connect(path, self._steps, create=create)
            try:
                self._migrate(create, is_checked)
                if create:
                    self._db.execute("PRAGMA journal_mode=WAL")
                    self._db.execute("PRAGMA synchronous=NORMAL")
                self._leaves_mark = create
            except BaseException:
                self._db.close()
                raise

    @classmethod
    def of(cls, project_root: Path, *, create: bool) -> State:
        """Open the state of the project in this folder."""
        return cls(state_path(project_root), create=create)

    def _migrate(self, create: bool, is_checked: bool) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > WITH_PARAMETERS:
            facts = [f"its format is {version}, this one knows {WITH_PARAMETERS}"]
            raise StateError(
                f"{self.path} was written by a newer qwenbuild",
                facts=facts,
                hint="upgrade qwenbuild",
                name="newer-version",
            )
        if version == 0 and not create:
            self._db.close()
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._migrate(True, is_checked)
            return
        if not is_checked:
            state_file.check(self._db, self.path)
        if version == 0:
            self._db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
            version = VERSION
        if create:
            if version < VERSION:
                steps = TO_2 + TO_3 if version == 1 else TO_3
                self._db.executescript(f"BEGIN IMMEDIATE;{steps}PRAGMA user_version={VERSION};COMMIT;")
                version = VERSION
            self._db.executescript(HISTORY)
        self._version = version

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
            if self._leaves_mark:
                self._leaves_mark = False
                state_file.mark(self.path)

    # --- outputs ---

    def outputs(self) -> dict[str, Output]:
        """Return every recorded output by path."""
        with self._faults():
            rows = self._db.execute("SELECT path, key, image, size, mtime_ns, inode, name FROM outputs")
            return {output.path: output for output in map(partial(tuple.__new__, Output), rows)}

    def history(self, path: str) -> list[PastImage]:
        """Return the images that were written at an output's path, the newest first. The first is the present image."""
        with self._faults():
            rows = self._written("key, image, at_s, request", "LEFT JOIN requests USING (key) WHERE path = ?", path)
            return [
                PastImage(key, image, at_s, request_fields(text) if text else None) for key, image, at_s, text in rows
            ]

    def images_written(self) -> list[tuple[str, str]]:
        """Return (key, digest) of every image that was written at any path, the newest first."""
        with self._faults():
            return list(self._written("key, image"))

    def _written(self, columns: str, which: str = "", *values: Any) -> Iterable[Any]:
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'history'").fetchone():
            return ()
        return self._db.execute(f"SELECT {columns} FROM history {which} ORDER BY id DESC", values)  # noqa: S608

    def image_counts(self) -> dict[str, int]:
        """Return the number of recorded outputs of each image (`spec/image`)."""
        with self._faults():
            image = "CASE instr(name, '[') WHEN 0 THEN name ELSE substr(name, 1, instr(name, '[') - 1) END"
            return dict(self._db.execute(f"SELECT {image}, count(*) FROM outputs GROUP BY 1"))  # noqa: S608

    def record(self, outputs: Iterable[Output], requests: Mapping[str, Mapping[str, Any]]) -> None:
        """Record outputs whose files are in place, and their requests by key. Their failures are forgotten."""
        outputs = list(outputs)
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO requests VALUES (?, ?)",
                [(key, canonical_json(request).decode()) for key, request in requests.items()],
            )
            self._db.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?)", outputs)
            if self._db.execute("SELECT 1 FROM failures LIMIT 1").fetchone():
                self._forget_failures([output.path for output in outputs])
                settled = [(output.key,) for output in outputs]
                self._db.executemany("DELETE FROM failures WHERE key = ? AND is_final", settled)

    def _forget_failures(self, paths: Iterable[str]) -> None:
        """Delete the failures of outputs; those of requests that are not sent again stay."""
        forget = "DELETE FROM failures WHERE path = ? AND NOT is_final"
        self._db.executemany(forget, [(path,) for path in paths])

    def failures(self) -> list[Failure]:
        """Return the last failure of each output, and of each request that is not sent again, until it succeeds."""
        if self._version < VERSION:  # a plan reads an older file without changing it
            return []
        with self._faults():
            rows = self._db.execute("SELECT path, key, host, at_s, is_final, error FROM failures ORDER BY path, key")
            return [failure(*row) for row in rows]

    def record_failures(self, failures: Iterable[Failure]) -> None:
        """Record the last failure of outputs."""
        failures = list(failures)
        with self._transaction():
            self._forget_failures([it.path for it in failures])
            rows = [it.as_row() for it in failures]
            self._db.executemany("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?)", rows)

    def forget(self, paths: Iterable[str]) -> None:
        """Delete the records of these outputs."""
        with self._transaction():
            self._db.executemany("DELETE FROM outputs WHERE path = ?", [(path,) for path in paths])

    def request(self, key: str) -> dict[str, Any] | None:
        """Return the recorded request of `key`, None if there is none."""
        with self._faults():
            text = self.requests([key]).get(key)
            return request_fields(text) if text else None

    def requests(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the recorded requests of these keys as canonical JSON. Unknown keys are left out."""
        wanted, found = sorted(keys), dict[str, str]()  # sorted as in the file, so that each page is read once
        with self._faults():
            for at in range(0, len(wanted), KEYS_PER_QUERY):
                some = wanted[at : at + KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                found.update(self._db.execute(f"SELECT key, request FROM requests WHERE key IN ({marks})", some))  # noqa: S608
        return found

    # --- submissions ---

    def intend(
        self, key: str, request: Mapping[str, Any], provider: str, context: Mapping[str, Any], *, forced: bool = False
    ) -> int:
        """Record on disk that a request is about to be sent; return the submission's id.

        `forced` means that the new image will replace the stored image. An open submission of the same key gets the
        outcome `resubmitted`.
        """
        with self._transaction(durable=True):
            return self._insert(key, request, provider, "", context, time.time(), forced, "")

    def mirror(self, submission: Submission) -> None:
        """Record an open submission of the ledger, or what the ledger says of one that is recorded already."""
        with self._transaction():
            it, context = submission, submission.context
            changed = self._db.execute("UPDATE submissions SET handle = ? WHERE uid = ?", (it.handle, it.uid)).rowcount
            if changed and (ADOPTED in context or FACT in context):
                text = canonical_json(context).decode()
                self._db.execute("UPDATE submissions SET context = ? WHERE uid = ?", (text, it.uid))
            if not changed:
                request = it.request.as_dict()
                self._insert(it.key, request, it.provider, it.handle, context, it.intended_at_s, it.forced, it.uid)

    def settle_mirror(self, uid: str, outcome: str) -> None:
        """Close the submission that mirrors the ledger's row `uid`."""
        with self._transaction():
            self._db.execute("UPDATE submissions SET outcome = ? WHERE uid = ? AND outcome IS NULL", (outcome, uid))

    def _insert(
        self, key: str, request: Mapping[str, Any], provider: str, handle: str, context: Mapping[str, Any],
        intended_at_s: float, forced: bool, uid: str,
    ) -> int:  # fmt: skip
        self._db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?)", (key, canonical_json(request).decode()))
        if "parameters" in request:
            self._db.execute(f"PRAGMA user_version={WITH_PARAMETERS}")
        self._db.execute("UPDATE submissions SET outcome = 'resubmitted' WHERE key = ? AND outcome IS NULL", (key,))
        cursor = self._db.execute(
            "INSERT INTO submissions(key, provider, handle, context, intended_at_s, forced, uid)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, provider, handle, canonical_json(context).decode(), intended_at_s, forced, uid),
        )
        return int(cursor.lastrowid or 0)

    def accepted(self, submission: int, handle: str) -> None:
        """Record on disk the handle with which the provider can collect the submission's image."""
        with self._transaction(durable=True):
            self._db.execute("UPDATE submissions SET handle = ? WHERE id = ?", (handle, submission))

    def settle(self, submission: int, outcome: str) -> None:
        """Close a submission with the outcome `done` or `refused` (nothing was billed)."""
        with self._transaction():
            self._db.execute("UPDATE submissions SET outcome = ? WHERE id = ?", (outcome, submission))

    def open_submissions(self) -> list[Submission]:
        """Return all submissions without an outcome, the oldest first."""
        return self._submissions("outcome IS NULL")

    def submissions_since(self, since_s: float) -> list[Submission]:
        """Return the submissions since the time `since_s` (seconds since the epoch) that may have been billed."""
        return self._submissions("intended_at_s >= ? AND outcome IS NOT 'refused'", since_s)

    def keys_sent_to_this_machine(self) -> set[str]:
        """Return the keys of submissions to a server on this machine: a gateway, or an emulator."""
        hosts = ("127.", "localhost", "[::1]")
        with self._faults():
            found = self._db.execute(
                f"SELECT DISTINCT key FROM submissions WHERE {' OR '.join(['instr(context, ?)'] * len(hosts))}",  # noqa: S608
                [f'"host":"{host}' for host in hosts],
            )
            return {str(key) for (key,) in found}

    def _submissions(self, condition: str, *values: float) -> list[Submission]:
        uid = "uid" if self._version > 1 else "''"  # a plan reads an older file without changing it
        with self._faults():
            rows = self._db.execute(
                f"SELECT id, key, request, provider, handle, context, intended_at_s, forced, {uid}"  # noqa: S608
                f" FROM submissions JOIN requests USING (key) WHERE {condition} ORDER BY id",
                values,
            )
            return [submission(*row) for row in rows]

    # --- runs ---

    def begin_run(self) -> int:
        """Record that a build starts; return the run's id."""
        with self._transaction():
            cursor = self._db.execute("INSERT INTO runs(started_at_s) VALUES (?)", (time.time(),))
            return int(cursor.lastrowid or 0)

    def end_run(self, run: int, summary: Mapping[str, Any]) -> None:
        """Record how a build ended."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET finished_at_s = ?, summary = ? WHERE id = ?",
                (time.time(), canonical_json(summary).decode(), run),
            )

    def last_run(self) -> dict[str, Any] | None:
        """Return when the last build started and ended (seconds since the epoch), and its summary."""
        return next((it.as_dict() for it in self.runs(1)), None)

    def runs(self, most: int = -1) -> list[Run]:
        """Return the builds, the newest first. `most` is how many, -1 for all."""
        with self._faults():
            rows = self._db.execute(f"SELECT {RUN_COLUMNS} FROM runs ORDER BY id DESC LIMIT ?", (most,))  # noqa: S608
            return [run(*row) for row in rows]

    # --- transactions ---

    @contextmanager
    def durably(self) -> Iterator[None]:
        """Join the writes of the context into one commit. When the context ends, all writes are on disk, or none."""
        with self._transaction(durable=True):
            yield

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[None]:
        with self._faults():
            if self._db.in_transaction:  # begun by `durably` in this thread, which holds the lock
                yield
                return
            if durable:  # in WAL mode only FULL waits for the disk at each commit
                self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                if durable:
                    self._db.execute("PRAGMA synchronous=NORMAL")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn errors of SQLite, the file system and damaged rows into StateError."""
        with self._lock:
            self._steps.begin()
            try:
                yield
            except (sqlite3.Error, OSError, *DAMAGE) as error:
                raise StateError(f"{self.path}: {error}", hint=state_file.hint_of(error)) from error
