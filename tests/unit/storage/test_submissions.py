"""The submissions of a run: in the ledger first, mirrored in the state; each file alone restores the other."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.catalogue import builtin
from qwenbuild.errors import LedgerError, StoreError
from qwenbuild.provider import Price, Settings, accounted
from qwenbuild.providers.registry import create
from qwenbuild.request import Request, Size, Submission
from qwenbuild.storage.ledger import Ledger
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store
from qwenbuild.storage.submissions import Submissions, ledger_folder

OLDER_STATE = """
CREATE TABLE requests(key TEXT PRIMARY KEY, request TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outputs(
    path TEXT PRIMARY KEY, key TEXT NOT NULL, image TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    name TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE submissions(
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, provider TEXT NOT NULL, handle TEXT NOT NULL DEFAULT '',
    context TEXT NOT NULL, intended_at_s REAL NOT NULL, forced INTEGER NOT NULL, outcome TEXT
);
CREATE UNIQUE INDEX open_submissions ON submissions(key) WHERE outcome IS NULL;
CREATE TABLE runs(id INTEGER PRIMARY KEY, started_at_s REAL NOT NULL, finished_at_s REAL, summary TEXT);
PRAGMA user_version = 1;
"""
"""The state's layout of version 1, which had no ledger beside it."""


def request(prompt: str = "a dog") -> Request:
    return Request("dashscope", "qwen-image-plus", prompt, "", Size(1328, 1328), 1, False, False)


@contextmanager
def opened(
    folder: Path, name: str = "one", *, key: str = "sk-mine", region: str = "singapore", prepare: bool = True,
    ledger: str | None = "ledger",
) -> Iterator[tuple[Submissions, State]]:  # fmt: skip
    """Yield the submissions and the state of the project `name` below `folder`."""
    provider = create("dashscope", Settings({"region": region}, builtin(), {"DASHSCOPE_API_KEY": key}))
    (folder / name).mkdir(exist_ok=True)
    state = State.of(folder / name, create=True)
    submissions = Submissions(state, folder / ledger if ledger else None, provider, folder / name)
    if prepare:
        submissions.prepare()
    try:
        yield submissions, state
    finally:
        submissions.close()
        state.close()


def account(key: str = "sk-mine") -> Mapping[str, str]:
    """Return the context of a request that is sent with this key."""
    provider = accounted(create("dashscope", Settings({}, builtin(), {"DASHSCOPE_API_KEY": key})))
    assert provider is not None
    return provider.account()


def send(submissions: Submissions, wanted: Request, *, key: str = "sk-mine", replaces: str = "") -> Submission | None:
    """Record the intent to send a request."""
    return submissions.intend(
        wanted.key, wanted, account(key), cell="s/a", forced=False, price=Price(Decimal("0.20")),
        replaces=replaces, is_stored=lambda: False,
    )  # fmt: skip


def sent(submissions: Submissions, wanted: Request, handle: str = "", *, key: str = "sk-mine") -> Submission:
    """Record that a request was sent and, with a handle, accepted; return the submission."""
    found = send(submissions, wanted, key=key)
    assert found is not None
    if handle:
        submissions.accept(found, handle)
    return found


def shown(submissions: list[Submission]) -> list[tuple[str, str]]:
    return sorted((it.request.prompt, it.handle) for it in submissions)


def test_a_submission_is_in_both_files_until_it_is_settled(tmp_path: Path) -> None:
    """Ledger and state agree on what is open, and on its handle."""
    with opened(tmp_path) as (submissions, state):
        one, two = sent(submissions, request("one"), "task:1"), sent(submissions, request("two"))
        assert shown(submissions.open()) == shown(state.open_submissions()) == [("one", "task:1"), ("two", "")]
        submissions.settle(one, "done")
        submissions.settle(two, "refused")
        assert (submissions.open(), state.open_submissions()) == ([], [])


def test_a_free_provider_has_no_ledger(tmp_path: Path) -> None:
    """Submissions that cost nothing are recorded only in the state."""
    with opened(tmp_path, ledger=None) as (submissions, state):
        one = sent(submissions, request("one"), "job/1")
        assert shown(submissions.open()) == shown(state.open_submissions()) == [("one", "job/1")]
        assert submissions.take(one) == one
        submissions.release(one)
        submissions.explain(one, {})
        with submissions.durably():
            submissions.settle(one, "done")
        assert submissions.own() == []
    assert os.listdir(tmp_path) == ["one"]


def test_a_lost_state_is_restored_from_the_ledger(tmp_path: Path) -> None:
    """`git clean -xdf` removes the state; the next run finds its open submissions again."""
    with opened(tmp_path) as (submissions, _):
        sent(submissions, request("one"), "task:1")
    shutil.rmtree(tmp_path / "one/.qwenbuild")
    with opened(tmp_path) as (submissions, state):
        assert shown(state.open_submissions()) == shown(submissions.own()) == [("one", "task:1")]


def test_a_lost_ledger_is_restored_from_the_states(tmp_path: Path) -> None:
    """Each project brings back its own open submissions; a settled one stays settled."""
    for name in ("one", "two"):
        with opened(tmp_path, name) as (submissions, _):
            sent(submissions, request(f"{name} in flight"), f"task:{name}")
            submissions.settle(sent(submissions, request(f"{name} ended")), "done")
    shutil.rmtree(tmp_path / "ledger")
    with opened(tmp_path, "one", prepare=False) as (submissions, _):
        assert shown(submissions.open()) == [("one in flight", "task:one")]
    for name, there in (("one", 1), ("two", 2)):
        with opened(tmp_path, name) as (submissions, _):
            assert len(submissions.open()) == there
            assert send(submissions, request(f"{name} in flight")) is None


def test_an_older_state_is_taken_over(tmp_path: Path) -> None:
    """What a version without ledger left in flight is known to every project; a plan changes nothing."""
    (tmp_path / "one/.qwenbuild").mkdir(parents=True)
    path = tmp_path / "one/.qwenbuild/state.sqlite3"
    with sqlite3.connect(path) as db:
        db.executescript(OLDER_STATE)
        text = json.dumps(dict(account()))
        for handle, wanted in (("task:1", request("accepted")), ("", request("lost"))):
            db.execute("INSERT INTO requests VALUES (?, ?)", (wanted.key, json.dumps(wanted.as_dict())))
            db.execute(
                "INSERT INTO submissions(key, provider, handle, context, intended_at_s, forced)"
                " VALUES (?, 'dashscope', ?, ?, 1.0, 0)",
                (wanted.key, handle, text),
            )
    db.close()
    before = path.read_bytes()
    state = State.of(tmp_path / "one", create=False)
    assert shown(state.open_submissions()) == [("accepted", "task:1"), ("lost", "")]
    state.close()
    assert path.read_bytes() == before
    for _ in range(2):
        with opened(tmp_path, "one") as (submissions, state):
            assert shown(submissions.own()) == shown(state.open_submissions()) == [("accepted", "task:1"), ("lost", "")]
    with opened(tmp_path, "two") as (submissions, _):
        assert shown(submissions.open()) == [("accepted", "task:1"), ("lost", "")]
        assert send(submissions, request("accepted")) is None


def test_two_older_states_with_one_key(tmp_path: Path) -> None:
    """Both projects sent it before there was a ledger: the first one's is collected, then the other one's."""
    for name in ("one", "two"):
        with opened(tmp_path, name, ledger=None) as (submissions, state):
            sent(submissions, request("same"), f"task:{name}")
            with sqlite3.connect(state.path) as db:
                db.execute("UPDATE submissions SET uid = ?", (name * 8,))
            db.close()
    for name in ("one", "two"):
        with opened(tmp_path, name) as (submissions, _):
            assert shown(submissions.open()) == [("same", "task:one")]
    with opened(tmp_path, "one") as (submissions, _):
        submissions.settle(submissions.open()[0], "done")
    with opened(tmp_path, "two") as (submissions, _):
        assert shown(submissions.open()) == [("same", "task:two")]


def test_another_project_holds_the_key(tmp_path: Path) -> None:
    """Its folder and its cell are known; the key is free again once the submission is settled."""
    with opened(tmp_path, "one") as (one, _), opened(tmp_path, "two") as (two, _):
        submission = sent(one, request())
        (found,) = two.open()
        assert (found.project, found.cell, found.is_held) == (str(tmp_path / "one"), "s/a", True)
        assert (one.open()[0].project, one.open()[0].is_held) == ("", False)
        assert (send(two, request()), two.take(found), two.own()) == (None, None, [])
        one.settle(submission, "done")
        assert two.take(found) is None
        sent(two, request())


def test_a_released_submission_is_collected_by_any_project(tmp_path: Path) -> None:
    """The project that takes it holds it."""
    with opened(tmp_path, "one") as (one, _), opened(tmp_path, "two") as (two, _):
        submission = sent(one, request(), "task:1")
        one.release(submission)
        (found,) = two.open()
        assert (found.is_held, two.take(found)) == (False, found)
        assert one.take(submission) is None
        two.settle(found, "done")
        assert two.of_keys([found.key]) == {}


def test_the_submissions_of_a_folder_that_is_gone(tmp_path: Path) -> None:
    """A removed worktree collects nothing, so every project may."""
    with opened(tmp_path, "one") as (one, _):
        sent(one, request("left"), "task:1")
    with opened(tmp_path, "two") as (two, _):
        assert two.own() == []
    shutil.rmtree(tmp_path / "one")
    with opened(tmp_path, "two") as (two, _):
        assert shown(two.own()) == [("left", "task:1")]


def test_a_state_without_open_submissions_does_not_open_the_ledger(tmp_path: Path) -> None:
    """Strays are only looked up if there may be any, so a damaged ledger does not matter."""
    with opened(tmp_path) as (submissions, state):
        state.begin_run()
    (tmp_path / "ledger/ledger.sqlite3").write_bytes(b"no database" * 1000)
    with opened(tmp_path, prepare=False) as (submissions, _):
        assert (submissions.own(), submissions.mirrored(), submissions.fault) == ([], [], None)


def test_a_plan_with_a_ledger_that_can_not_be_read(tmp_path: Path) -> None:
    """The state's mirror is used, and the fault is kept for a warning."""
    with opened(tmp_path) as (submissions, _):
        sent(submissions, request("one"), "task:1")
    for beside in tmp_path.glob("ledger/ledger.sqlite3*"):
        beside.unlink()
    (tmp_path / "ledger/ledger.sqlite3").write_bytes(b"no database" * 1000)
    with opened(tmp_path, prepare=False) as (submissions, _):
        assert shown(submissions.open()) == [("one", "task:1")]
        assert submissions.fault is not None
        assert submissions.fault.claim.endswith("ledger.sqlite3: file is not a database")
        with pytest.raises(LedgerError):
            submissions.prepare()


def test_a_damaged_row(tmp_path: Path) -> None:
    """A row that can't be read stops paid work, with a way out."""
    with opened(tmp_path) as (submissions, _):
        sent(submissions, request())
    with sqlite3.connect(tmp_path / "ledger/ledger.sqlite3") as db:
        db.execute("UPDATE submissions SET request = '{torn'")
    db.close()
    with opened(tmp_path, "two") as (submissions, _):
        submissions.open()
        assert submissions.fault is not None
        assert "row 1 is damaged" in submissions.fault.claim
        assert "move ledger.sqlite3 away" in (submissions.fault.hint or "")


@pytest.mark.parametrize(
    ("key", "region", "elsewhere"),
    [
        ("sk-mine", "singapore", ""),
        ("sk-other", "singapore", "dashscope-intl.aliyuncs.com (singapore), another API key"),
        ("sk-mine", "beijing", "dashscope-intl.aliyuncs.com (singapore), the same API key"),
        ("", "singapore", ""),
    ],
)
def test_the_account_of_a_submission(tmp_path: Path, key: str, region: str, elsewhere: str) -> None:
    """A task belongs to its account; the link of a sync answer needs none. Without a key nothing can be compared."""
    with opened(tmp_path) as (submissions, _):
        sent(submissions, request("task"), "task:1")
        sent(submissions, request("link"), "result:1:https://example.com/1.png")
        sent(submissions, request("lost"))
    with opened(tmp_path, key=key, region=region, prepare=False) as (submissions, _):
        wanted = {"task": elsewhere, "link": "", "lost": elsewhere}
        assert {it.request.prompt: it.elsewhere for it in submissions.open()} == wanted
        assert {it.request.prompt: it.elsewhere for it in submissions.mirrored()} == wanted


def test_a_task_of_another_account_is_not_taken(tmp_path: Path) -> None:
    """It can't be collected with this key, so its own account can still take it."""
    with opened(tmp_path) as (mine, _), opened(tmp_path, "two", key="sk-other") as (other, _):
        submission = sent(mine, request(), "task:1")
        mine.release(submission)
        (found,) = other.open()
        assert other.take(found) is None
        assert mine.take(submission) is not None


def test_the_ledger_does_not_hold_the_key(tmp_path: Path) -> None:
    """Neither the key nor an unkeyed digest of it is on disk."""
    with opened(tmp_path) as (submissions, _):
        sent(submissions, request())
        fingerprint = submissions.open()[0].context["account"]
    content = b"".join(path.read_bytes() for path in (tmp_path / "ledger").rglob("*") if path.is_file())
    assert b"sk-mine" not in content
    assert fingerprint.encode() not in content


def test_the_state_follows_the_commit(tmp_path: Path) -> None:
    """If a commit fails, neither file has its writes."""
    with opened(tmp_path) as (submissions, state):
        one = sent(submissions, request("one"))
        with pytest.raises(ZeroDivisionError), submissions.durably():
            submissions.settle(one, "done")
            assert len(state.open_submissions()) == 1
            raise ZeroDivisionError
        assert shown(submissions.open()) == shown(state.open_submissions()) == [("one", "")]
        with submissions.durably():
            submissions.settle(one, "done")
            assert len(state.open_submissions()) == 1
        assert (submissions.open(), state.open_submissions()) == ([], [])


def test_a_submission_that_replaces_another(tmp_path: Path) -> None:
    """The user's order to send again settles the lost one in both files."""
    with opened(tmp_path) as (submissions, state):
        lost = sent(submissions, request("one"))
    with opened(tmp_path) as (submissions, state):
        assert send(submissions, request("one")) is None
        again = send(submissions, request("one"), replaces=lost.uid)
        assert again is not None
        assert [it.uid for it in state.open_submissions()] == [it.uid for it in submissions.open()] == [again.uid]
        assert [it.uid for it in submissions.since(0)] == [lost.uid, again.uid]


def test_the_refusal_of_the_last_submission(tmp_path: Path) -> None:
    """Builds that wait learn why the service refused, but not of older refusals."""
    with opened(tmp_path) as (submissions, _):
        one = sent(submissions, request())
        assert submissions.refusal(one.key, 0) is None
        submissions.settle(one, "refused")
        assert submissions.refusal(one.key, 0) is None
        submissions.explain(one, {"claim": "inappropriate"})
        assert submissions.refusal(one.key, 0) == {"claim": "inappropriate"}
        assert submissions.refusal(one.key, 1e12) is None


def test_the_folder_of_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies beside the store; the environment moves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    store = Store(tmp_path / "store")
    assert ledger_folder({}, store) == tmp_path / "store/ledger"
    with pytest.raises(StoreError, match="QWENBUILD_LEDGER_DIR is a relative path"):
        ledger_folder({"QWENBUILD_LEDGER_DIR": "here"}, store)
    assert ledger_folder({"QWENBUILD_LEDGER_DIR": "~/there"}, store) == Path("/home/me/there")


# --- lost answers ---

SEARCH = Search(700.0, 660.0, True, (Candidate("task:1", "1", "RUNNING", 1.0, "", Likeness.HIDDEN),))


def test_an_adopted_task_is_in_both_files(tmp_path: Path) -> None:
    """The state alone also knows that the task was adopted. A task is adopted once."""
    with opened(tmp_path) as (submissions, state):
        one, two = sent(submissions, request("one")), sent(submissions, request("two"))
        adopted = submissions.adopt(one, "task:1")
        assert adopted and (adopted.uid, adopted.handle, adopted.context["adopted"]) == (one.uid, "task:1", True)
        owner = submissions.adopt(two, "task:1")
        assert owner and (owner.uid, owner.cell) == (one.uid, "s/a")
        assert submissions.adopt(one, "task:2") is None
        assert shown(state.open_submissions()) == [("one", "task:1"), ("two", "")]
    shutil.rmtree(tmp_path / "ledger")
    with opened(tmp_path) as (submissions, _):
        assert [it.context.get("adopted") for it in submissions.own() if it.handle] == [True]


def test_a_submission_that_was_not_billed_is_settled_in_both_files(tmp_path: Path) -> None:
    """A later request of the key is a new submission."""
    with opened(tmp_path) as (submissions, state):
        one = sent(submissions, request("one"))
        assert submissions.settle_unbilled(one)
        assert not submissions.settle_unbilled(one)
        assert (submissions.open(), state.open_submissions()) == ([], [])
        assert send(submissions, request("one")) is not None


def test_a_search_is_remembered_in_the_ledger(tmp_path: Path) -> None:
    """A later plan sees what the last build or `tasks` saw, in any project."""
    with opened(tmp_path) as (submissions, _):
        submissions.remember([replace(sent(submissions, request("one")), search=SEARCH)])
    with opened(tmp_path, "two", prepare=False) as (submissions, _):
        assert [it.search for it in submissions.open()] == [SEARCH]


def test_a_free_provider_has_lost_answers_too(tmp_path: Path) -> None:
    """They are in the state alone, and no search is remembered."""
    with opened(tmp_path, ledger=None) as (submissions, state):
        one, two = sent(submissions, request("one")), sent(submissions, request("two"))
        submissions.remember([replace(one, search=SEARCH)])
        adopted = submissions.adopt(one, "job/1")
        assert adopted and adopted.handle == "job/1"
        assert submissions.settle_unbilled(two)
        assert shown(state.open_submissions()) == [("one", "job/1")]


def test_what_the_ledger_settled_is_settled_in_the_state(tmp_path: Path) -> None:
    """A crash between the two files is repaired by the next run."""
    with opened(tmp_path) as (submissions, state):
        one, two = sent(submissions, request("one")), sent(submissions, request("two"))
    with contextlib.closing(Ledger(tmp_path / "ledger")) as ledger:
        ledger.settle(one.uid, "refused")
    with opened(tmp_path) as (submissions, state):
        assert [it.uid for it in state.open_submissions()] == [two.uid]
        assert [it.uid for it in submissions.since(0)] == [two.uid]
        rows = state._db.execute("SELECT outcome FROM submissions WHERE uid = ?", (one.uid,)).fetchall()
        assert rows == [("refused",)]


def test_what_costs_nothing_never_enters_the_ledger(tmp_path: Path) -> None:
    """Neither does what another provider has in flight."""
    with opened(tmp_path, prepare=False) as (submissions, state):
        number = state.intend("a" * 64, request("free").as_dict(), "dashscope", {})
        other = state.intend("b" * 64, request("other").as_dict(), "plugin", {})
        submissions.prepare()
        with contextlib.closing(Ledger(tmp_path / "ledger")) as ledger:
            assert ledger.open_rows() == []
        mirrored = {it.id: it for it in submissions.mirrored()}
        free = mirrored[number]
        assert submissions.take(free) == free
        submissions.accept(free, "job/1")
        submissions.release(free)
        submissions.explain(free, {})
        assert [it.handle for it in state.open_submissions()] == ["job/1", ""]
        submissions.settle(free, "done")
        assert [it.id for it in state.open_submissions()] == [other]


def test_a_forced_submission_stays_forced(tmp_path: Path) -> None:
    """Also if the ledger was lost, and the state brings it back."""
    with opened(tmp_path) as (submissions, _):
        wanted = request("one")
        found = submissions.intend(
            wanted.key, wanted, account(), cell="s/a", forced=True, price=Price(Decimal("0.20"), "EUR"), replaces="",
            is_stored=lambda: False,
        )  # fmt: skip
        assert found is not None
        assert (found.forced, found.cell, found.project) == (True, "s/a", "")
        with contextlib.closing(Ledger(tmp_path / "ledger")) as ledger:
            assert [(row.price, row.currency, row.forced) for row in ledger.open_rows()] == [("0.20", "EUR", 1)]
    shutil.rmtree(tmp_path / "ledger")
    with opened(tmp_path) as (submissions, _):
        assert [it.forced for it in submissions.open()] == [True]


def test_what_only_the_state_has_is_shown_apart(tmp_path: Path) -> None:
    """A row that the ledger lost is listed first, with an id that no row of the ledger can have."""
    with opened(tmp_path) as (submissions, _):
        one, two = sent(submissions, request("one"), "task:1"), sent(submissions, request("two"), "task:2")
    with sqlite3.connect(tmp_path / "ledger/ledger.sqlite3") as db:
        db.execute("DELETE FROM submissions WHERE uid = ?", (one.uid,))
    db.close()
    with opened(tmp_path, prepare=False) as (submissions, state):
        [first, _] = state.open_submissions()
        assert [(it.id, it.uid) for it in submissions.open()] == [(-first.id, one.uid), (two.id, two.uid)]


def test_the_submissions_since_a_time(tmp_path: Path) -> None:
    """Without the ledger they are those of the state; with it, those of all projects."""
    with opened(tmp_path, "two") as (submissions, _):
        sent(submissions, request("theirs"))
    with opened(tmp_path) as (submissions, _):
        mine = sent(submissions, request("mine"))
        assert [it.request.prompt for it in submissions.since(0)] == ["theirs", "mine"]
        assert submissions.since(mine.intended_at_s + 1) == []
    with opened(tmp_path, prepare=False) as (submissions, _):
        assert [it.request.prompt for it in submissions.since(0)] == ["theirs", "mine"]
    with opened(tmp_path, prepare=False, ledger="none") as (submissions, _):
        assert [it.request.prompt for it in submissions.since(0)] == ["mine"]
        assert submissions.since(mine.intended_at_s + 1) == []


def test_the_submissions_of_some_keys(tmp_path: Path) -> None:
    """Only open ones of these keys are listed."""
    with opened(tmp_path) as (submissions, _):
        one, two, _ = (sent(submissions, request(name)) for name in ("one", "two", "three"))
        submissions.settle(two, "done")
        found = submissions.of_keys([one.key, two.key])
        assert {key: it.uid for key, it in found.items()} == {one.key: one.uid}


def test_a_submission_that_costs_nothing_is_complete(tmp_path: Path) -> None:
    """It is what the state has of it."""
    with opened(tmp_path, ledger=None) as (submissions, state):
        wanted, before_s = request("one"), time.time()
        found = submissions.intend(
            wanted.key, wanted, {"x": "y"}, cell="s/a", forced=True, price=None, replaces="", is_stored=lambda: False
        )
        assert found is not None
        [there] = state.open_submissions()
        assert found == replace(there, intended_at_s=found.intended_at_s)
        assert (there.key, there.request, there.provider, there.handle, dict(there.context), there.forced) == (
            wanted.key, wanted, "dashscope", "", {"x": "y"}, True
        )  # fmt: skip
        assert before_s <= found.intended_at_s <= time.time()


def test_an_image_that_is_stored_is_not_claimed(tmp_path: Path) -> None:
    """The store is asked under the claim."""
    with opened(tmp_path) as (submissions, state):
        wanted = request("one")
        found = submissions.intend(
            wanted.key, wanted, {}, cell="s/a", forced=False, price=None, replaces="", is_stored=lambda: True
        )
        assert (found, submissions.open(), state.open_submissions()) == (None, [], [])


def test_a_state_that_can_not_be_written_hides_nothing(tmp_path: Path) -> None:
    """The ledger has what was paid, and the next run brings the state into step."""
    with opened(tmp_path) as (submissions, state):
        one = sent(submissions, request("one"))
        state.close()
        submissions.accept(one, "task:1")
    with opened(tmp_path) as (_, state):
        assert shown(state.open_submissions()) == [("one", "task:1")]


def test_a_refusal_before_the_wait_began_is_not_the_answer(tmp_path: Path) -> None:
    """Only what was refused since then counts."""
    with opened(tmp_path) as (submissions, _):
        one, before_s = sent(submissions, request("one")), time.time()
        submissions.settle(one, "refused")
        submissions.explain(one, {"claim": "no"})
        assert submissions.refusal(one.key, before_s) == {"claim": "no"}
        assert submissions.refusal(one.key, time.time() + 1) is None


# --- a stranger's state ---


@pytest.mark.parametrize("handle", ["task:1", "result:1:https://anybody.oss-cn-beijing.aliyuncs.com/1.png", ""])
@pytest.mark.parametrize(
    "forged",
    [
        "", "UPDATE submissions SET context = '{}'", "UPDATE submissions SET uid = ''",
        "UPDATE submissions SET context = json_set(context, '$.account', NULL)",
        "UPDATE submissions SET provider = 'null'",
    ],
)  # fmt: skip
def test_only_the_key_proves_a_submission_that_the_ledger_does_not_know(
    tmp_path: Path, handle: str, forged: str
) -> None:
    """A link needs no key to be downloaded, but its image would be stored for all of the user's projects."""
    with opened(tmp_path, key="sk-stranger", ledger="theirs") as (submissions, state):
        sent(submissions, request(), handle, key="sk-stranger")
    if forged:
        with sqlite3.connect(state.path) as db:
            db.execute(forged)
        db.close()
    for key in ("sk-mine", ""):
        for is_ready in (False, True):
            with opened(tmp_path, key=key, prepare=is_ready) as (submissions, state):
                (found,) = submissions.open()
                assert found.elsewhere
                assert not is_ready or submissions.take(found) is None
                warned = 0 if "provider" in forged else 1
                assert len(submissions.unproven) == len(submissions.warnings()) == warned
                assert len(state.open_submissions()) == 1
    with contextlib.closing(Ledger(tmp_path / "ledger")) as ledger:
        assert ledger.open_rows() == []
    if not forged:
        with opened(tmp_path, key="sk-stranger", ledger="lost") as (submissions, _):
            assert [(it.handle, it.elsewhere) for it in submissions.open()] == [(handle, "")]


def test_the_warning_about_a_strangers_submissions(tmp_path: Path) -> None:
    """It names some of them, and says what to do."""
    with opened(tmp_path, key="sk-stranger", ledger="theirs") as (submissions, _):
        sent(submissions, request("one"), key="sk-stranger")
    with opened(tmp_path, prepare=False) as (submissions, _):
        submissions.open()
        assert [str(problem) for problem in submissions.warnings()] == [
            "error: the project's state has 1 submission that was not made with your API key: left alone\n"
            "  = qwen-image-plus 1328x1328 seed 1: one\n"
            "  = hint: if you sent it, build with the key of then; if it came with the project, `--resubmit` renders"
            " the image"
        ]
    with opened(tmp_path, key="sk-stranger", ledger="theirs") as (submissions, _):
        for number in range(9):
            sent(submissions, request(f"{number}" * 100), key="sk-stranger")
    with opened(tmp_path, prepare=False) as (submissions, _):
        submissions.open()
        (problem,) = submissions.warnings()
        assert problem.claim.startswith("the project's state has 10 submissions that were not made")
        assert (len(problem.facts), max(map(len, problem.facts))) == (5, 94)


def test_a_row_of_the_ledger_without_an_account(tmp_path: Path) -> None:
    """The ledger is the user's own, so nothing has to be proved."""
    with opened(tmp_path) as (submissions, _):
        wanted = request("one")
        submissions.intend(
            wanted.key, wanted, {}, cell="s/a", forced=False, price=None, replaces="", is_stored=lambda: False
        )
        (found,) = submissions.open()
        assert (dict(found.context), found.elsewhere, submissions.unproven) == ({}, "", [])
