"""The journal: what a provider reports is in the state when the call returns, even if the render is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.builder.commits import Commits
from qwenbuild.builder.journal import Elsewhere, RunJournal
from qwenbuild.errors import LedgerError, Refused
from qwenbuild.provider import Detached, Price, Stopped
from qwenbuild.request import Submission
from qwenbuild.storage.lanes import Lane
from qwenbuild.storage.ledger_file import FILE
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.builds import ScriptedProvider
from tests.support.runs import run_of
from tests.support.trouble import most_bytes
from tests.support.workspace import Workspace

Journey = Callable[[RunJournal], Awaitable[None]]


@pytest.fixture
def root(project: Workspace) -> Path:
    """The folder of a project with one image to render."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\n', "qwenbuild.toml": 'provider = "null"\n'})
    return project.root


def travel(
    state: State, root: Path, journey: Journey, *, is_closed: Callable[[], bool] = lambda: False, **choices: Any
) -> RunJournal:
    """Make a journal of the project's step, let a provider use it, and return it."""
    run = run_of(root, state, **choices)
    action = run.plan.steps[0].action

    async def use() -> RunJournal:
        commits = Commits(state)
        journal = RunJournal(run, commits, action.key, action.request, is_closed)
        async with commits.running():
            await journey(journal)
        return journal

    return asyncio.run(use())


def only(state: State) -> Submission | None:
    """Return the open submission, if there is one."""
    found = state.open_submissions()
    assert len(found) <= 1
    return found[0] if found else None


def test_from_intent_to_done(state: State, root: Path) -> None:
    """A submission is open, then has a handle, then is settled."""
    seen: list[tuple[str, bool] | None] = []

    async def journey(journal: RunJournal) -> None:
        def look() -> None:
            found = only(state)
            seen.append((found.handle, found.forced) if found else None)

        await journal.intend({"region": "x"})
        look()
        await journal.accepted("task:1")
        look()
        await journal.settle("done")
        look()

    journal = travel(state, root, journey, force=True)
    assert seen == [("", True), ("task:1", True), None]
    assert (journal.is_open, journal.unbilled) == (False, False)


def test_refused(state: State, root: Path) -> None:
    """A refused submission is settled, and was not billed."""

    async def journey(journal: RunJournal) -> None:
        await journal.intend({})
        await journal.refused()

    journal = travel(state, root, journey)
    assert (only(state), journal.unbilled) == (None, True)


def test_a_lost_handle(state: State, root: Path) -> None:
    """A lost handle is forgotten, and the submission stays open."""

    async def journey(journal: RunJournal) -> None:
        await journal.intend({})
        await journal.accepted("task:1")
        await journal.lost()

    travel(state, root, journey)
    found = only(state)
    assert found is not None
    assert found.handle == ""


def test_nothing_is_sent_once_the_build_stops(state: State, root: Path) -> None:
    """After the build was closed, `intend` raises Stopped and records nothing."""

    async def journey(journal: RunJournal) -> None:
        await journal.intend({})

    with pytest.raises(Stopped):
        travel(state, root, journey, is_closed=lambda: True)
    assert only(state) is None


def test_detaching(state: State, root: Path) -> None:
    """With `detach`, `accepted` records the handle and then raises Detached."""

    async def journey(journal: RunJournal) -> None:
        await journal.intend({})
        await journal.accepted("task:1")

    with pytest.raises(Detached):
        travel(state, root, journey, detach=True)
    found = only(state)
    assert found is not None
    assert found.handle == "task:1"


def test_cancelled_while_it_is_written(state: State, root: Path) -> None:
    """If the render is cancelled before its request is sent, the submission is settled."""

    async def journey(journal: RunJournal) -> None:
        task = asyncio.ensure_future(journal.intend({}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    travel(state, root, journey)
    assert only(state) is None


# --- with a ledger ---


class Two:
    """Two builds with one ledger: `mine` is the run of the project, `theirs` the submissions of another one."""

    def __init__(self, root: Path, folder: Path) -> None:
        provider, self.folder = ScriptedProvider(price="0.20"), folder / "ledger"
        self.state, self._other = State.of(root, create=True), State.of(folder, create=True)
        self.theirs = Submissions(self._other, folder / "ledger", provider, folder)
        self.mine = Submissions(self.state, folder / "ledger", provider, root)
        for each in (self.mine, self.theirs):
            each.prepare()
        self._run = run_of(root, self.state, provider=provider)
        self.step = self._run.plan.steps[0]._replace(price=Price(Decimal("0.20")))
        self.key, self.request = self.step.action.key, self.step.action.request

    def rows(self, columns: str) -> list[tuple[object, ...]]:
        """Return these columns of all submissions in the ledger."""
        with contextlib.closing(sqlite3.connect(self.folder / FILE)) as db:
            return db.execute(f"SELECT {columns} FROM submissions ORDER BY id").fetchall()

    def close(self) -> None:
        for each in (self.mine, self.theirs, self.state, self._other):
            each.close()

    def travel(
        self, journey: Journey, *, start: Callable[[], None] | None = None, pinned: str = "",
        collected: Submission | None = None, earlier: Submission | None = None, **choices: Any,
    ) -> RunJournal:  # fmt: skip
        """Let a provider use the journal of the project's step, and return it."""
        run = replace(
            self._run, lane=Lane(self._run.provider, self.mine), options=replace(self._run.options, **choices)
        )
        step = self.step._replace(pinned=pinned, submission=earlier)

        async def use() -> RunJournal:
            commits = Commits(self.mine)
            journal = RunJournal(
                run, commits, self.key, self.request, lambda: False, step=step, collected=collected, start=start
            )
            async with commits.running():
                await journey(journal)
            return journal

        return asyncio.run(use())

    def send(self) -> Submission:
        """Record that the other build has sent the request."""
        found = self.theirs.intend(
            self.key, self.request, {}, cell="s/a", forced=False, price=None, replaces="", is_stored=lambda: False
        )
        assert found is not None
        return found


@pytest.fixture
def two(root: Path, tmp_path: Path) -> Iterator[Two]:
    """Two builds that have sent nothing yet."""
    (tmp_path / "theirs").mkdir()
    made = Two(root, tmp_path / "theirs")
    yield made
    made.close()


async def intend(journal: RunJournal) -> None:
    """Send a request."""
    await journal.intend({"region": "x"})


def test_a_submission_says_what_it_is_for(two: Two) -> None:
    """The ledger has its cell, key, request, price and context; the build is told that it began."""
    begun: list[str] = []
    journal = two.travel(intend, start=lambda: begun.append("begun"))
    [row] = two.mine.open()
    assert (row.cell, row.key, row.request, row.forced, dict(row.context)) == (
        "s/a", two.key, two.request, False, {"region": "x"}
    )  # fmt: skip
    assert (begun, journal.is_open, journal.unbilled, journal.submission) == (["begun"], True, False, row)
    assert two.rows("price, currency, outcome") == [("0.20", "CNY", None)]


def test_a_second_attempt_begins_once(two: Two) -> None:
    """A request that was refused and sent again is one render for the view."""
    begun: list[str] = []

    async def again(journal: RunJournal) -> None:
        await intend(journal)
        await journal.refused()
        assert journal.unbilled
        await intend(journal)
        assert not journal.unbilled

    two.travel(again, start=lambda: begun.append("begun"))
    assert begun == ["begun"]
    assert two.rows("outcome") == [("refused",), (None,)]


def test_what_another_build_renders_is_elsewhere(two: Two) -> None:
    """Nothing is recorded, and nothing is sent."""
    theirs = two.send()
    begun: list[str] = []

    async def refused(journal: RunJournal) -> None:
        with pytest.raises(Elsewhere):
            await intend(journal)
        assert (journal.is_open, journal.unbilled) == (False, True)

    two.travel(refused, start=lambda: begun.append("begun"))
    assert ([it.uid for it in two.mine.open()], begun) == ([theirs.uid], [])


@pytest.mark.parametrize(
    ("choices", "pinned", "is_sent"), [({}, "", False), ({"force": True}, "", True), ({}, "0" * 64, True)]
)
def test_what_is_stored_is_not_sent(two: Two, choices: dict[str, Any], pinned: str, is_sent: bool) -> None:
    """Unless the user wants a new image, or the lock demands other bytes."""
    two._run.store.put(two.key, b"image", b"{}")

    async def send(journal: RunJournal) -> None:
        if is_sent:
            await intend(journal)
        else:
            with pytest.raises(Elsewhere):
                await intend(journal)

    assert two.travel(send, pinned=pinned, **choices).is_open is is_sent


def test_what_may_have_been_billed_is_replaced_by_name(two: Two) -> None:
    """The lost submission is closed in the same step, and a forced one stays forced."""
    two.travel(intend, force=True)
    [lost] = two.mine.open()
    two.mine.release(lost)
    two.travel(intend, earlier=lost)
    [again] = two.mine.open()
    assert (again.uid != lost.uid, again.forced) == (True, True)


def test_a_view_that_fails_settles_what_was_not_sent(two: Two) -> None:
    """The request is not sent, and nothing stays open."""

    def fail() -> None:
        raise BrokenPipeError

    async def send(journal: RunJournal) -> None:
        with pytest.raises(BrokenPipeError):
            await intend(journal)
        assert (journal.is_open, journal.unbilled) == (False, True)

    two.travel(send, start=fail)
    assert two.mine.open() == []
    assert two.rows("outcome") == [("refused",)]


def test_settling_forgets_the_handle(two: Two) -> None:
    """A later attempt of the same request never answers with the handle of an earlier one."""

    async def settle(journal: RunJournal) -> None:
        assert (journal.handle, journal.is_open) == ("", False)
        await intend(journal)
        await journal.accepted("task:1")
        assert journal.handle == "task:1"
        await journal.settle("done")
        assert (journal.handle, journal.is_open, journal.submission) == ("", False, None)
        await journal.settle("refused")  # nothing is open: nothing happens
        await journal.lost()
        await journal.release()

    two.travel(settle)
    assert two.mine.open() == []


def test_losing_forgets_the_handle(two: Two) -> None:
    """The submission stays open, and may have been billed."""

    async def lose(journal: RunJournal) -> None:
        await intend(journal)
        await journal.accepted("task:1")
        await journal.lost()
        assert (journal.handle, journal.is_open, journal.unbilled) == ("", True, False)

    two.travel(lose)
    assert [it.handle for it in two.mine.open()] == [""]


def test_a_handle_on_a_full_disk(two: Two) -> None:
    """The image is fetched nevertheless: it is paid for, and there may be no later chance."""

    async def accept(journal: RunJournal) -> None:
        await intend(journal)
        with most_bytes(1000):
            await journal.accepted("task:1")
        assert (journal.handle, journal.is_open) == ("task:1", True)

    two.travel(accept)
    assert [it.handle for it in two.mine.open()] == [""]


def test_detaching_on_a_full_disk(two: Two) -> None:
    """A build that can't record the handle does not leave the image: it is told why."""

    async def accept(journal: RunJournal) -> None:
        await intend(journal)
        with most_bytes(1000), pytest.raises(LedgerError):
            await journal.accepted("task:1")

    two.travel(accept, detach=True)


def test_collecting_claims(two: Two) -> None:
    """What another build left is taken over: the view is told, and the other one waits."""
    sent, begun = two.send(), list[str]()
    two.theirs.accept(sent, "task:1")
    two.theirs.release(sent)
    [left] = two.mine.open()

    async def take(journal: RunJournal) -> None:
        taken = await journal.take()
        assert (taken.uid, taken.handle, journal.handle) == (sent.uid, "task:1", "task:1")

    two.travel(take, collected=left, start=lambda: begun.append("begun"))
    assert begun == ["begun"]
    assert two.theirs.take(sent) is None


def test_what_another_build_collects_is_elsewhere(two: Two) -> None:
    """The journal has no submission then, and leaves the other's alone."""
    sent = two.send()
    two.theirs.accept(sent, "task:1")
    [held] = two.mine.open()

    async def take(journal: RunJournal) -> None:
        with pytest.raises(Elsewhere):
            await journal.take()
        assert (journal.handle, journal.is_open) == ("", False)
        await journal.settle("done")

    two.travel(take, collected=held)
    assert [it.uid for it in two.mine.open()] == [sent.uid]


def test_a_released_submission_is_free(two: Two) -> None:
    """Another build collects it at once; a full disk is no error then: the end of the build releases it."""

    async def release(journal: RunJournal) -> None:
        await intend(journal)
        await journal.accepted("task:1")
        with most_bytes(1000):
            await journal.release()
        [held] = await asyncio.to_thread(two.theirs.open)
        assert held.is_held
        await journal.release()

    two.travel(release)
    [left] = two.theirs.open()
    assert not left.is_held
    assert two.theirs.take(left) is not None


def test_why_a_request_was_refused_is_on_record(two: Two) -> None:
    """Builds that wait for it learn the claim, the facts, the hint and the code."""
    before_s = time.time()

    async def explain(journal: RunJournal) -> None:
        await journal.explain(Refused("nothing was sent"))
        await intend(journal)
        await journal.refused()
        await journal.explain(Refused("no cats", facts=["because"], hint="draw dogs", code="NoCats"))

    two.travel(explain)
    assert two.theirs.refusal(two.key, before_s) == {
        "claim": "no cats", "facts": ["because"], "hint": "draw dogs", "code": "NoCats", "is_final": False,
    }  # fmt: skip


def test_cancelled_while_the_key_is_claimed(two: Two) -> None:
    """Nothing was sent, so the claim is given up, whether it was won or not."""

    async def cancel(journal: RunJournal) -> None:
        task = asyncio.ensure_future(intend(journal))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (journal.is_open, journal.unbilled) == (False, True)

    two.travel(cancel)
    assert two.mine.open() == []
    assert two.rows("outcome") == [("refused",)]
    sent = two.send()
    two.travel(cancel)
    assert [it.uid for it in two.mine.open()] == [sent.uid]


def test_a_provider_that_reports_out_of_turn(two: Two) -> None:
    """A plugin that accepts what it did not intend is told so."""

    async def accept(journal: RunJournal) -> None:
        with pytest.raises(AssertionError, match="a provider reported on a request that it did not intend"):
            await journal.accepted("task:1")
        with pytest.raises(AssertionError):
            await journal.take()

    two.travel(accept)


@pytest.mark.parametrize("sends", [True, False])
def test_a_closed_build_does_not_wait_to_send(state: State, root: Path, sends: bool) -> None:
    """A request that was refused is not waited for after the build has closed; one that is open still is."""
    closed = False
    seen: list[bool] = []

    async def journey(journal: RunJournal) -> None:
        nonlocal closed
        await journal.intend({})
        if not sends:
            await journal.refused()
        closed = True
        try:
            journal.delayed(Refused("slower, please"), 60.0)
        except Stopped:
            seen.append(True)
        else:
            seen.append(False)

    travel(state, root, journey, is_closed=lambda: closed)
    assert seen == [not sends]
