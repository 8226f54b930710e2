"""The batches of a build: free images share their waits for the disk, and each step still ends by itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qwenbuild.builder.batches import Batches
from qwenbuild.builder.endings import Endings
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.builder.keep import Verified, verified
from qwenbuild.builder.recorder import Recorder
from qwenbuild.builder.restore import MOST_IMAGES
from qwenbuild.builder.run import Run
from qwenbuild.builder.workers import Workers
from qwenbuild.builder.writing import Ready
from qwenbuild.digest import sha256
from qwenbuild.events import Event, ImageFinished, Outcome
from qwenbuild.plan.plan import Step
from qwenbuild.provider import Journal, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.state import State
from tests.faults import injector
from tests.faults.disk import Disk
from tests.support.builds import Build, ScriptedProvider
from tests.support.pngs import made_for
from tests.support.runs import run_of
from tests.support.trouble import most_bytes

pytest_plugins = ("tests.support.injected",)


class Stored:
    """Batches of a run whose outputs nobody writes; `batches` and `alone` are the cells that were stored.

    `kept` are the images of `alone`. No batch ends while `gate` is closed; `arrived` counts what is stored.
    """

    def __init__(self, run: Run, fault: Exception | None = None) -> None:
        self.batches: list[list[str]] = []
        self.alone: list[str] = []
        self.kept: list[tuple[Entry, bytes, Outcome, float]] = []
        self.gate, self.arrived = asyncio.Event(), asyncio.Semaphore(0)
        self.gate.set()
        self._fault = fault
        workers = Workers(run)
        self.it = Batches(run, Endings(run, workers, Recorder(run.state, lambda error: None)), self._kept, self._all)

    async def _kept(self, step: Step, entry: Entry, image: bytes, outcome: Outcome, begun_s: float) -> bool:
        self.alone.append(step.action.name)
        self.kept.append((entry, image, outcome, begun_s))
        return True

    async def _all(self, batch: Sequence[tuple[Entry, Ready]]) -> None:
        if self._fault:
            raise self._fault
        self.batches.append([ready.step.action.name for _, ready in batch])
        self.arrived.release()
        await self.gate.wait()


def made(step: Step) -> Verified:
    action = step.action
    return verified("null", action.key, action.request, Rendered(plain(action.size, b"rgb"), verified=True))


@pytest.fixture
def run(build: Build, tmp_path: Path) -> Iterator[Run]:
    """A run of more images than two batches have."""
    spec = f'prompt = "p"\nmatrix = {{ seed = {{ start = 0, count = {2 * MOST_IMAGES + 40} }} }}\n'
    build.place.write({"specs/s.toml": f"[image.x]\n{spec}"})
    state = State(tmp_path / "state.sqlite3")
    yield run_of(build.root, state)
    state.close()


def test_what_was_made_meanwhile_is_one_batch(run: Run) -> None:
    """Images are taken in their order; no batch is too large, and at its end each image is in the store."""
    stored = Stored(run)

    async def build() -> None:
        async with stored.it.running():
            for step in run.plan.steps:
                await stored.it.add(step, made(step), 0.0)

    asyncio.run(build())
    names = [step.action.name for step in run.plan.steps]
    assert sorted(name for batch in stored.batches for name in batch) == sorted(names)
    assert max(map(len, stored.batches)) == MOST_IMAGES
    assert stored.alone == []
    assert all(run.store.lookup(step.action.key) for step in run.plan.steps)


def test_one_image_waits_for_no_other(run: Run) -> None:
    """Its batch begins at once."""
    stored, step = Stored(run), run.plan.steps[0]

    async def build() -> None:
        async with stored.it.running():
            await stored.it.add(step, made(step), 0.0)
            await stored.it.finish()
            assert stored.batches == [[step.action.name]]

    asyncio.run(build())


def test_large_images_fill_a_batch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch of enough bytes waits, `add` waits."""
    monkeypatch.setattr("qwenbuild.builder.batches.MOST_BYTES", 1)
    stored = Stored(run)

    async def build() -> None:
        async with stored.it.running():
            for step in run.plan.steps[:6]:
                await stored.it.add(step, made(step), 0.0)

    asyncio.run(build())
    assert [len(batch) for batch in stored.batches] == [1] * 6


@pytest.mark.parametrize("room", [0, 1])
def test_no_more_bytes_wait_than_a_batch_has(run: Run, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """While two batches wait for the disk, images join the next one until its bytes reach the limit."""
    stored, (one, two, *joined) = Stored(run), run.plan.steps[:5]
    limit = sum(made(step).new.entry.size_bytes for step in joined[:2])
    monkeypatch.setattr("qwenbuild.builder.batches.MOST_BYTES", limit + room)

    async def build() -> None:
        async with stored.it.running():
            stored.gate.clear()
            for step in (one, two):
                await stored.it.add(step, made(step), 0.0)
                await stored.arrived.acquire()
            for step in joined[:2]:
                await stored.it.add(step, made(step), 0.0)
            third = asyncio.create_task(stored.it.add(joined[2], made(joined[2]), 0.0))
            await asyncio.sleep(0)  # it joins, or waits for room
            assert third.done() == bool(room)
            stored.gate.set()
            await third

    asyncio.run(build())
    a, b, c, d, e = (step.action.name for step in (one, two, *joined))
    assert stored.batches[:2] == [[a], [b]]
    assert sorted(stored.batches[2:]) == ([[c, d, e]] if room else [[c, d], [e]])


def test_two_batches_at_once(run: Run) -> None:
    """What is made while both wait for the disk is one batch."""
    stored, steps = Stored(run), run.plan.steps[:4]

    async def build() -> None:
        async with stored.it.running():
            stored.gate.clear()
            for step in steps[:2]:
                await stored.it.add(step, made(step), 0.0)
                await stored.arrived.acquire()
            for step in steps[2:]:
                await stored.it.add(step, made(step), 0.0)
                await asyncio.sleep(0)  # a third batch would begin now
            stored.gate.set()

    asyncio.run(build())
    a, b, c, d = (step.action.name for step in steps)
    assert stored.batches == [[a], [b], [c, d]]


def test_a_batch_that_ended_takes_no_room(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one may have all bytes of a batch."""
    stored, (one, two, three) = Stored(run), run.plan.steps[:3]
    monkeypatch.setattr("qwenbuild.builder.batches.MOST_BYTES", made(two).new.entry.size_bytes + 1)

    async def build() -> None:
        async with stored.it.running():
            await stored.it.add(one, made(one), 0.0)
            await stored.it.finish()
            await stored.it.add(two, made(two), 0.0)
            await stored.it.add(three, made(three), 0.0)

    asyncio.run(build())
    assert stored.batches == [[one.action.name], [two.action.name, three.action.name]]


def test_what_a_batch_raises_ends_the_build(run: Run) -> None:
    """Whoever adds an image gets it, and so does whoever waits for the end."""
    stored, second = (Stored(run, BrokenPipeError()) for _ in range(2))

    async def build() -> None:
        async with stored.it.running():
            for step in itertools.cycle(run.plan.steps):
                await stored.it.add(step, made(step), 0.0)

    with pytest.raises(BrokenPipeError):
        asyncio.run(build())

    async def build_one() -> None:
        async with second.it.running():
            await second.it.add(run.plan.steps[0], made(run.plan.steps[0]), 0.0)

    with pytest.raises(BrokenPipeError):
        asyncio.run(build_one())


def test_an_image_that_is_there_already_is_kept_by_itself(run: Run) -> None:
    """The image that was stored first stays."""
    stored, (first, second, *_) = Stored(run), run.plan.steps
    entry = run.store.put(first.action.key, b"no image of the request", b"{}")

    async def build() -> None:
        async with stored.it.running():
            for step in (first, second):
                await stored.it.add(step, made(step), 7.0)

    asyncio.run(build())
    assert (stored.alone, stored.batches[-1]) == ([first.action.name], [second.action.name])
    image = made(first).new
    assert run.store.lookup(first.action.key) == image.entry != entry  # it was no image of the request
    assert stored.kept == [(image.entry, image.image, Outcome.RENDERED, 7.0)]


@pytest.mark.parametrize("is_pinned", [False, True])
def test_the_image_that_the_lock_pins_takes_its_place(run: Run, is_pinned: bool) -> None:
    """The lock counts more than the image that was stored first."""
    stored, step = Stored(run), run.plan.steps[0]
    new, other = made(step).new, made_for(step.action.key, step.action.size, b"xyz")
    first = run.store.put(step.action.key, other, b"{}")

    async def build() -> None:
        async with stored.it.running():
            await stored.it.add(step._replace(pinned=new.entry.image * is_pinned), made(step), 7.0)

    asyncio.run(build())
    expected = (new.entry.image, new.image) if is_pinned else (first.image, other)
    assert [(entry.image, image, begun_s) for entry, image, _, begun_s in stored.kept] == [(*expected, 7.0)]


# --- in a whole build ---


def test_an_output_waits_for_the_store(
    build: Build, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output gets its name when its result and its blob are safe, and its record when the output itself is safe."""
    build.place.write({"specs/s.toml": '[image.x]\nprompt = "p"\nmatrix = { seed = { start = 0, count = 40 } }\n'})
    arming, disk = injector.Arming(tmp_path / "log", (tmp_path,), records_data=True), Disk([tmp_path])
    monkeypatch.setenv("QWENBUILD_CACHE_DIR", str(tmp_path / "store"))
    store = build.engine().store
    environ = {**os.environ, **arming.environment(library)}
    subprocess.run([sys.executable, "-m", "qwenbuild", "build"], cwd=build.root, env=environ, check=True)
    outputs = {str(path): path.read_bytes() for path in (build.root / "out").rglob("*.png")}
    recorded = set[str]()
    for call in injector.read(arming.log):
        safe = disk.least
        if call.name == "rename" and call.second in outputs:
            image = sha256(outputs[call.second])
            assert safe[str(store.blob_path(image))] == outputs[call.second]
            assert any(image.encode() in (content or b"") for path, content in safe.items() if "/ac/" in path)
        if call.path.endswith("state.sqlite3-wal"):
            there = {path for path in outputs if os.path.basename(path).encode() in call.data}
            assert there <= safe.keys()
            recorded |= there
        disk.do(call)
    assert (len(outputs), recorded) == (40, set(outputs))


def test_only_the_image_that_does_not_fit_fails(build: Build) -> None:
    """A full disk stops the build; the other images of the batch are stored, and the next build makes the rest."""

    async def act(request: Request, journal: Journal) -> Rendered:
        note = "x" * 3_000_000 if request.prompt == "2" else ""
        return Rendered(plain(request.size, b"rgb"), {"note": note}, verified=True)

    build.provider = ScriptedProvider(act, concurrency=6)
    build.prompts(*map(str, range(6)))
    with most_bytes(2_000_000):
        finished = build.run()
    assert (finished.rendered, finished.failed) == (5, 1)
    assert build.outcomes["i2"] is Outcome.FAILED
    assert "its disk or quota is full" in str(finished.problems)
    assert build.stores() == 5
    assert build.run().rendered == 1


def test_an_image_of_another_size_is_kept(build: Build) -> None:
    """It fails as an image that costs money does, and its bytes are in the store."""

    async def act(request: Request, journal: Journal) -> Rendered | None:
        return Rendered(plain(Size(8, 8), b"rgb")) if request.prompt == "b" else None

    build.provider = ScriptedProvider(act)
    build.prompts("a", "b", "c")
    finished = build.run()
    assert (finished.rendered, finished.failed, build.stores()) == (2, 1, 3)
    [problem] = finished.problems
    assert problem.hint == "`--accept-size` takes it as it is; `--retry-failed` renders it again"
    assert build.run(accept_size=True).restored == 1


def test_an_image_of_another_size_can_be_accepted(build: Build) -> None:
    """Then it is rendered as any other."""

    async def act(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(Size(8, 8), b"rgb"))

    build.provider = ScriptedProvider(act)
    build.prompts("a")
    assert build.run(accept_size=True).rendered == 1
    assert len(list((build.root / "out").rglob("*.png"))) == 1


def test_an_interrupted_build_ends_after_its_batches(build: Build) -> None:
    """What was made is in the store and in `out/`; nothing else is begun."""
    build.provider = ScriptedProvider(concurrency=2)
    build.prompts(*map(str, range(30)))
    interrupt = Interrupt()

    def stop(event: Event) -> None:
        if isinstance(event, ImageFinished) and not interrupt.count:
            interrupt.request()

    finished = build.run(stop, interrupt)
    assert finished.rendered == len(build.provider.prompts) == build.stores()
    assert finished.rendered + finished.skipped == 30
    assert len(list((build.root / "out").rglob("*.png"))) == finished.rendered


def test_the_second_interrupt_drops_the_batch(build: Build) -> None:
    """Nothing is lost that costs money: the next build makes or restores the images."""
    interrupt = Interrupt()

    async def act(request: Request, journal: Journal) -> None:
        if len(build.provider.prompts) == 20:
            interrupt.request()
            interrupt.request()

    build.provider = ScriptedProvider(act, concurrency=20)
    build.prompts(*map(str, range(20)))
    finished = build.run(None, interrupt)
    assert finished.skipped > 0
    assert build.stores() >= finished.rendered
    again = build.run()
    assert again.rendered + again.restored + again.up_to_date == 20


def test_a_forced_image_replaces_the_stored_one(build: Build) -> None:
    """The old image stays in the store, under another key."""
    build.prompts("a", "b")
    build.run()
    build.provider = ScriptedProvider(lambda request, journal: _drawn(request))
    assert build.run(force=True).rendered == 2
    assert build.stores() == 4


async def _drawn(request: Request) -> Rendered:
    return Rendered(plain(request.size, b"new"))
