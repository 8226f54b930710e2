"""The state's file: a stranger's state runs nothing, hangs nothing, takes no file, and counts as damaged."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qwenbuild.errors import StateError
from qwenbuild.request import Request, Size
from qwenbuild.storage import state_file
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State
from tests.support.trouble import put_socket

REQUEST = Request("null-1", "m", "a ball", "", Size(10, 20), 7, False, False)
ADVICE = "move the file away and build again: the store has the images, the ledger has the paid submissions"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a state that has one output and one submission."""
    path = tmp_path / ".qwenbuild/state.sqlite3"
    with contextlib.closing(State(path)) as state:
        record = Output("a.png", REQUEST.key, "ab" * 32, 100, 123, 42, "s/a")
        state.record([record, record._replace(path="deep/b.png")], {REQUEST.key: REQUEST.as_dict()})
        state.intend(REQUEST.key, REQUEST.as_dict(), "p", {})
        state.end_run(state.begin_run(), {"rendered": 1})
    return path


def change(path: Path, script: str) -> None:
    """Run SQL on a file as a stranger does, without any care."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(script)


def refused(path: Path) -> str:
    """Return the claim with which a plan and a build refuse a file."""
    claims = set()
    for create in (False, True):
        with pytest.raises(StateError) as caught:
            State(path, create=create).close()
        assert caught.value.hint == ADVICE
        claims.add(caught.value.claim.removeprefix(f"{path}: "))
    (claim,) = claims
    return claim


@pytest.mark.parametrize(
    ("script", "strange"),
    [
        (
            "DROP TABLE outputs; CREATE VIEW outputs AS SELECT * FROM requests;",
            "view that qwenbuild did not make: outputs",
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON outputs BEGIN UPDATE submissions SET handle = 'result::https://x'; END;",
            "trigger that qwenbuild did not make: t",
        ),
        (
            "DROP TRIGGER remember_output; CREATE TRIGGER remember_output AFTER INSERT ON outputs BEGIN SELECT 1; END;",
            "trigger that qwenbuild did not make: remember_output",
        ),
        ("CREATE VIRTUAL TABLE v USING fts5(x);", "table that qwenbuild did not make: "),
        ("CREATE TABLE extra(x);", "table that qwenbuild did not make: extra"),
        ("ALTER TABLE runs ADD COLUMN more AS (abs(id)) VIRTUAL;", "table that qwenbuild did not make: runs"),
        ("ALTER TABLE runs ADD COLUMN more CHECK (randomblob(9) > id);", "table that qwenbuild did not make: runs"),
        ("CREATE INDEX i ON runs(abs(id));", "index that qwenbuild did not make: i"),
        ("ANALYZE;", "table that qwenbuild did not make: sqlite_stat1"),
    ],
)
def test_a_foreign_schema_is_refused(path: Path, script: str, strange: str) -> None:
    """A view, a trigger, a virtual table or a computed column would run a stranger's SQL when a table is used."""
    change(path, script)
    assert strange in refused(path)


@pytest.mark.parametrize(
    "row",
    [
        "UPDATE outputs SET path = '../b.png' WHERE path = 'a.png'",
        "UPDATE outputs SET path = '/etc/passwd' WHERE path = 'a.png'",
        "UPDATE outputs SET path = 'a/./b' WHERE path = 'a.png'",
        "UPDATE outputs SET path = '' WHERE path = 'a.png'",
        "UPDATE outputs SET path = 'a' || char(0) || 'b' WHERE path = 'a.png'",
        "UPDATE outputs SET path = x'61' WHERE path = 'a.png'",
        "UPDATE outputs SET path = hex(zeroblob(3000)) WHERE path = 'a.png'",
        "UPDATE outputs SET key = 'short'",
        "UPDATE outputs SET key = key || char(0)",
        "UPDATE outputs SET image = replace(image, 'a', 'A')",
        "UPDATE outputs SET image = replace(image, 'a', 'X')",
        "UPDATE outputs SET image = zeroblob(64)",
        "UPDATE outputs SET name = x'00'",
        "UPDATE outputs SET name = hex(zeroblob(1000000))",
        "UPDATE outputs SET size = 'big'",
        "UPDATE outputs SET mtime_ns = 1e300",
        "UPDATE outputs SET inode = x'01'",
        "UPDATE history SET at_s = 9e999",
        "UPDATE history SET image = 'x'",
        "UPDATE requests SET request = x'7b7d'",
    ],
)
def test_foreign_cells_are_refused(path: Path, row: str) -> None:
    """A cell of another type, a digest that is none, and a path that leads out of the folder are noticed at once."""
    change(path, row)
    assert refused(path).endswith("holds what qwenbuild does not write")


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ("UPDATE submissions SET key = 'x'; UPDATE requests SET key = 'x'", State.open_submissions),
        ("UPDATE submissions SET provider = x'00'", State.open_submissions),
        ("UPDATE submissions SET handle = zeroblob(9)", State.open_submissions),
        ("UPDATE submissions SET context = '[]'", State.open_submissions),
        ("UPDATE submissions SET intended_at_s = 9e999", State.open_submissions),
        ("UPDATE submissions SET intended_at_s = 'soon'", State.open_submissions),
        ("UPDATE requests SET request = replace(request, '\"m\"', '[1]')", State.open_submissions),
        ("UPDATE requests SET request = printf('%.*c', 200000, '[')", State.open_submissions),
        ("UPDATE runs SET started_at_s = -1.0", State.last_run),
        ("UPDATE runs SET finished_at_s = 'never'", State.last_run),
        ("UPDATE runs SET summary = '[1]'", State.last_run),
        ('UPDATE runs SET summary = \'{"rendered": "many"}\'', State.runs),
        ("UPDATE requests SET request = printf('%.*c', 200000, '[')", lambda state: state.request(REQUEST.key)),
        ("UPDATE requests SET request = '[]'", lambda state: state.history("a.png")),
    ],
)
def test_foreign_rows_are_refused_when_they_are_read(path: Path, row: str, read: Callable[[State], object]) -> None:
    """Texts that are no JSON, times that are no dates, and deep nesting count as damage."""
    change(path, row)
    with contextlib.closing(State(path, create=False)) as state, pytest.raises(StateError) as caught:
        read(state)
    assert caught.value.hint == ADVICE


def test_a_page_that_is_used_twice_is_noticed(path: Path) -> None:
    """With twenty levels of such pages, a file of some kilobytes has more rows than a query can read in years."""
    with contextlib.closing(State(path)) as state:
        record = Output("a.png", REQUEST.key, "ab" * 32, 100, 123, 42, "s/a")
        state.record([record._replace(path=f"{number}.png") for number in range(200)], {})
    content = bytearray(path.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outputs'").fetchone()
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    at = (root - 1) * page_bytes
    assert content[at] == 2  # an inner page of an index b-tree
    (first,) = struct.unpack_from(">H", content, at + 12)
    content[at + 8 : at + 12] = content[at + first : at + first + 4]  # its last child is its first one
    path.write_bytes(content)
    assert "2nd reference to page" in refused(path)


def test_a_query_without_an_end_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts steps, so it is the same on every machine."""
    monkeypatch.setattr(state_file, "_LEAST_CALLS", 3)
    with contextlib.closing(State(path)) as state:
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT count(*) FROM n"
        for _ in range(2):
            with pytest.raises(StateError, match="interrupted"), state._faults():
                state._db.execute(endless).fetchone()
        assert len(state.outputs()) == 2


def test_a_larger_file_has_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large project is no attack: twenty steps are added for each byte."""
    monkeypatch.setattr(state_file, "_LEAST_CALLS", 3)
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        steps = state_file.Steps()
        steps.limit(db, 149_999)
        for _ in range(2):
            assert [steps._is_over() for _ in range(7)] == [False] * 5 + [True] * 2
            steps.begin()


def test_a_missing_state_is_empty_and_stays_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of a new project makes no file."""
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(state_file.connect(tmp_path / "x/state", state_file.Steps(), create=False)) as db:
        db.execute("CREATE TABLE t(x)")
        assert db.execute("PRAGMA database_list").fetchall() == [(0, "main", "")]
    assert list(tmp_path.iterdir()) == []


def test_a_new_state_gets_its_folders(tmp_path: Path) -> None:
    """The folders above it, too. Its writes are in transactions that the code begins itself."""
    path = tmp_path / "deep/er/state"
    with contextlib.closing(state_file.connect(path, state_file.Steps(), create=True)) as db:
        db.execute("CREATE TABLE t(x)")
        assert db.isolation_level is None
        with pytest.raises(sqlite3.OperationalError, match="too many attached databases"):
            db.execute("ATTACH ':memory:' AS other")
    assert path.is_file()


def test_a_state_that_this_process_can_not_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read without the files that WAL mode needs beside it. Root may write everywhere, so the answer is given."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    before = {it.name for it in path.parent.iterdir()}
    with contextlib.closing(state_file.connect(path, state_file.Steps(), create=False)) as db:
        assert db.execute("SELECT count(*) FROM outputs").fetchone() == (2,)
        assert {it.name for it in path.parent.iterdir()} == before
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM outputs")


def test_a_cell_has_a_limit(path: Path) -> None:
    """A value of a gigabyte, which takes a few bytes to write, is refused before it takes memory."""
    with contextlib.closing(State(path)) as state, pytest.raises(StateError, match="too big"), state._faults():
        state._db.execute("SELECT zeroblob(100000000)").fetchone()


def test_a_journal_that_names_another_file_deletes_nothing(path: Path, tmp_path: Path) -> None:
    """SQLite rolls a journal back, and then deletes the file that the journal names as its super-journal."""
    victim = tmp_path / "precious"
    victim.write_bytes(b"mine")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode=DELETE; PRAGMA cache_size=1; BEGIN IMMEDIATE;")
        db.execute("UPDATE outputs SET name = hex(zeroblob(90000))")
        shutil.copy(path, tmp_path / "copied")
        shutil.copy(f"{path}-journal", tmp_path / "journal")
        db.execute("ROLLBACK")
    shutil.copy(tmp_path / "copied", path)
    name = os.fsencode(victim)
    end = bytes.fromhex("d9d505f920a163d7")
    record = struct.pack(">I", 0x40000000 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + end
    Path(f"{path}-journal").write_bytes((tmp_path / "journal").read_bytes() + record)
    assert refused(path) == "state.sqlite3-journal names another file, which SQLite would delete"
    assert victim.read_bytes() == b"mine"


def test_a_journal_of_a_crash_is_rolled_back(path: Path, tmp_path: Path) -> None:
    """What a crash leaves while a new state is made is repaired as before."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode=DELETE; BEGIN IMMEDIATE; DELETE FROM outputs;")
        shutil.copy(f"{path}-journal", tmp_path / "journal")
        db.execute("ROLLBACK")
    shutil.copy(tmp_path / "journal", f"{path}-journal")
    with contextlib.closing(State(path)) as state:
        assert len(state.outputs()) == 2


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_special_files_in_the_places_of_the_state(path: Path, suffix: str, kind: str) -> None:
    """Nothing waits for the writer of a pipe, and nothing reads a device."""
    place = Path(f"{path}{suffix}")
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()
    else:
        put_socket(place)
    begun_s = time.monotonic()
    assert refused(path)
    assert time.monotonic() - begun_s < 30


def test_files_beside_the_state_are_no_links(path: Path, tmp_path: Path) -> None:
    """SQLite would write into the file that the link leads to."""
    victim = tmp_path / "precious"
    victim.write_bytes(b"mine")
    Path(f"{path}-wal").symlink_to(victim)
    assert "it is a link" in refused(path)
    assert victim.read_bytes() == b"mine"


# --- the mark ---


def test_a_file_that_a_build_left_is_not_checked_again(path: Path) -> None:
    """Checking costs time, and nobody but this machine can make a file with the mark's inode and times."""
    change(path, "UPDATE outputs SET size = 'big'")
    refused(path)
    state_file.mark(path)
    with contextlib.closing(State(path, create=False)) as state:
        assert [str(output.st_size) for output in state.outputs().values()] == ["big", "big"]


def test_the_mark_of_an_unchanged_file_stays(path: Path) -> None:
    """A plan writes nothing."""
    before = os.stat(f"{path}-checked")
    state_file.mark(path)
    assert os.stat(f"{path}-checked") == before


@pytest.mark.parametrize("mark", [b"", b"1 2 3", b"\xff\xfe", b"1 " * 1000])
def test_a_torn_mark_is_none(path: Path, mark: bytes) -> None:
    """Then the file is checked, and the next build leaves a new mark."""
    place = Path(f"{path}-checked")
    good = place.read_bytes()
    place.write_bytes(mark)
    with contextlib.closing(State(path)) as state:
        assert len(state.outputs()) == 2
    assert place.read_bytes() != mark
    assert len(place.read_bytes().split()) == len(good.split()) == 4


def test_the_mark_is_written_into_no_other_file(path: Path, tmp_path: Path) -> None:
    """A stranger's link in its place is replaced."""
    victim = tmp_path / "precious"
    victim.write_bytes(b"mine")
    place = Path(f"{path}-checked")
    place.unlink()
    place.symlink_to(victim)
    State(path).close()
    assert victim.read_bytes() == b"mine"
    assert not place.is_symlink()


def test_writes_beside_the_file_are_checked(path: Path) -> None:
    """After a crash, or with a stranger's write-ahead log, the mark says nothing."""
    state = State(path)
    state.record([Output("c.png", REQUEST.key, "ab" * 32, 100, 123, 42, "s/c")], {})
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE outputs SET size = 'big'")
        with pytest.raises(StateError, match="a row of outputs"):
            State(path, create=False)
    State(path, create=False, is_checked=True).close()
    state.close()


def test_a_mark_that_can_not_be_written(path: Path) -> None:
    """Then the next process checks the file again."""
    place = Path(f"{path}-checked")
    place.unlink()
    place.mkdir()
    with contextlib.closing(State(path)) as state:
        state.forget(["a.png"])
    with contextlib.closing(State(path, create=False)) as state:
        assert list(state.outputs()) == ["deep/b.png"]
