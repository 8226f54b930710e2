"""The journal: what a provider reports is in the state when the call returns, even if the render is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.builder.commits import Commits
from qwenbuild.builder.journal import RunJournal
from qwenbuild.provider import Detached, Stopped
from qwenbuild.request import Submission
from qwenbuild.storage.state import State
from tests.support.runs import run_of
from tests.support.workspace import Workspace

Journey = Callable[[RunJournal], Awaitable[None]]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """An empty state."""
    state = State(tmp_path / "state.sqlite3")
    yield state
    state.close()


@pytest.fixture
def root(project: Workspace) -> Path:
    """The folder of a project with one image to render."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\n', "qwenbuild.toml": 'provider = "null"\n'})
    return project.root


def travel(state: State, root: Path, journey: Journey, *, is_closed: bool = False, **choices: Any) -> RunJournal:
    """Make a journal of the project's step, let a provider use it, and return it."""
    run = run_of(root, state, **choices)
    action = run.plan.steps[0].action

    async def use() -> RunJournal:
        commits = Commits(state)
        journal = RunJournal(run, commits, action.key, action.request, lambda: is_closed)
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
        travel(state, root, journey, is_closed=True)
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
