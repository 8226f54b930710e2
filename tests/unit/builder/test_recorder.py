"""Outputs reach the state in batches, all of them in the end."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qwenbuild.builder.recorder import Recorder
from qwenbuild.errors import StateError
from qwenbuild.specs.action import Action
from qwenbuild.storage.state import State
from tests.support.workspace import Workspace


@pytest.fixture
def actions(project: Workspace) -> list[Action]:
    """Ten actions."""
    return project.write(
        {"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = { start = 0, count = 10 } }\n'}
    ).actions()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """An empty state."""
    state = State(tmp_path / "state.sqlite3")
    yield state
    state.close()


def test_everything_is_recorded_in_the_end(actions: list[Action], state: State, tmp_path: Path) -> None:
    """What was added while it ran is on record afterwards, with its request; some of it before."""
    seen = os.stat(tmp_path)

    async def run() -> int:
        recorder = Recorder(state, lambda error: None)
        async with recorder.running():
            for action in actions[:5]:
                recorder.add(action, "ab", seen)
            await asyncio.sleep(0.3)
            early = len(state.outputs())
            for action in actions[5:]:
                recorder.add(action, "ab", seen)
        return early

    assert asyncio.run(run()) == 5
    found = state.outputs()
    assert set(found) == {action.output for action in actions}
    first = found[actions[0].output]
    assert (first.key, first.st_size, first.st_mtime_ns, first.st_ino) == (
        actions[0].key, seen.st_size, seen.st_mtime_ns, seen.st_ino
    )  # fmt: skip
    assert first.name == "s/a[seed=0]"
    assert state.request(first.key) == actions[0].request.as_dict()


def test_a_batch_that_waits_for_a_thread(actions: list[Action], state: State, tmp_path: Path) -> None:
    """A batch whose turn has come, but which no thread has taken up yet, is on record in the end."""

    async def run() -> None:
        loop, free = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        recorder = Recorder(state, lambda error: None)
        async with recorder.running():
            busy = loop.run_in_executor(None, free.wait)
            recorder.add(actions[0], "ab", os.stat(tmp_path))
            await asyncio.sleep(0.4)
            loop.call_later(0.1, free.set)
        await busy

    asyncio.run(run())
    assert list(state.outputs()) == [actions[0].output]


def test_a_build_that_breaks_is_recorded(actions: list[Action], state: State, tmp_path: Path) -> None:
    """Also where the build ends with an exception, what stands is on record."""

    async def run() -> None:
        recorder = Recorder(state, lambda error: None)
        async with recorder.running():
            recorder.add(actions[0], "ab", os.stat(tmp_path))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())
    assert list(state.outputs()) == [actions[0].output]


def test_a_state_that_can_not_be_written(actions: list[Action], state: State, tmp_path: Path) -> None:
    """A state that fails is told of, and does not end the build by itself."""
    faults: list[StateError] = []

    async def run() -> None:
        recorder = Recorder(state, faults.append)
        async with recorder.running():
            recorder.add(actions[0], "ab", os.stat(tmp_path))
            state.close()

    asyncio.run(run())
    assert [fault.claim.endswith("closed database.") for fault in faults] == [True]
