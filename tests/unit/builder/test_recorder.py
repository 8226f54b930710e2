"""The recorder: outputs reach the state in batches, and none is lost."""

from __future__ import annotations

import asyncio
import os
import threading
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


def test_everything_is_recorded_in_the_end(actions: list[Action], state: State, tmp_path: Path) -> None:
    """Outputs are recorded with their requests: some during the context, all at its end."""
    seen = os.stat(tmp_path)

    async def run() -> int:
        async with recorder.running():
            for action in actions[:5]:
                recorder.add(action, "ab", seen)
            await asyncio.sleep(0.3)
            early = len(state.outputs())
            for action in actions[5:]:
                recorder.add(action, "ab", seen)
        return early

    recorder = Recorder(state, lambda error: None)
    assert asyncio.run(run()) == 5
    found = state.outputs()
    assert set(found) == {action.output for action in actions}
    assert recorder.outputs == found
    first = found[actions[0].output]
    assert (first.key, first.st_size, first.st_mtime_ns, first.st_ino) == (
        actions[0].key, seen.st_size, seen.st_mtime_ns, seen.st_ino
    )  # fmt: skip
    assert (first.name, first.image) == ("s/a[seed=0]", "ab")
    assert state.request(first.key) == actions[0].request.as_dict()


def test_a_batch_that_waits_for_a_thread(actions: list[Action], state: State, tmp_path: Path) -> None:
    """A batch that waits for a free thread is recorded at the end."""

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
    """If the build ends with an exception, its outputs are recorded."""

    async def run() -> None:
        recorder = Recorder(state, lambda error: None)
        async with recorder.running():
            recorder.add(actions[0], "ab", os.stat(tmp_path))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())
    assert list(state.outputs()) == [actions[0].output]


def test_a_state_that_can_not_be_written(actions: list[Action], state: State, tmp_path: Path) -> None:
    """A state that can't be written is reported to `on_fault`, and raises nothing."""
    faults: list[StateError] = []

    async def run() -> None:
        recorder = Recorder(state, faults.append)
        async with recorder.running():
            recorder.add(actions[0], "ab", os.stat(tmp_path))
            state.close()

    asyncio.run(run())
    assert [fault.claim.endswith("closed database.") for fault in faults] == [True]
