"""Rendering: what it does with a provider's images, failures, lost answers and prices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.errors import AccountError, AnswerLost, QwenbuildError, Refused, StateError
from qwenbuild.events import Event, ImageStarted, LookingUp, Stopping
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.provider import Journal, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size, Submission
from qwenbuild.specs import user_config
from tests.support.builds import Build, ScriptedProvider


def test_concurrency(build: Build) -> None:
    """As many renders run at once as the provider allows, and no more."""
    build.prompts(*map(str, range(20)))
    build.run()
    assert (build.provider.most, len(build.provider.prompts)) == (3, 20)


@pytest.mark.parametrize("png", [b"", b"GIF89a", plain(Size(8, 8), b"abc")])
def test_wrong_images(build: Build, png: bytes) -> None:
    """Bytes that are not the requested image reach neither the store nor `out/`."""

    async def wrong(request: Request, journal: Journal) -> Rendered:
        return Rendered(png)

    build.provider = ScriptedProvider(wrong)
    build.prompts("one")
    finished = build.run()
    assert (finished.failed, finished.exit_code, build.stores()) == (1, 1, 0)
    assert not (build.root / "out").exists()


def test_a_torn_image(build: Build) -> None:
    """A truncated image is refused, wherever it was cut."""
    whole = plain(Size(1328, 1328), b"abc")

    async def torn(request: Request, journal: Journal) -> Rendered:
        return Rendered(whole[: int(request.prompt)])

    build.provider = ScriptedProvider(torn)
    build.prompts(*(str(len(whole) * at // 10) for at in range(10)))
    assert build.run().failed == 10


def test_provenance(build: Build) -> None:
    """An image carries its request, its key, its provider's name and the provider's facts."""
    build.prompts("one")
    build.run()
    (action,) = build.engine().actions()
    assert read_provenance_file(build.root / "out/s/i0.png") == {
        "generator": "qwenbuild", "action_key": action.key, "provider": "scripted",
        "request": action.request.as_dict(), "note": "drawn",
    }  # fmt: skip


def test_a_provider_that_breaks(build: Build) -> None:
    """A plugin's exception fails only its own image; the message names file and line."""

    async def crash(request: Request, journal: Journal) -> None:
        if request.prompt == "bad":
            raise KeyError("nosuch")

    build.provider = ScriptedProvider(crash)
    build.prompts("one", "bad", "two")
    finished = build.run()
    assert build.outcomes == {"i0": "rendered", "i1": "failed", "i2": "rendered"}
    (problem,) = finished.problems
    assert problem.claim == "the provider \"scripted\" broke: KeyError: 'nosuch'"
    assert problem.facts[0].startswith(f"at {__file__}:")


def test_a_lost_answer(build: Build) -> None:
    """After a lost answer the image is UNKNOWN, and only `resubmit` sends its request again."""
    mood = {"lost": True}

    async def lose(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if mood["lost"]:
            raise AnswerLost("gone")

    build.provider = ScriptedProvider(lose)
    build.prompts("one", "one")
    assert build.run().unknown == 2
    mood["lost"] = False
    again = build.run()
    assert (again.unknown, again.exit_code, build.provider.prompts) == (2, 1, ["one"])
    finished = build.run(resubmit=True)
    assert (finished.rendered, finished.restored) == (1, 1)
    assert build.engine().in_flight() == []


def test_a_long_look_up(build: Build) -> None:
    """A look-up of lost answers that takes longer than a second is reported."""

    class Slow(ScriptedProvider):
        told = asyncio.Event()

        async def collect(self, submission: Submission, journal: Journal) -> Rendered:
            raise AssertionError("nothing was found")

        async def search(
            self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
        ) -> dict[int, Search]:
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


class Searching(ScriptedProvider):
    """Loses every answer; its list shows what `says` returns for each, and its images can be collected."""

    says = Search(1.0, 660.0, is_whole=True)
    fault: QwenbuildError | None = None

    def __init__(self) -> None:
        super().__init__(self.lose, concurrency=1, price="0.1")
        self.searches = 0

    async def lose(self, request: Request, journal: Journal) -> None:
        await journal.intend({})
        raise AnswerLost("gone", hint="look")

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        assert submission.handle == f"task:{submission.request.prompt}"
        return Rendered(plain(submission.request.size, b"rgb"))

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
    ) -> dict[int, Search]:
        self.searches += 1
        if self.fault:
            raise self.fault
        mine = {it.id: it.request.prompt for it in lost}
        return {
            number: replace(self.says, candidates=(
                Candidate(f"task:{prompt}", prompt, "SUCCEEDED", 1.0, prompt, Likeness.SAME),
            )) if prompt != "nowhere" else self.says
            for number, prompt in mine.items()
        }  # fmt: skip


def sole_user(build: Build, text: str = "sole_user = true") -> Searching:
    """Let nobody else use the account of the build's provider."""
    path = user_config.path()
    assert path
    path.parent.mkdir(parents=True)
    path.write_text(f"[providers.scripted]\n{text}\n")
    build.provider = made = Searching()
    return made


def test_a_sole_users_lost_answers_are_found_at_the_end(build: Build) -> None:
    """Each that is certain is collected by the same build; the others keep their error."""
    service = sole_user(build)
    build.prompts("one", "nowhere", "two")
    finished = build.run()
    assert build.outcomes == {"i0": "reattached", "i1": "unknown", "i2": "reattached"}
    assert [(problem.claim, problem.hint) for problem in finished.problems] == [("gone", "look")]
    assert (service.searches, [it.request.prompt for it in build.engine().in_flight()]) == (1, ["nowhere"])
    assert finished.cost == {"CNY": "0.3"}


def test_what_ends_a_build_ends_lost_answers(build: Build) -> None:
    """An error of the account, met while looking for them, leaves all of them UNKNOWN."""
    service = sole_user(build)
    service.fault = AccountError("no access")
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.unknown, finished.skipped) == (2, 0)
    assert {problem.claim for problem in finished.problems} == {"gone", "no access"}


def test_fail_fast_ends_at_the_first_lost_answer(build: Build) -> None:
    """It is not looked for."""
    service = sole_user(build)
    build.prompts("one", "two")
    finished = build.run(fail_fast=True)
    assert (finished.unknown, finished.skipped, service.searches) == (1, 1, 0)


def test_a_mistake_in_the_users_config_stops_the_build(build: Build) -> None:
    """Nothing more is sent until it is corrected."""
    service = sole_user(build, "sole_user = 1")
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.unknown, finished.skipped, service.searches) == (1, 1, 0)
    assert "sole_user: wrong type, a whole number" in [problem.claim for problem in finished.problems]


def test_a_state_that_can_not_be_written(build: Build) -> None:
    """If the state can't be written before a request is sent, the render fails and the build stops."""

    async def intend(request: Request, journal: Journal) -> None:
        raise StateError("state.sqlite3: disk I/O error")

    build.provider = ScriptedProvider(intend, concurrency=1)
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.failed, finished.skipped) == (1, 1)


def test_the_budget(build: Build) -> None:
    """A build stops before the request that would pass the budget, and reports what it spent."""
    build.provider = ScriptedProvider(price="0.25", concurrency=1)
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

    build.provider = ScriptedProvider(refuse, price="1", concurrency=1)
    build.prompts("bad", "one")
    finished = build.run(max_cost=Decimal(1))
    assert (finished.failed, finished.rendered, finished.cost) == (1, 1, {"CNY": "1"})


def test_a_view_that_fails_before_anything_is_sent(build: Build) -> None:
    """If `emit` raises at the start of a paid image, its request is not sent."""

    async def pay(request: Request, journal: Journal) -> None:
        await journal.intend({})
        await journal.accepted("task:1")

    build.provider = ScriptedProvider(pay, concurrency=2, price="0.1")
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
    """A paid image starts when its request is sent; a free one when a worker takes it."""
    started: list[str] = []
    seen: list[int] = []
    everyone = asyncio.Barrier(3)

    async def render(request: Request, journal: Journal) -> None:
        await everyone.wait()
        seen.append(len(started))
        await everyone.wait()  # all three have counted the started images before any is sent
        await journal.intend({})
        await journal.refused()
        await journal.intend({})

    def note(event: Event) -> None:
        if isinstance(event, ImageStarted):
            started.append(event.name)

    build.provider = ScriptedProvider(render, concurrency=3, price=price)
    build.prompts("one", "two", "three")
    assert build.run(note).rendered == 3
    assert (seen, len(started)) == ([waiting] * 3, 3)
