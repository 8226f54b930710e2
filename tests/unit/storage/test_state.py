"""The state: a later process reads what this process recorded, or gets an error with the reason."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qwenbuild.digest import canonical_json
from qwenbuild.errors import StateError
from qwenbuild.request import Request, Size
from qwenbuild.storage.records import Failure, Output
from qwenbuild.storage.state import State, state_path
from qwenbuild.storage.state_schema import VERSION, WITH_PARAMETERS
from tests.support.trouble import most_bytes, nobody, public_folder

REQUEST = Request("null-1", "m", "a ball", "", Size(10, 20), 7, False, False)
KEY = REQUEST.key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a state that does not exist yet."""
    return tmp_path / ".qwenbuild" / "state #1?.sqlite3"  # these characters need escapes in a URI


def output(path: str, name: str = "s/a[x=1]", key: str = KEY) -> Output:
    """Return the record of an output."""
    return Output(path, key, "ab" * 32, 100, 123_456_789, 42, name)


def test_outputs_are_remembered(path: Path) -> None:
    """Outputs and requests are read back after the file was closed. A new record of a path replaces the old one."""
    state = State(path)
    state.record([output("a.png"), output("b.png")], {KEY: REQUEST.as_dict()})
    state.record([output("a.png", "s/b")], {})
    state.close()
    again = State(path, create=False)
    assert again.outputs() == {"a.png": output("a.png", "s/b"), "b.png": output("b.png")}
    assert again.request(KEY) == REQUEST.as_dict()
    assert again.request("0" * 64) is None
    many = [f"{number:064}" for number in range(2000)]
    assert again.requests([*many, KEY]) == {KEY: canonical_json(REQUEST.as_dict()).decode()}
    again.close()


def test_the_state_of_a_project(tmp_path: Path) -> None:
    """`State.of` opens the state at `state_path`."""
    with contextlib.closing(State.of(tmp_path, create=True)) as state:
        state.record([output("a.png")], {})
    with contextlib.closing(State(state_path(tmp_path), create=False)) as again:
        assert list(again.outputs()) == ["a.png"]


def test_the_history_of_an_output(path: Path) -> None:
    """The images that were at a path are listed, the newest first. Writing the same image again adds nothing."""
    with contextlib.closing(State(path)) as state:
        first, second = output("a.png"), output("a.png", key="0" * 64)._replace(image="cd" * 32)
        for record in (first, first, second):
            state.record([record], {KEY: REQUEST.as_dict()})
        found = [(past.key, past.image, past.request) for past in state.history("a.png")]
        assert found == [("0" * 64, "cd" * 32, None), (KEY, "ab" * 32, REQUEST.as_dict())]
        assert state.history("b.png") == []
        assert state.images_written() == [("0" * 64, "cd" * 32), (KEY, "ab" * 32)]


def test_many_writes_in_one_commit(path: Path) -> None:
    """All writes inside `durably` are kept; if one fails, none is kept."""
    state = State(path)
    with state.durably():
        one = state.intend(KEY, REQUEST.as_dict(), "p", {})
        state.accepted(one, "task:1")
    assert [it.handle for it in state.open_submissions()] == ["task:1"]
    with pytest.raises(ZeroDivisionError), state.durably():
        state.settle(one, "done")
        raise ZeroDivisionError
    assert [it.id for it in state.open_submissions()] == [one]
    state.close()


def test_outputs_are_forgotten(path: Path) -> None:
    """A forgotten output has no record."""
    state = State(path)
    state.record([output("a.png"), output("b.png")], {})
    state.forget(["a.png", "nosuch.png"])
    assert list(state.outputs()) == ["b.png"]
    state.close()


def test_images_are_counted(path: Path) -> None:
    """Outputs are counted by image, also if a cell's name holds brackets."""
    state = State(path)
    names = ["s/a[x=1]", "s/a[x=2]", "s/b", "t/a[note=b[1]]"]
    state.record([output(f"{at}.png", name) for at, name in enumerate(names)], {})
    assert state.image_counts() == {"s/a": 2, "s/b": 1, "t/a": 1}
    state.close()


def test_a_submission_is_on_the_disk_when_the_call_returns(path: Path) -> None:
    """Another process reads the intent and the handle as soon as the calls return."""
    state = State(path)
    number = state.intend(KEY, REQUEST.as_dict(), "p", {"region": "x"})
    state.accepted(number, "task:1")
    query = "SELECT handle FROM submissions"
    look = f"import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('{query}').fetchall())"
    done = subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True, check=True)
    assert done.stdout == "[('task:1',)]\n"
    state.close()


def test_submissions(path: Path) -> None:
    """A submission is open until it is settled. A new submission of the same key closes the old one."""
    state = State(path)
    first = state.intend(KEY, REQUEST.as_dict(), "p", {})
    second = state.intend(KEY, REQUEST.as_dict(), "p", {"a": [1]}, forced=True)
    (found,) = state.open_submissions()
    assert (found.id, found.key, found.request, found.provider) == (second, KEY, REQUEST, "p")
    assert (found.handle, found.context, found.forced) == ("", {"a": [1]}, True)
    assert [it.id for it in state.submissions_since(0)] == [first, second]
    state.settle(second, "refused")
    assert state.open_submissions() == []
    assert [it.id for it in state.submissions_since(0)] == [first]
    assert state.submissions_since(found.intended_at_s + 1) == []
    state.close()


def test_parameters_raise_the_version(path: Path) -> None:
    """A version of qwenbuild that does not know parameters can't read such a submission, so it must stop."""

    def version() -> int:
        with contextlib.closing(sqlite3.connect(path)) as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])

    with contextlib.closing(State(path)) as state:
        state.intend(KEY, REQUEST.as_dict(), "p", {})
        assert version() == VERSION
        extended = REQUEST._replace(parameters='{"a":[1]}')
        state.intend("b" * 64, extended.as_dict(), "p", {})
        assert version() == WITH_PARAMETERS
        assert [it.request for it in state.open_submissions()] == [REQUEST, extended]
    with contextlib.closing(State(path)) as state:
        assert (state.request("b" * 64) or {})["parameters"] == {"a": [1]}
        assert state.failures() == []
    assert version() == WITH_PARAMETERS


def test_runs(path: Path) -> None:
    """`last_run` returns the last run, whether it ended or not."""
    state = State(path)
    assert state.last_run() is None
    run = state.begin_run()
    begun = state.last_run()
    assert begun is not None
    assert (begun["finished_at_s"], begun["summary"]) == (None, None)
    state.end_run(run, {"rendered": 3})
    ended = state.last_run()
    assert ended is not None
    assert ended["summary"] == {"rendered": 3}
    assert ended["finished_at_s"] >= ended["started_at_s"]
    state.close()


def test_a_missing_state_is_empty(path: Path) -> None:
    """Without `create` a missing file is an empty state, and stays missing."""
    state = State(path, create=False)
    assert (state.outputs(), state.open_submissions(), state.last_run()) == ({}, [], None)
    state.close()
    assert not path.parent.exists()


def test_reading_leaves_nothing_behind(path: Path) -> None:
    """Reading a state changes no byte of it and leaves no file beside it."""
    state = State(path)
    state.record([output("a.png")], {})
    state.close()
    before = path.read_bytes()
    looked = State(path, create=False)
    assert list(looked.outputs()) == ["a.png"]
    looked.close()
    assert sorted(os.listdir(path.parent)) == [path.name, f"{path.name}-checked"]
    assert path.read_bytes() == before


def test_an_empty_file_is_a_new_state(path: Path) -> None:
    """A file that a crash left empty counts as missing."""
    path.parent.mkdir()
    path.touch()
    looked = State(path, create=False)
    assert looked.outputs() == {}
    looked.close()
    assert path.stat().st_size == 0
    state = State(path)
    state.record([output("a.png")], {})
    state.close()


def test_threads_share_a_state(path: Path) -> None:
    """Threads write at the same time, and nothing is lost."""
    state = State(path)

    def work(thread: int) -> None:
        for at in range(20):
            state.record([output(f"{thread}-{at}.png")], {})
            state.settle(state.intend(f"{thread}-{at}", REQUEST.as_dict(), "p", {}), "done")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(state.outputs()) == 80
    assert state.open_submissions() == []
    state.close()


def test_a_failed_transaction_leaves_nothing(path: Path) -> None:
    """If one record of a batch can't be written, none is."""
    state = State(path)
    with pytest.raises(StateError):
        state.record([output("a.png"), output(None)], {})  # type: ignore[arg-type]
    assert state.outputs() == {}
    state.record([output("a.png")], {})
    state.close()


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"not a database, but long enough to be taken for one" * 20, "move the file away"),
        (None, "move the file away"),
    ],
)
def test_a_state_that_can_not_be_opened(path: Path, content: bytes | None, hint: str) -> None:
    """A state that can't be opened is an error with a hint."""
    path.parent.mkdir()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for create in (True, False):
        with pytest.raises(StateError) as caught:
            State(path, create=create)
        assert caught.value.claim.startswith(f"{path}: ")
        assert (caught.value.hint or "").startswith(hint)


def test_a_state_of_another_layout(path: Path) -> None:
    """If the file has other tables than a state, the hint says to move the file away."""
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE outputs(other); PRAGMA user_version = 2;")
    for create in (True, False):
        with pytest.raises(StateError, match="it has a table that qwenbuild did not make: outputs") as caught:
            State(path, create=create)
        assert (caught.value.hint or "").startswith("move the file away")


def test_a_newer_state_is_left_alone(path: Path) -> None:
    """A state of a newer version is refused and not changed."""
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 5")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StateError) as caught:
        State(path)
    assert (caught.value.claim, caught.value.facts, caught.value.hint) == (
        f"{path} was written by a newer qwenbuild", ("its format is 5, this one knows 4",), "upgrade qwenbuild"
    )  # fmt: skip
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def failed(path: str, key: str = KEY, *, is_final: bool = False) -> Failure:
    """Return the record of a failure."""
    return Failure(path, key, "api.test", 1e9, is_final, "no cats", ("service says: x",), "draw dogs", "NoCats")


def test_a_failure_is_remembered_until_its_output_succeeds(path: Path) -> None:
    """The last one counts. A final one stays while the output's request changes."""
    with contextlib.closing(State(path)) as state:
        assert state.failures() == []
        other = "ab" * 32
        final = failed("c.png", other, is_final=True)
        state.record_failures([failed("a.png", other), failed("b.png"), final])
        state.record_failures([failed("a.png"), failed("c.png")])
    with contextlib.closing(State(path)) as state:
        assert state.failures() == [failed("a.png"), failed("b.png"), failed("c.png"), final]
        state.record([output("c.png", key="cd" * 32)], {})
        assert state.failures() == [failed("a.png"), failed("b.png"), final]
        state.record([output("b.png"), output("e.png", key=other)], {})
        assert state.failures() == [failed("a.png")]


def test_a_state_of_the_version_before_failures(path: Path) -> None:
    """A plan reads it without a change. A build upgrades it and loses nothing."""
    with contextlib.closing(State(path)) as state:
        state.record([output("a.png")], {})
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("DROP TABLE failures; PRAGMA user_version = 2;")
    before = path.read_bytes()
    with contextlib.closing(State(path, create=False)) as state:
        assert (list(state.outputs()), state.failures()) == (["a.png"], [])
    assert path.read_bytes() == before
    with contextlib.closing(State(path)) as state:
        state.record_failures([failed("b.png")])
        assert (list(state.outputs()), state.failures()) == (["a.png"], [failed("b.png")])


def test_damaged_failures(path: Path) -> None:
    """What a stranger wrote there is an error with the next step."""
    with contextlib.closing(State(path)) as state:
        state.record_failures([failed("b.png")])
    for text in ("{torn", "[1]", "{}", '{"claim": 1, "facts": [], "hint": "", "code": ""}'):
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE failures SET error = ?", (text,))
        with contextlib.closing(State(path)) as state, pytest.raises(StateError, match=r"state"):
            state.failures()


def test_damaged_rows(path: Path) -> None:
    """Damaged rows raise StateError."""
    state = State(path)
    state.intend(KEY, REQUEST.as_dict(), "p", {})
    state.close()
    for text in ("{torn", "[1]", "{}", '{"size": 1}'):
        with sqlite3.connect(path) as database:
            database.execute("UPDATE requests SET request = ?", (text,))
        database.close()
        damaged = State(path)
        with pytest.raises(StateError) as caught:
            damaged.open_submissions()
        assert "move the file away" in str(caught.value)
        damaged.close()


def test_a_state_that_may_only_be_read() -> None:
    """In a folder without write permission, the state is read, and a write is an error with the next step."""
    with public_folder() as folder:
        path = folder / "state.sqlite3"
        state = State(path)
        state.record([output("a.png")], {})
        state.close()
        path.chmod(0o444)
        folder.chmod(0o555)
        with nobody():
            again = State(path, create=False)
            assert list(again.outputs()) == ["a.png"]
            with pytest.raises(StateError) as caught:
                again.forget(["a.png"])
            again.close()
        assert caught.value.claim == f"{path}: attempt to write a readonly database"
        assert caught.value.hint == "check that the folder is writable"
        folder.chmod(0o755)
        assert sorted(os.listdir(folder)) == [path.name, f"{path.name}-checked"]


def test_a_full_disk(path: Path) -> None:
    """What could not be written is undone, the hint names the disk, and the state goes on being used."""
    state = State(path)
    state.record([output("a.png")], {})
    with most_bytes(20_000), pytest.raises(StateError) as caught:
        state.record([output(f"{number}.png", "n" * 1000) for number in range(1000)], {})
    assert caught.value.hint == "check that its disk has free space and its folder is writable"
    assert list(state.outputs()) == ["a.png"]
    (pages,) = state._db.execute("PRAGMA page_count").fetchone()
    state._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StateError) as caught:
        state.record([output(f"{number}.png", "n" * 1000) for number in range(1000)], {})
    assert (caught.value.claim, caught.value.hint) == (f"{path}: database or disk is full", "free some disk space")
    assert list(state.outputs()) == ["a.png"]
    state._db.execute("PRAGMA max_page_count=1000000")
    state.record([output("b.png")], {})
    assert list(state.outputs()) == ["a.png", "b.png"]
    state.close()


def test_an_older_state_without_history(path: Path) -> None:
    """A plan reads it unchanged; the history begins with the next build."""
    state = State(path)
    state.record([output("a.png")], {})
    state._db.executescript("DROP TRIGGER remember_output; DROP TABLE history;")
    state.close()
    looking = State(path, create=False)
    assert looking.history("a.png") == []
    looking.close()
    state = State(path)
    state.record([output("a.png")], {KEY: REQUEST.as_dict()})
    [past] = state.history("a.png")
    assert (past.key, past.image, past.request) == (KEY, "ab" * 32, REQUEST.as_dict())
    state.close()


def test_a_state_is_made_with_all_of_its_folders(tmp_path: Path) -> None:
    """Its folder may lie in folders that do not exist yet."""
    with contextlib.closing(State(tmp_path / "a" / "b" / "state.sqlite3")) as state:
        state.record([output("a.png")], {})
    assert (tmp_path / "a" / "b" / "state.sqlite3").is_file()


def test_a_missing_state_takes_writes_that_nobody_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives in memory, also in other threads, and no file appears anywhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.sqlite3").touch()
    for name in ("missing.sqlite3", "empty.sqlite3"):
        with contextlib.closing(State(tmp_path / name, create=False)) as state:
            worker = threading.Thread(target=lambda: state.record([output("a.png")], {}))
            worker.start()
            worker.join()
            state.intend(KEY, REQUEST.as_dict(), "p", {})
            assert (list(state.outputs()), len(state.open_submissions())) == (["a.png"], 1)
    assert os.listdir(tmp_path) == ["empty.sqlite3"]
    assert (tmp_path / "empty.sqlite3").read_bytes() == b""


def test_what_a_submission_is_by_default(path: Path) -> None:
    """It is not forced, has no handle, no name in the ledger, and the present time."""
    before_s = time.time()
    with contextlib.closing(State(path)) as state:
        number = state.intend(KEY, REQUEST.as_dict(), "p", {"x": 1})
        [found] = state.open_submissions()
        assert (found.id, found.forced, found.handle, found.uid, dict(found.context)) == (
            number,
            False,
            "",
            "",
            {"x": 1},
        )
        assert before_s <= found.intended_at_s <= time.time()


def test_the_time_of_an_image_in_the_history(path: Path) -> None:
    """It is when the output was recorded, in seconds since the epoch."""
    with contextlib.closing(State(path)) as state:
        before_s = time.time()
        state.record([output("a.png")], {})
        [past] = state.history("a.png")
        assert before_s - 1 <= past.at_s <= time.time() + 1


def test_runs_have_times(path: Path) -> None:
    """The last one is shown, with its summary once it has ended."""
    with contextlib.closing(State(path)) as state:
        assert state.last_run() is None
        before_s = time.time()
        first = state.begin_run()
        state.end_run(first, {"rendered": 1})
        run = state.last_run()
        assert run is not None
        assert before_s <= run["started_at_s"] <= run["finished_at_s"] <= time.time()
        assert run["summary"] == {"rendered": 1}
        assert state.begin_run() == first + 1
        run = state.last_run()
        assert run is not None
        assert (run["finished_at_s"], run["summary"]) == (None, None)
        assert [it.number for it in state.runs()] == [first + 1, first]
        assert [it.number for it in state.runs(1)] == [first + 1]


def test_keys_that_were_sent_to_this_machine(tmp_path: Path) -> None:
    """A gateway or an emulator listened there; settled submissions count as well."""
    with contextlib.closing(State(tmp_path / "state.sqlite3")) as state:
        hosts = {"a": "127.0.0.1:8123", "b": "localhost:80", "c": "[::1]:9", "d": "dashscope-intl.aliyuncs.com"}
        for name, host in hosts.items():
            state.intend(name * 64, {"prompt": '"host":"127.0.0.1"'}, "dashscope", {"host": host})
        state.settle(1, "done")
        assert state.keys_sent_to_this_machine() == {name * 64 for name in "abc"}
