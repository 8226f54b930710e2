"""The commits: writes are on disk when their call returns, and writes that arrive meanwhile share a commit."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from qwenbuild.builder.commits import Commits
from qwenbuild.errors import StateError
from qwenbuild.request import Request, Size
from qwenbuild.storage.state import State

COUNT = 50


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the state."""
    return tmp_path / "state.sqlite3"


def request(number: int) -> Request:
    """Return the request of that number."""
    return Request("p", "m", f"prompt {number}", "", Size(8, 8), number, prompt_extend=False, watermark=False)


def intend(commits: Commits, state: State, number: int) -> asyncio.Future[int]:
    """Enqueue the intent of that number."""
    return commits.enqueue(state.intend, request(number).key, request(number).as_dict(), "p", {})


def on_disk(path: Path) -> list[tuple[int, str]]:
    """Return id and handle of each submission, as another connection sees them."""
    with contextlib.closing(sqlite3.connect(path)) as database:  # its `with` commits, and leaves it open
        return database.execute("SELECT id, handle FROM submissions ORDER BY id").fetchall()


def test_results_and_order(state: State, path: Path) -> None:
    """Each call gets its own result, and writes happen in the order of the calls."""

    async def run() -> None:
        commits = Commits(state)
        async with commits.running():
            numbers = await asyncio.gather(*(intend(commits, state, number) for number in range(COUNT)))
            assert [number for number, _ in on_disk(path)] == numbers == list(range(1, COUNT + 1))
            last = [commits.enqueue(state.accepted, 1, handle) for handle in ("a", "b", "c")]
            await last[-1]
            assert on_disk(path)[0] == (1, "c")

    asyncio.run(run())


def test_what_comes_meanwhile_is_one_commit(state: State, path: Path) -> None:
    """Fifty writes at once take two commits: the first one's, and one for all the others."""

    async def run() -> None:
        commits = Commits(state)
        async with commits.running():
            first = intend(commits, state, 0)
            await asyncio.sleep(0)  # it is on its way to the disk
            rest = [intend(commits, state, number) for number in range(1, COUNT)]
            await first
            seen = set()
            while not all(future.done() for future in rest):
                seen.add(len(on_disk(path)))
                await asyncio.sleep(0)
            assert seen <= {1, COUNT}
            assert len(on_disk(path)) == COUNT

    asyncio.run(run())


def test_a_cancelled_wait(state: State, path: Path) -> None:
    """A write whose caller no longer waits is completed before the context ends."""

    async def run() -> None:
        commits = Commits(state)
        async with commits.running():
            intend(commits, state, 0).cancel()
            intend(commits, state, 1)
        assert len(on_disk(path)) == 2

    asyncio.run(run())


def test_a_write_that_fails(state: State, path: Path) -> None:
    """A write that fails undoes its whole commit; later commits succeed."""

    async def run() -> None:
        commits = Commits(state)
        async with commits.running():
            wrong = commits.enqueue(state.intend, "key", {}, "p", {"no": float("nan")})
            other = intend(commits, state, 0)
            for future in (wrong, other):
                with pytest.raises(StateError):
                    await future
            assert on_disk(path) == []
            assert await intend(commits, state, 1) == 1

    asyncio.run(run())


def test_a_cancelled_wait_for_a_write_that_fails(state: State, path: Path) -> None:
    """Whoever still waits gets the error, and later commits succeed."""

    async def run() -> None:
        commits = Commits(state)
        async with commits.running():
            other = intend(commits, state, 0)
            commits.enqueue(state.intend, "key", {}, "p", {"no": float("nan")}).cancel()
            with pytest.raises(StateError):
                await other
            assert await intend(commits, state, 1) == 1

    asyncio.run(run())


def test_a_context_that_fails_still_writes(state: State, path: Path) -> None:
    """What was enqueued is on disk, and its thread has ended."""

    async def run() -> None:
        commits = Commits(state)
        with pytest.raises(ZeroDivisionError):
            async with commits.running():
                intend(commits, state, 0)
                raise ZeroDivisionError
        assert len(on_disk(path)) == 1
        with pytest.raises(RuntimeError):
            await intend(commits, state, 1)

    asyncio.run(run())


def test_named_arguments_reach_the_write(state: State) -> None:
    """They are given to the records' method as they are."""

    async def run() -> None:
        commits = Commits(state)
        async with commits.running():
            await commits.enqueue(state.intend, request(0).key, request(0).as_dict(), "p", {}, forced=True)

    asyncio.run(run())
    assert [it.forced for it in state.open_submissions()] == [True]
