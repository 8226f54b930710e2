"""The builder: what it does with a provider's images, failures and delays, and when it is told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qwenbuild import Engine, load
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.errors import AccountError, AnswerLost, Refused, StateError
from qwenbuild.events import Event, Finished, ImageFinished, ImageStarted, LookingUp, Outcome, Started, Stopping
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.provider import Journal, Price, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size, Submission
from tests.support.workspace import Workspace

Act = Callable[[Request, Journal], Awaitable[Rendered | None]]


class Scripted:
    """A provider that does to a request what the test says, and draws a plain image where that is nothing."""

    name, family, labelled = "scripted", "scripted-1", False

    def __init__(self, act: Act | None = None, *, concurrency: int = 3, price: str = "") -> None:
        self.concurrency = concurrency
        self._act, self._price = act, price
        self.prompts: list[str] = []
        self.under_way = self.most = 0

    def check(self, model: str) -> str | None:
        return None

    def price(self, model: str) -> Price | None:
        return Price(Decimal(self._price)) if self._price else None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        self.prompts.append(request.prompt)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.001)
            rendered = await self._act(request, journal) if self._act else None
        finally:
            self.under_way -= 1
        return rendered or Rendered(plain(request.size, b"rgb"), {"note": "drawn"})


class Build:
    """A project of images with one prompt each, a provider, and what came of builds."""

    def __init__(self, place: Workspace) -> None:
        self.root = place.root
        self.place = place
        self.provider = Scripted()
        self.events: list[Event] = []
        place.write({"qwenbuild.toml": 'provider = "null"\n'})

    def prompts(self, *texts: str) -> None:
        """Declare an image for each prompt."""
        images = (f'[image.i{at}]\nprompt = "{text}"\nseed = 1\nsize = "1:1"\n' for at, text in enumerate(texts))
        self.place.write({"specs/s.toml": "".join(images)})

    def engine(self, **choices: Any) -> Engine:
        engine = load(self.root, **choices)
        engine.provider = self.provider
        return engine

    def run(self, emit: Callable[[Event], None] | None = None, interrupt: Interrupt | None = None,
            **choices: Any) -> Finished:  # fmt: skip
        """Build once; every output has ended exactly once."""
        self.events = []

        def take(event: Event) -> None:
            self.events.append(event)
            if emit:
                emit(event)

        engine = self.engine(**choices)
        finished = engine.build(take, interrupt)
        ended = [event.path for event in self.events if isinstance(event, ImageFinished)]
        assert sorted(ended) == sorted(step.action.output for step in engine.plan().steps)
        assert self.events[0].event == "started"
        assert self.events[-1] is finished
        return finished

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Outcome by image."""
        ended = [event for event in self.events if isinstance(event, ImageFinished)]
        return {event.name.removeprefix("s/"): event.outcome for event in ended}

    def stores(self) -> int:
        """Return how many results the store has."""
        return len(list((self.engine().store.root / "ac").rglob("*/*")))


@pytest.fixture
def build(project: Workspace) -> Build:
    """A project without images yet."""
    return Build(project)


# --- images ---


def test_events(build: Build) -> None:
    """A build tells when it starts, what is begun, how each output ends, and how it ended."""
    build.prompts("one")
    finished = build.run()
    plan = {
        "up_to_date": 0,
        "restore": 0,
        "reattach": 0,
        "render": 1,
        "edited": 0,
        "unknown": 0,
        "missing": 0,
        "orphans": 0,
    }
    started, begun, ended, last = build.events
    assert started == Started("scripted", plan)
    assert begun == ImageStarted("s/i0", "s/i0.png", "render", "never rendered")
    assert isinstance(ended, ImageFinished)
    assert (ended.name, ended.path, ended.outcome, ended.reason) == ("s/i0", "s/i0.png", "rendered", "never rendered")
    assert (last, finished.rendered, finished.exit_code, finished.complete) == (finished, 1, 0, True)


def test_provenance(build: Build) -> None:
    """An image carries its request, its key, its provider, and the facts that the provider tells."""
    build.prompts("one")
    build.run()
    (action,) = build.engine().actions()
    assert read_provenance_file(build.root / "out/s/i0.png") == {
        "generator": "qwenbuild", "action_key": action.key, "provider": "scripted",
        "request": action.request.as_dict(), "note": "drawn",
    }  # fmt: skip


def test_concurrency(build: Build) -> None:
    """As many renders are under way as the provider takes, and no more."""
    build.prompts(*map(str, range(20)))
    build.run()
    assert (build.provider.most, len(build.provider.prompts)) == (3, 20)


@pytest.mark.parametrize("png", [b"", b"GIF89a", plain(Size(8, 8), b"abc")])
def test_wrong_images(build: Build, png: bytes) -> None:
    """Bytes that are not the image that was asked for reach neither the store nor out/."""

    async def wrong(request: Request, journal: Journal) -> Rendered:
        return Rendered(png)

    build.provider = Scripted(wrong)
    build.prompts("one")
    finished = build.run()
    assert (finished.failed, finished.exit_code, build.stores()) == (1, 1, 0)
    assert not (build.root / "out").exists()


def test_a_torn_image(build: Build) -> None:
    """A truncated image is refused wherever it was cut."""
    whole = plain(Size(1328, 1328), b"abc")

    async def torn(request: Request, journal: Journal) -> Rendered:
        return Rendered(whole[: int(request.prompt)])

    build.provider = Scripted(torn)
    build.prompts(*(str(len(whole) * at // 10) for at in range(10)))
    assert build.run().failed == 10


# --- equal requests ---


def test_equal_requests(build: Build) -> None:
    """Equal requests are rendered once, and their image stands at every path."""
    build.prompts("same", "other", "same", "same")
    finished = build.run()
    assert (finished.rendered, finished.restored, sorted(build.provider.prompts)) == (2, 2, ["other", "same"])


def test_the_first_of_equal_requests_fails(build: Build) -> None:
    """Where the render fails, all that wait for it fail with it."""

    async def refuse(request: Request, journal: Journal) -> None:
        raise Refused("no")

    build.provider = Scripted(refuse)
    build.prompts("same", "same")
    assert build.run().failed == 2
    assert build.provider.prompts == ["same"]


def test_the_first_of_equal_requests_can_not_be_written(build: Build) -> None:
    """Where the image can't be written at the first path, the other paths get it none the less."""
    build.place.write({
        "specs/s.toml": '[image.i0]\nprompt = "p"\nseed = 1\noutput = "blocked/x.png"\n'
        '[image.i1]\nprompt = "p"\nseed = 1\n', "out/blocked": "a file",
    })  # fmt: skip
    build.run()
    assert build.outcomes == {"i0": "failed", "i1": "restored"}
    build.run()
    assert build.outcomes == {"i0": "failed", "i1": "up_to_date"}
    (build.root / "out/blocked").unlink()
    build.run()
    assert (build.outcomes["i0"], build.provider.prompts) == ("restored", ["p"])


# --- failures ---


def test_a_provider_that_breaks(build: Build) -> None:
    """An exception of a plugin fails its image, with the place where it was raised, and no other's."""

    async def crash(request: Request, journal: Journal) -> None:
        if request.prompt == "bad":
            raise KeyError("nosuch")

    build.provider = Scripted(crash)
    build.prompts("one", "bad", "two")
    finished = build.run()
    assert build.outcomes == {"i0": "rendered", "i1": "failed", "i2": "rendered"}
    (problem,) = finished.problems
    assert problem.claim == "the provider \"scripted\" broke: KeyError: 'nosuch'"
    assert problem.facts[0].startswith(f"at {__file__}:")


def test_an_error_that_dooms_every_request(build: Build) -> None:
    """After it nothing more is taken up."""

    async def doom(request: Request, journal: Journal) -> None:
        raise AccountError("wrong key")

    build.provider = Scripted(doom, concurrency=1)
    build.prompts("one", "two", "three")
    finished = build.run()
    assert (finished.failed, finished.skipped, finished.exit_code) == (1, 2, 1)
    assert [event.reason for event in build.events if isinstance(event, Stopping)] == ["wrong key"]


def test_fail_fast(build: Build) -> None:
    """With `fail_fast` the first failure ends the build; what is under way is finished and kept."""

    async def act(request: Request, journal: Journal) -> None:
        if request.prompt == "bad":
            raise Refused("no")
        await asyncio.sleep(0.05)

    build.provider = Scripted(act, concurrency=2)
    build.prompts("one", "bad", "two", "three")
    finished = build.run(fail_fast=True)
    assert (finished.rendered, finished.failed, finished.skipped) == (1, 1, 2)
    assert (build.root / "out/s/i0.png").exists()


def test_a_lost_answer(build: Build) -> None:
    """An answer that was lost leaves its image UNKNOWN, and nothing sends it again but the user's word."""
    mood = {"lost": True}

    async def lose(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if mood["lost"]:
            raise AnswerLost("gone")

    build.provider = Scripted(lose)
    build.prompts("one", "one")
    assert build.run().unknown == 2
    mood["lost"] = False
    again = build.run()
    assert (again.unknown, again.exit_code, build.provider.prompts) == (2, 1, ["one"])
    finished = build.run(resubmit=True)
    assert (finished.rendered, finished.restored) == (1, 1)
    assert build.engine().in_flight() == []


def test_a_long_look_up(build: Build) -> None:
    """Where the service takes its time to tell what became of lost answers, it is told what is waited for."""

    class Slow(Scripted):
        told = asyncio.Event()

        async def collect(self, submission: Submission, journal: Journal) -> Rendered:
            raise AssertionError("nothing was found")

        async def reconcile(self, lost: Sequence[Submission], known: Iterable[Submission] = ()) -> dict[int, str]:
            await self.told.wait()
            return {}

    async def lose(request: Request, journal: Journal) -> None:
        await journal.intend({})
        raise AnswerLost("gone")

    build.provider = slow = Slow(lose)
    build.prompts("one", "two")
    assert build.run().unknown == 2
    assert not [event for event in build.events if isinstance(event, LookingUp)]
    assert build.run(lambda event: slow.told.set() if isinstance(event, LookingUp) else None).unknown == 2
    assert [event for event in build.events if isinstance(event, LookingUp)] == [LookingUp(2)]


def test_a_state_that_can_not_be_written(build: Build) -> None:
    """A state that fails before anything is sent fails the render, and stops the build."""

    async def intend(request: Request, journal: Journal) -> None:
        raise StateError("state.sqlite3: disk I/O error")

    build.provider = Scripted(intend, concurrency=1)
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.failed, finished.skipped) == (1, 1)


# --- money ---


def test_the_budget(build: Build) -> None:
    """A build stops before the request that would pass the budget, and tells what it spent."""
    build.provider = Scripted(price="0.25", concurrency=1)
    build.prompts("one", "two", "three", "four")
    finished = build.run(max_cost=Decimal("0.6"))
    assert (finished.rendered, finished.skipped, finished.cost) == (2, 2, {"CNY": "0.50"})
    assert [event.reason for event in build.events if isinstance(event, Stopping)] == [
        "the next image would cost more than the budget of 0.6 CNY"
    ]
    assert build.run(max_cost=Decimal("0.5")).rendered == 2


def test_what_was_not_billed_costs_nothing(build: Build) -> None:
    """A refused request gives its price back to the budget."""

    async def refuse(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if request.prompt == "bad":
            await journal.refused()
            raise Refused("no")

    build.provider = Scripted(refuse, price="1", concurrency=1)
    build.prompts("bad", "one")
    finished = build.run(max_cost=Decimal(1))
    assert (finished.failed, finished.rendered, finished.cost) == (1, 1, {"CNY": "1"})


# --- outputs that change meanwhile ---


def test_an_output_that_appears_during_the_build(build: Build) -> None:
    """A file that somebody puts in an output's place during the build is left alone, and no render is lost."""

    async def meddle(request: Request, journal: Journal) -> None:
        build.place.write({"out/s/i0.png": "mine"})

    build.provider = Scripted(meddle)
    build.prompts("one")
    finished = build.run()
    assert (finished.failed, (build.root / "out/s/i0.png").read_text()) == (1, "mine")
    assert "changed during the build and was left alone" in finished.problems[0].claim
    (build.root / "out/s/i0.png").unlink()
    assert (build.run().restored, build.provider.prompts) == (1, ["one"])


def test_an_output_that_is_edited_during_the_build(build: Build) -> None:
    """A file that is edited while its successor is rendered keeps the edit."""
    build.prompts("one")
    build.run()

    async def meddle(request: Request, journal: Journal) -> None:
        path = build.root / "out/s/i0.png"
        path.write_bytes(path.read_bytes() + b"edit")

    build.provider = Scripted(meddle)
    build.prompts("two")
    assert build.run().failed == 1
    assert (build.root / "out/s/i0.png").read_bytes().endswith(b"edit")


# --- the store ---


def test_damaged_bytes_of_equal_requests(build: Build) -> None:
    """Stored bytes that are damaged are rendered again once, for every output that wants them."""
    build.prompts("same", "same", "other")
    build.run()
    before = {path.name: path.read_bytes() for path in (build.root / "out/s").iterdir()}
    for path in (build.engine().store.root / "cas").rglob("*/*"):
        content = path.read_bytes()
        if content.startswith(b"\x89PNG"):
            path.chmod(0o644)
            path.write_bytes(content[:-1] + b"x")
    for path in (build.root / "out/s").iterdir():
        path.unlink()
    assert build.engine().plan().counts["restore"] == 3
    build.provider.prompts.clear()
    finished = build.run()
    assert (finished.rendered, finished.restored) == (2, 1)
    assert sorted(build.provider.prompts) == ["other", "same"]
    assert {path.name: path.read_bytes() for path in (build.root / "out/s").iterdir()} == before


def test_force_replaces_what_is_stored(build: Build) -> None:
    """A forced render replaces the stored image, and later builds restore the new one."""
    colours = [b"old", b"new"]

    async def draw(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(request.size, colours.pop(0)))

    build.provider = Scripted(draw)
    build.prompts("one")
    build.run()
    old = (build.root / "out/s/i0.png").read_bytes()
    build.run(force=True)
    new = (build.root / "out/s/i0.png").read_bytes()
    assert old != new
    (build.root / "out/s/i0.png").unlink()
    build.run()
    assert (build.root / "out/s/i0.png").read_bytes() == new


def test_an_image_that_another_build_stored_first(build: Build) -> None:
    """Where an equal request was stored meanwhile, that image stands, and it is the one that is written."""

    async def overtaken(request: Request, journal: Journal) -> Rendered:
        other = Workspace(build.root.parent / "other").write({"qwenbuild.toml": 'provider = "null"\n'})
        second = Build(other)
        second.prompts("one")
        await asyncio.to_thread(second.run)
        return Rendered(plain(request.size, b"zzz"))

    build.provider = Scripted(overtaken)
    build.prompts("one")
    build.run()
    first = (build.root.parent / "other/out/s/i0.png").read_bytes()
    assert (build.root / "out/s/i0.png").read_bytes() == first


# --- stopping ---


def test_one_interrupt(build: Build) -> None:
    """The first interrupt lets what is under way finish, and takes up nothing more."""
    interrupt = Interrupt()
    build.provider = Scripted(concurrency=2)
    build.prompts(*map(str, range(10)))

    def stop(event: Event) -> None:
        if isinstance(event, ImageStarted) and not interrupt.count:
            interrupt.request()

    finished = build.run(stop, interrupt)
    assert (finished.interrupted, finished.exit_code) == (True, 130)
    assert finished.rendered in (1, 2)
    assert finished.rendered + finished.skipped == 10
    assert len(build.provider.prompts) == finished.rendered
    assert build.run().up_to_date == finished.rendered


def test_two_interrupts(build: Build) -> None:
    """The second interrupt leaves what is under way, at once, and the count is still whole."""
    interrupt = Interrupt()

    async def hang(request: Request, journal: Journal) -> None:
        interrupt.request()
        await asyncio.sleep(60)

    build.provider = Scripted(hang, concurrency=2)
    build.prompts(*map(str, range(10)))
    finished = build.run(None, interrupt)
    assert (finished.interrupted, finished.skipped, finished.seconds < 10) == (True, 10, True)


def test_an_interrupt_that_came_before(build: Build) -> None:
    """A build that is asked to stop before it begins does nothing."""
    interrupt = Interrupt()
    interrupt.request()
    build.prompts("one")
    finished = build.run(None, interrupt)
    assert (finished.interrupted, finished.skipped, build.provider.prompts) == (True, 1, [])


def test_interrupted_restores(build: Build) -> None:
    """Restoring stops at an interrupt, too: after the batches that are under way."""
    count = 128 * ((os.cpu_count() or 1) + 2)  # one batch more than are under way at once
    build.prompts(*map(str, range(count)))
    build.run()
    for path in (build.root / "out/s").iterdir():
        path.unlink()
    interrupt = Interrupt()

    def stop(event: Event) -> None:
        if isinstance(event, ImageFinished) and not interrupt.count:
            interrupt.request()

    finished = build.run(stop, interrupt)
    assert 0 < finished.restored < count
    assert finished.restored + finished.skipped == count
    assert len(os.listdir(build.root / "out/s")) == finished.restored


def test_a_view_that_fails(build: Build) -> None:
    """Where nobody can be told any more the build ends, and what was rendered is not rendered again."""
    build.provider = Scripted(concurrency=2)
    build.prompts(*map(str, range(10)))

    def leave(event: Event) -> None:
        if isinstance(event, ImageFinished):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        build.run(leave)
    done = len(build.provider.prompts)
    assert done < 10
    finished = build.run()
    assert finished.rendered == 10 - done


def test_a_view_that_fails_before_anything_is_sent(build: Build) -> None:
    """What an image costs is told before it is sent: where nobody can be told, nothing is."""

    async def pay(request: Request, journal: Journal) -> None:
        await journal.intend({})
        await journal.accepted("task:1")

    build.provider = Scripted(pay, concurrency=2, price="0.1")
    build.prompts(*map(str, range(10)))

    def leave(event: Event) -> None:
        if isinstance(event, ImageStarted):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        build.run(leave)
    assert build.engine().in_flight() == []
    assert build.run().rendered == 10


@pytest.mark.parametrize(("price", "waiting"), [("", 3), ("0.1", 0)])
def test_what_costs_money_starts_when_it_is_sent(build: Build, price: str, waiting: int) -> None:
    """What waits in a provider for its turn has not started; what is free starts when it is taken up."""
    started: list[str] = []
    seen: list[int] = []
    everyone = asyncio.Barrier(3)

    async def render(request: Request, journal: Journal) -> None:
        await everyone.wait()
        seen.append(len(started))
        await everyone.wait()  # nobody is sent before all have looked
        await journal.intend({})
        await journal.refused()
        await journal.intend({})

    def note(event: Event) -> None:
        if isinstance(event, ImageStarted):
            started.append(event.name)

    build.provider = Scripted(render, concurrency=3, price=price)
    build.prompts("one", "two", "three")
    assert build.run(note).rendered == 3
    assert (seen, len(started)) == ([waiting] * 3, 3)


def test_staging_is_swept(build: Build) -> None:
    """What a crash left in staging is removed by the next build that does anything."""
    build.place.write({".qwenbuild/tmp/0123456789abcdef.tmp": "torn"})
    build.prompts("one")
    build.run()
    assert os.listdir(build.root / ".qwenbuild/tmp") == []
    assert Path(build.root / ".qwenbuild/.gitignore").read_text() == "*\n"
