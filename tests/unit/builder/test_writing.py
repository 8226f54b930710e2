"""Writing: stored images reach `out/` alone or together, and every step that wants them ends."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.builder.endings import Endings
from qwenbuild.builder.recorder import Recorder
from qwenbuild.builder.workers import Workers
from qwenbuild.builder.writing import YIELD_EVERY, Ready, Writing
from qwenbuild.digest import sha256
from qwenbuild.events import Event, ImageFinished, Outcome
from qwenbuild.storage.past_requests import PastRequests
from qwenbuild.storage.state import State
from tests.support.runs import run_of
from tests.support.workspace import Workspace


class Scene:
    """A run of four images, of which the last two have the request of the first, and what its steps ended with."""

    def __init__(self, place: Workspace, state: State, **choices: Any) -> None:
        same = 'prompt = "a"\nseed = 1\n'
        images = f'[image.a]\n{same}[image.b]\nprompt = "b"\n[image.c]\n{same}[image.d]\n{same}'
        place.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": images})
        self.events: list[Event] = []
        self.run = run_of(place.root, state, self.events.append, **choices)
        workers = Workers(self.run)
        self.recorder = Recorder(state, lambda error: None)
        self.endings = Endings(self.run, workers, self.recorder)
        self.it = Writing(self.run, self.endings, self.recorder)
        for step in self.run.plan.steps[2:]:
            self.endings.follow(step)

    def ready(self, number: int, **changes: Any) -> Ready:
        """Return a step with its image."""
        step = self.run.plan.steps[number]._replace(**changes)
        image = b"image of " + step.action.key.encode()
        return Ready(step, sha256(image), image, Outcome.RENDERED, 0.0)

    def write(self, *ready: Ready, together: bool) -> list[bool]:
        """Write the outputs; return what `write` returned."""

        async def write() -> list[bool]:
            if together:
                await self.it.write_all(ready)
                return []
            return [await self.it.write(it) for it in ready]

        return asyncio.run(write())

    @property
    def ended(self) -> dict[str, Outcome]:
        return {it.name.removeprefix("s/"): it.outcome for it in self.events if isinstance(it, ImageFinished)}

    @property
    def seconds(self) -> dict[str, float]:
        return {it.name.removeprefix("s/"): it.seconds for it in self.events if isinstance(it, ImageFinished)}

    def path(self, number: int) -> Path:
        return self.run.outputs.path(self.run.plan.steps[number].action.output)


@pytest.mark.parametrize("together", [False, True])
def test_an_image_reaches_all_of_its_outputs(project: Workspace, state: State, together: bool) -> None:
    """Those that wait for its bytes are restored, and each one is recorded with the status of its file."""
    scene = Scene(project, state)
    assert scene.write(scene.ready(0), scene.ready(1), together=together) == ([] if together else [True, True])
    assert scene.ended == {"a": Outcome.RENDERED, "b": Outcome.RENDERED, "c": Outcome.RESTORED, "d": Outcome.RESTORED}
    for number in range(4):
        output, path = scene.recorder.outputs[scene.run.plan.steps[number].action.output], scene.path(number)
        assert path.read_bytes() == scene.ready(number).image
        assert (output.image, output.st_ino) == (scene.ready(number).digest, os.lstat(path).st_ino)


@pytest.mark.parametrize("together", [False, True])
def test_an_output_that_can_not_be_written_fails_alone(project: Workspace, state: State, together: bool) -> None:
    """The outputs with the same bytes, and the others of the batch, are written. A later build must write the first."""
    scene = Scene(project, state)
    scene.path(0).mkdir(parents=True)
    found = scene.write(scene.ready(0, seen=os.lstat(scene.path(0))), scene.ready(1), together=together)
    assert found == ([] if together else [False, True])
    assert scene.ended == {"a": Outcome.FAILED, "b": Outcome.RENDERED, "c": Outcome.RESTORED, "d": Outcome.RESTORED}


@pytest.mark.parametrize("together", [False, True])
def test_an_output_that_somebody_changed_is_left_alone(project: Workspace, state: State, together: bool) -> None:
    """It fails, and no later build needs to write it."""
    scene = Scene(project, state)
    scene.path(1).parent.mkdir(parents=True)
    scene.path(1).write_bytes(b"mine")
    assert scene.write(scene.ready(1), together=together) == ([] if together else [True])
    assert (scene.ended, scene.path(1).read_bytes()) == ({"b": Outcome.FAILED}, b"mine")


@pytest.mark.parametrize("together", [False, True])
def test_what_a_build_replaces_is_in_the_store(project: Workspace, state: State, together: bool) -> None:
    """The bytes of a file that the plan has seen are kept before it is replaced."""
    scene = Scene(project, state)
    scene.path(1).parent.mkdir(parents=True)
    scene.path(1).write_bytes(b"before")
    scene.write(scene.ready(1, seen=os.lstat(scene.path(1))), together=together)
    assert scene.path(1).read_bytes() == scene.ready(1).image
    assert scene.run.store.blob(sha256(b"before"), 10) == b"before"


@pytest.mark.parametrize("together", [False, True])
def test_a_locked_build_writes_only_what_the_lock_pins(project: Workspace, state: State, together: bool) -> None:
    """Another image of the step is MISSING, with the reason."""
    scene = Scene(project, state, locked=True)
    pinned = scene.ready(1).digest
    found = scene.write(scene.ready(0, pinned="0" * 64), scene.ready(1, pinned=pinned), together=together)
    assert found == ([] if together else [False, True])
    assert (scene.ended["a"], scene.ended["b"]) == (Outcome.MISSING, Outcome.RENDERED)
    assert not scene.path(0).exists()


@pytest.mark.parametrize("together", [False, True])
def test_a_locked_build_writes_what_the_lock_does_not_pin(project: Workspace, state: State, together: bool) -> None:
    """The lock demands no bytes for it."""
    scene = Scene(project, state, locked=True)
    assert scene.write(scene.ready(1, pinned=""), together=together) == ([] if together else [True])
    assert scene.ended == {"b": Outcome.RENDERED}


@pytest.mark.parametrize("together", [False, True])
def test_the_event_of_an_image_with_other_bytes_than_the_pin(project: Workspace, state: State, together: bool) -> None:
    """It tells of the lock alone, not of the change to the request, and the time that the render took."""
    scene, past, began_s = Scene(project, state, locked=True), PastRequests(state), time.monotonic() - 100.0
    state.record([], {"1" * 64: {"prompt": "before"}})
    ready = scene.ready(1, pinned="0" * 64, was=(past.add("1" * 64), past))
    assert "prompt changed" in ready.step.reason
    scene.write(ready._replace(begun_s=began_s), together=together)
    [event] = scene.events
    assert isinstance(event, ImageFinished)
    assert event.reason == "the render gave other bytes than the lock pins"
    assert 100.0 <= event.seconds <= time.monotonic() - began_s


@pytest.mark.parametrize("together", [False, True])
def test_each_output_took_its_own_time(project: Workspace, state: State, together: bool) -> None:
    """The time of an image counts from the beginning of its step; of those that waited for it, only their writing."""
    scene, before_s = Scene(project, state), time.monotonic()
    scene.write(scene.ready(0)._replace(begun_s=before_s - 100.0), together=together)
    longest_s = time.monotonic() - before_s
    assert 100.0 <= scene.seconds["a"] <= 100.0 + longest_s
    assert max(scene.seconds["c"], scene.seconds["d"]) <= longest_s


@pytest.mark.parametrize("together", [False, True])
def test_an_emulated_image_reaches_others_as_such(project: Workspace, state: State, together: bool) -> None:
    """Each output that waited for it is recorded under the key of the emulator's image."""
    scene = Scene(project, state)
    first, *_, last = (step.action.made_by("http://127.0.0.1:1") for step in scene.run.plan.steps)
    scene.write(scene.ready(0, action=first), together=together)
    assert scene.recorder.outputs[last.output].key == last.key != scene.run.plan.steps[3].action.key


def test_many_outputs_let_other_tasks_run(project: Workspace, state: State) -> None:
    """Events are emitted for a few outputs at a time; between them, each other task goes on once."""
    scene = Scene(project, state)
    count, turns, found = 2 * YIELD_EVERY + 1, 0, list[int]()
    project.write({"specs/s.toml": f'[image.x]\nprompt = "x"\nmatrix.seed = {{ start = 0, count = {count} }}\n'})
    run = run_of(project.root, state, lambda event: found.append(turns))
    endings = Endings(run, Workers(run), scene.recorder)
    ready = [Ready(step, sha256(b"image"), b"image", Outcome.RENDERED, 0.0) for step in run.plan.steps]

    async def turn() -> None:
        nonlocal turns
        while len(found) < count:
            turns += 1
            await asyncio.sleep(0)

    async def write() -> None:
        await asyncio.gather(Writing(run, endings, scene.recorder).write_all(ready), turn())

    asyncio.run(write())
    assert [number - found[0] for number in found] == [number // YIELD_EVERY for number in range(count)]
