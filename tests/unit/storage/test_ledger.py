"""Tests of the ledger: a key has one claim, and what was sent is on disk, whatever processes do."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.errors import LedgerError
from qwenbuild.request import Request, Size
from qwenbuild.storage.claims import Held, Intent, Left, Row, Stored
from qwenbuild.storage.ledger import Ledger
from qwenbuild.storage.ledger_schema import VERSION, WITH_PARAMETERS
from tests.support.trouble import most_bytes

CONTEXT = {"host": "example.test", "region": "singapore", "interface": "sync", "account": "fingerprint"}


def request(prompt: str = "a dog") -> Request:
    return Request("dashscope", "qwen-image-plus", prompt, "", Size(1328, 1328), 1, False, False)


def intent(key: str = "k", project: str = "/one", replaces: str = "", **named: bool) -> Intent:
    return Intent(key, request(), "dashscope", project, "s/a", CONTEXT, price=Decimal("0.20"), currency="CNY",
                  replaces=replaces, **named)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose process may claim keys."""
    made = Ledger(tmp_path / "ledger")
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def other(ledger: Ledger) -> Iterator[Ledger]:
    """Another process's connection to the same ledger."""
    made = Ledger(ledger.path.parent)
    made.prepare()
    yield made
    made.close()


def claimed(ledger: Ledger, wanted: Intent) -> Row:
    found = ledger.intend(wanted)
    assert isinstance(found, Row)
    return found


def test_a_row_says_who_sent_what_for_how_much(ledger: Ledger) -> None:
    """Each field of the intent is on record; the API key is not."""
    row = claimed(ledger, intent())
    assert (row.key, row.project, row.cell, row.provider, row.price, row.currency) == (
        "k", "/one", "s/a", "dashscope", "0.20", "CNY"
    )  # fmt: skip
    assert Request.from_dict(json.loads(row.request)) == request()
    assert (row.handle, row.outcome, row.account) == ("", None, ledger.digest("fingerprint"))
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        (host,) = db.execute("SELECT host || region || interface FROM submissions").fetchone()
    assert host == "example.testsingaporesync"
    files = b"".join(path.read_bytes() for path in ledger.path.parent.iterdir() if path.is_file())
    assert b"fingerprint" not in files


def test_the_digest_of_an_account_is_keyed(tmp_path: Path) -> None:
    """Two ledgers name one account differently: nobody can test a guessed key against a stolen ledger of another."""
    one, two = Ledger(tmp_path / "one"), Ledger(tmp_path / "two")
    digests = {one.digest("x"), one.digest("x"), two.digest("x")}
    one.close()
    two.close()
    assert len(digests) == 2


def test_a_key_is_claimed_once(ledger: Ledger, other: Ledger) -> None:
    """Whoever comes second learns who renders it, and since when."""
    row = claimed(ledger, intent())
    assert other.intend(intent(project="/two")) == Held(row)
    assert isinstance(other.intend(intent(key="another", project="/two")), Row)


def test_under_the_claim_the_store_is_asked_again(ledger: Ledger) -> None:
    """An image that somebody else rendered meanwhile is not bought."""
    assert ledger.intend(intent(), lambda: True) == Stored()
    assert ledger.open_rows() == []


def test_a_settled_key_can_be_claimed_again(ledger: Ledger, other: Ledger) -> None:
    """Done or refused, it is free for others, who learn the refusal."""
    row = claimed(ledger, intent())
    ledger.settle(row.uid, "refused")
    ledger.explain(row.uid, {"claim": "inappropriate content"})
    found = other.last_settled("k")
    assert found is not None
    assert (found.uid, found.outcome, json.loads(found.refusal or "")) == (
        row.uid, "refused", {"claim": "inappropriate content"}
    )  # fmt: skip
    assert isinstance(other.intend(intent(project="/two")), Row)


def test_settling_twice_keeps_the_first_outcome(ledger: Ledger) -> None:
    """What is closed stays closed."""
    row = claimed(ledger, intent())
    ledger.settle(row.uid, "done")
    ledger.settle(row.uid, "refused")
    assert ledger.outcomes([row.uid, "unknown"]) == {row.uid: "done"}


def test_what_a_dead_process_left_is_nobodys_to_send(ledger: Ledger, tmp_path: Path) -> None:
    """Its submission stays open: it may have been billed; to send it again, it must be named."""
    row = claimed(ledger, intent())
    ledger.accepted(row.uid, "task:1")
    ledger.close()
    second = Ledger(ledger.path.parent)
    second.prepare()
    left = second.intend(intent(project="/two"))
    assert isinstance(left, Left)
    assert (left.row.uid, left.row.handle) == (row.uid, "task:1")
    again = second.intend(intent(project="/two", replaces=left.row.uid))
    assert isinstance(again, Row)
    assert second.outcomes([row.uid, again.uid]) == {row.uid: "resubmitted", again.uid: None}
    second.close()


def test_what_has_no_handle_is_not_taken(ledger: Ledger, other: Ledger) -> None:
    """Without a handle there is nothing to collect, so nobody claims the submission."""
    row = claimed(ledger, intent())
    ledger.release(row.uid)
    assert other.take(row.uid) is None
    ledger.accepted(row.uid, "task:1")
    taken = other.take(row.uid)
    assert isinstance(taken, Row)
    assert (taken.handle, ledger.take(row.uid)) == ("task:1", Held(taken))


def test_what_was_left_is_collected_by_one(ledger: Ledger) -> None:
    """Who takes it first collects it; the other one waits; a settled one is gone."""
    row = claimed(ledger, intent())
    ledger.accepted(row.uid, "task:1")
    ledger.close()
    one, two = Ledger(ledger.path.parent), Ledger(ledger.path.parent)
    one.prepare()
    two.prepare()
    [left] = one.open_rows(["k"])
    taken = one.take(left.uid)
    assert isinstance(taken, Row)
    assert two.take(left.uid) == Held(taken)
    one.settle(taken.uid, "done")
    assert two.take(left.uid) is None
    one.close()
    two.close()


def test_threads_of_many_processes_claim_each_key_once(tmp_path: Path) -> None:
    """Eight connections that want the same 20 keys: each key is claimed by one of them."""
    ledgers = [Ledger(tmp_path / "ledger") for _ in range(8)]
    won: list[str] = []

    def work(ledger: Ledger) -> None:
        ledger.prepare()
        claims = [ledger.intend(intent(key=f"k{number}")) for number in range(20)]
        won.extend(claim.key for claim in claims if isinstance(claim, Row))

    threads = [threading.Thread(target=work, args=[ledger]) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in ledgers:
        ledger.close()
    assert sorted(won) == sorted(f"k{number}" for number in range(20))


CRASH = """
import os, sys
from pathlib import Path
from tests.unit.storage.test_ledger import intent
from qwenbuild.storage.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.prepare()
ledger.accepted(ledger.intend(intent()).uid, "task:7")
os.kill(os.getpid(), 9)
"""


def test_what_was_recorded_survives_kill_9(tmp_path: Path) -> None:
    """The intent and the handle are there, and the claim is free to be settled."""
    subprocess.run([sys.executable, "-c", CRASH, tmp_path / "ledger"], check=False, cwd=Path(__file__).parents[3])
    ledger = Ledger(tmp_path / "ledger")
    ledger.prepare()
    [row] = ledger.open_rows()
    assert (row.handle, ledger.is_held(row)) == ("task:7", False)
    ledger.close()


def test_every_commit_waits_for_the_disk(ledger: Ledger) -> None:
    """WAL mode syncs each commit only with synchronous=FULL (2)."""
    row = claimed(ledger, intent())
    assert row.id == 1
    modes = [ledger._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]


def test_writes_can_share_a_commit(ledger: Ledger, other: Ledger) -> None:
    """All of them are there afterwards, and none before."""
    with ledger.durably():
        rows = [claimed(ledger, intent(key=key)) for key in "abc"]
        assert other.open_rows() == []
    assert [row.key for row in other.open_rows(["c", "a", "x"])] == ["a", "c"]
    assert other.rows_of("/one") == rows


def test_a_failed_commit_leaves_nothing(ledger: Ledger) -> None:
    """An exception within the commit undoes all its writes."""
    with pytest.raises(ZeroDivisionError), ledger.durably():
        claimed(ledger, intent())
        raise ZeroDivisionError
    assert ledger.open_rows() == []


def test_what_may_have_been_billed_since_a_time(ledger: Ledger) -> None:
    """Refused submissions do not count, settled ones do."""
    for key, outcome in (("done", "done"), ("refused", "refused"), ("open", "")):
        row = claimed(ledger, intent(key=key))
        if outcome:
            ledger.settle(row.uid, outcome)
    assert [row.key for row in ledger.rows_since(0)] == ["done", "open"]
    assert ledger.rows_since(row.intended_at_s + 1) == []


def test_parameters_raise_the_version(ledger: Ledger) -> None:
    """A version of qwenbuild that does not know parameters can't read such a row, so it must stop."""

    def version() -> int:
        with contextlib.closing(sqlite3.connect(ledger.path)) as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])

    claimed(ledger, intent("plain"))
    assert version() == VERSION
    extended = request()._replace(parameters='{"a":1}')
    row = claimed(ledger, replace(intent("more"), request=extended))
    assert Request.from_dict(json.loads(row.request)) == extended
    assert version() == WITH_PARAMETERS
    with contextlib.closing(Ledger(ledger.path.parent)) as again:
        assert len(again.open_rows()) == 2


def test_a_newer_ledger_is_refused(ledger: Ledger) -> None:
    """An older qwenbuild stops and says so."""
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(LedgerError) as caught:
        Ledger(ledger.path.parent)
    assert caught.value.claim == f"{ledger.path} was written by a newer qwenbuild"
    assert (caught.value.facts, caught.value.hint, caught.value.stops_run) == (
        ("its format is 99, this one knows 2",), "upgrade qwenbuild", True
    )  # fmt: skip


def test_a_corrupt_ledger_is_refused(ledger: Ledger) -> None:
    """Nothing is guessed from it; the state has the open submissions of each project."""
    ledger.close()
    ledger.path.write_bytes(b"not a database" * 1000)
    for beside in ("-wal", "-shm"):
        ledger.path.with_name(ledger.path.name + beside).unlink(missing_ok=True)
    with pytest.raises(LedgerError) as caught:
        Ledger(ledger.path.parent)
    assert caught.value.claim == f"{ledger.path}: file is not a database"
    assert (
        caught.value.hint
        == "move ledger.sqlite3 away and build again: each project's state restores its open submissions"
    )


def test_a_locked_ledger_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that holds its lock is waited for, and then named as the cause."""
    ledger._db.execute("PRAGMA busy_timeout=50")
    holder = sqlite3.connect(ledger.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError) as caught:
        ledger.intend(intent())
    holder.close()
    assert caught.value.claim == f"{ledger.path}: database is locked"
    assert caught.value.hint == "another program has locked the ledger: end that program, then build again"


def test_a_missing_ledger_is_made_only_on_request(tmp_path: Path) -> None:
    """Whoever only looks creates nothing."""
    with pytest.raises(LedgerError):
        Ledger(tmp_path / "ledger", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    """The message names the variable that moves the ledger."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as caught:
        Ledger(tmp_path / "file" / "ledger")
    assert caught.value.hint == "make the folder writable, or set QWENBUILD_LEDGER_DIR to another folder"


# --- lost answers ---


def test_what_an_emulator_accepts_is_noted(ledger: Ledger) -> None:
    """The context names the emulator; that of a request to the service stays as it is."""
    one, two = claimed(ledger, intent("k")), claimed(ledger, intent("l"))
    ledger.accepted(one.uid, "task:1", "http://127.0.0.1:8123")
    ledger.accepted(two.uid, "task:2")
    noted = {row.uid: (row.handle, json.loads(row.context)) for row in ledger.open_rows()}
    assert noted[one.uid] == ("task:1", {**json.loads(one.context), "emulated_by": "http://127.0.0.1:8123"})
    assert noted[two.uid] == ("task:2", json.loads(two.context))


def test_a_task_is_adopted_once(ledger: Ledger) -> None:
    """A submission with a lost answer gets the handle of a task that no other has; the owner is named."""
    one, two = claimed(ledger, intent("k")), claimed(ledger, intent("l"))
    found = ledger.adopt(one.uid, "task:1")
    assert found and (found.uid, found.handle, json.loads(found.context)["adopted"]) == (one.uid, "task:1", True)
    owner = ledger.adopt(two.uid, "task:1")
    assert owner and owner.uid == one.uid
    again = ledger.adopt(one.uid, "task:1")
    assert again and again.uid == one.uid
    assert ledger.adopt(one.uid, "task:2") is None
    ledger.settle(one.uid, "done")
    owner = ledger.adopt(two.uid, "task:1")
    assert owner and owner.uid == one.uid
    ledger.settle(two.uid, "resubmitted")
    assert ledger.adopt(two.uid, "task:2") is None
    assert ledger.adopt("nosuch", "task:2") is None


def test_only_a_lost_answer_is_settled_as_not_billed(ledger: Ledger) -> None:
    """A submission with a handle stays open, and a settled one stays as it is."""
    lost, accepted = claimed(ledger, intent("k")), claimed(ledger, intent("l"))
    ledger.accepted(accepted.uid, "task:1")
    assert not ledger.settle_unbilled(accepted.uid)
    assert ledger.settle_unbilled(lost.uid)
    assert not ledger.settle_unbilled(lost.uid)
    assert not ledger.settle_unbilled("nosuch")
    assert ledger.outcomes([lost.uid, accepted.uid]) == {lost.uid: "refused", accepted.uid: None}


def test_a_submission_that_a_living_process_works_on_is_left_alone(ledger: Ledger, other: Ledger) -> None:
    """Its answer is not lost yet."""
    row = claimed(other, intent())
    assert ledger.adopt(row.uid, "task:1") is None
    assert not ledger.settle_unbilled(row.uid)
    other.release(row.uid)
    assert ledger.settle_unbilled(row.uid)


def test_the_last_search_is_remembered(ledger: Ledger) -> None:
    """Each search replaces the one before."""
    row = claimed(ledger, intent())
    assert row.search is None
    for number in (1, 2):
        ledger.remember({row.uid: {"read_at_s": number}})
    assert [json.loads(it.search or "") for it in ledger.open_rows()] == [{"read_at_s": 2}]


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written into it."""
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs(x)")
    db.close()
    with pytest.raises(LedgerError) as caught:
        Ledger(tmp_path)
    assert (caught.value.claim, caught.value.hint) == (
        f"{path} is another program's database", "set QWENBUILD_LEDGER_DIR to another folder"
    )  # fmt: skip
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    db.close()


def test_a_folder_whose_locks_are_not_dependable(tmp_path: Path) -> None:
    """Nothing can be claimed there; the message names the folder, the reason and the variable."""
    ledger = Ledger(tmp_path)
    (tmp_path / "claimants").symlink_to("/proc/self/fdinfo")
    with pytest.raises(LedgerError) as caught:
        ledger.prepare()
    ledger.close()
    assert caught.value.claim == f"the ledger can't be in {tmp_path}: no file can be made there"
    assert caught.value.hint == (
        "set QWENBUILD_LEDGER_DIR to a folder on a local disk, the same for all of your projects"
    )


def test_preparing_twice_is_one_claimant(ledger: Ledger) -> None:
    """The process keeps its name, so its claims stay its own."""
    row = claimed(ledger, intent())
    ledger.prepare()
    assert ledger.is_held(row) is False
    assert len(list((ledger.path.parent / "claimants").iterdir())) == 1


def test_a_full_disk_sends_nothing(ledger: Ledger) -> None:
    """The intent is not recorded, the hint names the disk, and the ledger goes on being used."""
    with most_bytes(1000), pytest.raises(LedgerError) as caught:
        ledger.intend(intent())
    assert caught.value.hint == (
        "check that its disk has free space, or set QWENBUILD_LEDGER_DIR to a folder on another disk"
    )
    assert ledger.open_rows() == []
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(LedgerError) as caught, ledger.durably():
        for number in range(100):
            claimed(ledger, intent(key=f"k{number}"))
    assert (caught.value.claim, caught.value.hint) == (
        f"{ledger.path}: database or disk is full", "free some disk space, then build again"
    )  # fmt: skip
    assert ledger.open_rows() == []
    ledger._db.execute("PRAGMA max_page_count=1000000")
    assert claimed(ledger, intent()).key == "k"


def test_a_ledger_can_be_read_without_making_one(ledger: Ledger, tmp_path: Path) -> None:
    """Whoever only looks sees the rows of a ledger that is there, and makes none where there is only a folder."""
    row = claimed(ledger, intent())
    looking = Ledger(ledger.path.parent, create=False)
    assert (looking.open_rows(), looking.is_held(row)) == ([row], True)
    looking.close()
    (tmp_path / "empty").mkdir()
    with pytest.raises(LedgerError):
        Ledger(tmp_path / "empty", create=False)
    assert list((tmp_path / "empty").iterdir()) == []


def test_what_is_not_known_is_empty(ledger: Ledger) -> None:
    """A request of an unknown price, of no account and no host says so."""
    wanted = Intent("k", request(), "free", "/one", "s/a", {})
    row = claimed(ledger, wanted)
    assert (row.price, row.currency, row.account, row.forced) == ("", "", "", 0)
    with sqlite3.connect(ledger.path) as db:
        assert db.execute("SELECT host, region, interface FROM submissions").fetchall() == [("", "", "")]
    db.close()
    assert (ledger.digest(""), len(ledger.digest("x")), len(row.uid)) == ("", 32, 32)


def test_a_restored_submission_is_claimed_by_nobody(ledger: Ledger) -> None:
    """What a project's state had is on record again, as it was; the key stays open."""
    ledger.restore(intent(forced=True), "u", "task:1", 7.0)
    [row] = ledger.open_rows()
    assert (row.uid, row.handle, row.intended_at_s, row.claimant, row.forced, row.project) == (
        "u", "task:1", 7.0, "", 1, "/one"
    )  # fmt: skip
    found = ledger.intend(intent(project="/two"))
    assert found == Left(row)
    ledger.restore(intent(project="/two"), "v", "", 8.0)
    assert ledger.open_rows() == [row]


def test_more_keys_than_one_query_takes(ledger: Ledger) -> None:
    """All of them are found, the oldest first."""
    with ledger.durably():
        rows = [claimed(ledger, intent(key=f"k{number}")) for number in range(1100)]
    assert ledger.open_rows({row.key for row in rows}) == rows
    assert [row.key for row in ledger.open_rows(["k2", "k10"])] == ["k2", "k10"]
    assert ledger.outcomes([row.uid for row in rows]) == {row.uid: None for row in rows}


def test_whoever_may_not_claim_is_told_so(tmp_path: Path) -> None:
    """A process claims only after `prepare`."""
    ledger = Ledger(tmp_path)
    for claim in (lambda: ledger.intend(intent()), lambda: ledger.take("u")):
        with pytest.raises(AssertionError, match=r"^prepare\(\) comes first"):
            claim()
    ledger.close()


def test_what_is_replaced_is_closed_in_the_same_step(ledger: Ledger) -> None:
    """The first submission is resubmitted, the second one open, and no other key is touched."""
    other_key = claimed(ledger, intent(key="other"))
    row = claimed(ledger, intent())
    again = claimed(ledger, intent(replaces=row.uid))
    assert ledger.outcomes([row.uid, again.uid, other_key.uid]) == {
        row.uid: "resubmitted", again.uid: None, other_key.uid: None
    }  # fmt: skip
