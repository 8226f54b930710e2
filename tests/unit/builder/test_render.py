"""Rendering: what it does with a provider's images, failures, lost answers and prices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.builder.budget import Spending
from qwenbuild.builder.endings import Endings
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.builder.recorder import Recorder
from qwenbuild.builder.render import Rendering
from qwenbuild.builder.run import Run
from qwenbuild.builder.workers import Workers
from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.digest import sha256
from qwenbuild.errors import AccountError, AnswerLost, QwenbuildError, Refused, ServiceFault, StateError, Throttled
from qwenbuild.events import (
    Delayed,
    Event,
    ImageFinished,
    ImageStarted,
    ImageWaiting,
    LookingUp,
    Outcome,
    Stopping,
    Warned,
)
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.problems import Problem
from qwenbuild.provider import Journal, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size, Submission
from qwenbuild.specs import user_config
from qwenbuild.storage import lock
from qwenbuild.storage.ledger import Ledger
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.builds import ITS_TASK, NOT_BILLED, Build, ScriptedProvider, Service, accept, lose
from tests.support.executors import InThreads
from tests.support.executors import threads as threads
from tests.support.pngs import made_for
from tests.support.runs import run_of


def test_concurrency(build: Build) -> None:
    """As many renders run at once as the provider allows, and no more."""
    build.prompts(*map(str, range(20)))
    build.run()
    assert (build.provider.most, len(build.provider.prompts)) == (3, 20)


@pytest.mark.parametrize("png", [b"", b"GIF89a", plain(Size(8, 8), b"abc")[:-9]])
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


def test_a_warning_of_an_image_is_shown(build: Build) -> None:
    """What a provider says about an image, such as a script that a draft can't show, does not make the build fail."""
    warning = Problem("drafts show bars instead of Tibetan letters")

    async def warned(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(request.size, b"abc"), warnings=[warning] if request.prompt == "two" else [])

    build.provider = ScriptedProvider(warned)
    build.prompts("one", "two", "three")
    assert (build.run().exit_code, [event.problems for event in build.events if isinstance(event, Warned)]) == (
        0, [[warning]],
    )  # fmt: skip


def test_provenance(build: Build) -> None:
    """An image carries its request, its key, its provider's name and the provider's facts."""
    build.prompts("one")
    build.run()
    (action,) = build.engine().actions()
    assert read_provenance_file(build.root / "out/s/i0.png") == {
        "generator": "qwenbuild", "action_key": action.key, "provider": "scripted",
        "request": action.request.as_dict(), "note": "drawn",
    }  # fmt: skip


def test_provenance_has_what_was_given_on_the_command_line(build: Build) -> None:
    """The variables that the image depends on, beside the provider's facts."""
    build.place.write({"specs/s.toml": '[image.i0]\nprompt = "a {{ pet }}"\nvars.pet = "cat"\nseed = 1\n'})
    assert build.run(variables=["pet=dog"]).rendered == 1
    provenance = read_provenance_file(build.root / "out/s/i0.png")
    assert provenance
    assert (provenance["vars"], provenance["note"], build.provider.prompts) == (["pet=dog"], "drawn", ["a dog"])


@pytest.mark.parametrize(("price", "cost"), [("", ""), ("0.25", ", and pays again")])
def test_an_image_of_another_size_may_cost_again(build: Build, price: str, cost: str) -> None:
    """The hint speaks of money only if there is a price."""

    async def small(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(Size(8, 8), b"rgb"))

    build.provider = ScriptedProvider(small, price=price)
    build.prompts("one")
    [problem] = build.run().problems
    assert problem.hint == f"`--accept-size` takes it as it is; `--retry-failed` renders it again{cost}"


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
    build.prompts("one", "one", "two")
    assert build.run().unknown == 3
    mood["lost"] = False
    again = build.run()
    assert (again.unknown, again.exit_code, build.provider.prompts) == (3, 1, ["one", "two"])
    finished = build.run(resubmit=True)
    assert (finished.rendered, finished.restored) == (2, 1)
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
        assert patience_s == 300.0  # a sole user's tasks are waited for
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
    assert build.started[3:] == [(name, "found among the service's tasks") for name in ("i2", "i0")]
    assert build.ledger() == [("s/i0", "done"), ("s/i1", ""), ("s/i2", "done")]


def test_lost_answers_without_certainty_are_not_looked_for(build: Build) -> None:
    """Others may use the account: the build ends at once, and the next one asks."""
    build.provider = service = Searching()
    build.prompts("one")
    assert (build.run().unknown, service.searches) == (1, 0)


@pytest.mark.parametrize("is_sent", [False, True])
def test_answers_that_no_list_can_explain(build: Build, is_sent: bool) -> None:
    """A task whose image is gone, and a provider that lost something before it sent: both stay as they are."""

    async def lose(request: Request, journal: Journal) -> None:
        if is_sent:
            await journal.intend({})
            await journal.accepted("task:one")
        raise AnswerLost("gone")

    service = sole_user(build)
    service._act = lose
    build.prompts("one")
    finished = build.run()
    assert (finished.unknown, service.searches) == (1, 0)
    assert [it.handle for it in build.engine().in_flight()] == [""] * is_sent


def test_an_interrupt_ends_the_search_for_lost_answers(build: Build) -> None:
    """What was lost before it stays UNKNOWN; nothing is asked."""

    async def lose(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if request.prompt == "two":
            interrupt.request()
            await stopping.wait()
        raise AnswerLost(f"{request.prompt} is gone")

    interrupt, stopping = Interrupt(), asyncio.Event()
    service = sole_user(build)
    service._act = lose
    build.prompts("one", "two", "three")
    finished = build.run(lambda event: stopping.set() if isinstance(event, Stopping) else None, interrupt)
    assert build.outcomes == {"i0": "unknown", "i1": "unknown", "i2": "skipped"}
    assert sorted(problem.claim for problem in finished.problems) == ["one is gone", "two is gone"]
    assert service.searches == 0


def test_a_claim_ends_with_the_search(build: Build) -> None:
    """Once an answer is given up, other builds may take over, while this one still ends its other images."""
    held: list[dict[str, bool]] = []

    def look(event: Event) -> None:
        if isinstance(event, ImageFinished):
            with contextlib.closing(Ledger(build.engine().store.root / "ledger", create=False)) as ledger:
                held.append({row.cell: ledger.is_held(row) for row in ledger.open_rows()})

    sole_user(build)
    build.prompts("nowhere", "nowhere else")
    Searching.says, before = replace(Searching.says, is_whole=False), Searching.says
    try:
        assert build.run(look).unknown == 2
    finally:
        Searching.says = before
    assert held == [{"s/i0": True, "s/i1": True}, {"s/i0": True, "s/i1": False}]


def test_what_ends_a_build_ends_lost_answers(build: Build) -> None:
    """An error of the account, met while looking for them, leaves all of them UNKNOWN."""
    service = sole_user(build)
    service.fault = AccountError("no access")
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.unknown, finished.skipped) == (2, 0)
    assert {problem.claim for problem in finished.problems} == {"gone", "no access"}
    assert build.stopped == ["no access"]


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
    assert len(build.stopped) == 1
    assert "sole_user" in build.stopped[0]


def test_a_mistake_in_the_users_config_ends_the_lost_answer_at_once(build: Build) -> None:
    """It is not kept until the other images have ended."""

    async def act(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if request.prompt == "two":
            sent.set()
            await ended.wait()
        else:
            await sent.wait()
            raise AnswerLost("gone")

    sent, ended = asyncio.Event(), asyncio.Event()
    service = sole_user(build, "sole_user = 1")
    service.concurrency, service._act = 2, act
    build.prompts("one", "two")
    build.run(lambda event: ended.set() if isinstance(event, ImageFinished) else None)
    assert list(build.outcomes.items()) == [("i0", "unknown"), ("i1", "rendered")]


def test_a_state_that_can_not_be_written(build: Build) -> None:
    """If the state can't be written before a request is sent, the render fails and the build stops."""

    async def intend(request: Request, journal: Journal) -> None:
        raise StateError("state.sqlite3: disk I/O error")

    build.provider = ScriptedProvider(intend, concurrency=1)
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.failed, finished.skipped) == (1, 1)


class Closed(ScriptedProvider):
    """A provider whose session can't be opened."""

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        raise AccountError("no key", hint="set the key")
        yield


def test_a_provider_that_can_not_start(build: Build) -> None:
    """Nothing is sent; the build stops with the provider's error."""
    build.provider = Closed(price="0.1")
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.skipped, finished.cost, build.provider.prompts) == (2, {}, [])
    assert [(problem.claim, problem.hint) for problem in finished.problems] == [("no key", "set the key")]
    assert build.stopped == ["no key"]


def test_a_provider_that_nothing_is_sent_to(build: Build, threads: InThreads) -> None:
    """If workers make all images, its session is not opened: that may need a key."""
    build.provider = Closed()
    build.provider.name, build.provider.family = "null", "null-1"  # as workers know it
    build.prompts("one", "two")
    assert (build.run(executor="dask=local").rendered, len(threads.done)) == (2, 2)


@pytest.mark.parametrize("price", ["0.1", ""])
def test_a_store_that_can_not_be_written(build: Build, price: str) -> None:
    """Nothing is paid for that can't be kept. What is free is tried."""
    build.provider = ScriptedProvider(price=price)
    build.prompts("one")
    (build.engine().store.root / "cas").mkdir(parents=True)
    (build.engine().store.root / "tmp").touch()
    finished = build.run()
    assert (finished.rendered, finished.cost) == (0, {})
    assert [problem.claim for problem in finished.problems] == [
        "the store can't be written: something else is in a folder's place"
    ]
    assert build.provider.prompts == ([] if price else ["one"])


def test_the_budget(build: Build) -> None:
    """A build stops before the request that would pass the budget, and reports what it spent."""
    build.provider = ScriptedProvider(price="0.25", concurrency=1)
    build.prompts("one", "two", "three", "four")
    finished = build.run(max_cost=Decimal("0.6"))
    assert (finished.rendered, finished.skipped, finished.cost) == (2, 2, {"CNY": "0.50"})
    reason = "the next image would cost more than the budget of 0.6 CNY"
    assert (build.stopped, [problem.claim for problem in finished.problems]) == ([reason], [reason])
    assert build.run(max_cost=Decimal("0.5")).rendered == 2


def test_the_budget_of_an_image(build: Build) -> None:
    """An image's own budget ends that image alone; its first message is told once."""
    build.provider = ScriptedProvider(price="0.25", concurrency=1)
    build.place.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmax_cost = 0.5\nmatrix.seed = { count = 4 }\n'
                                       '[image.b]\nprompt = "b"\nmatrix.seed = { count = 2 }\n'})  # fmt: skip
    finished = build.run()
    assert (finished.rendered, finished.skipped, finished.cost) == (4, 2, {"CNY": "1.00"})
    claim = "the next image of s/a would cost more than its max_cost of 0.5 CNY"
    assert ([problem.claim for problem in finished.problems], build.stopped) == ([claim], [])


def test_several_images_that_their_budgets_do_not_allow(build: Build) -> None:
    """Each is told in its own words, also if its request changed. All outputs with its bytes are skipped."""
    build.prompts("one", "two")
    build.run()
    build.provider = ScriptedProvider(price="0.25", concurrency=1)
    same = 'prompt = "{}"\nseed = 1\nsize = "1:1"\nmax_cost = 0.1\n'
    build.place.write({"specs/s.toml": f"[image.i0]\n{same.format('new')}[image.i1]\n{same.format('newer')}"})
    finished = build.run()
    claims = [f"the next image of s/{name} would cost more than its max_cost of 0.1 CNY" for name in ("i0", "i1")]
    assert [problem.claim for problem in finished.problems] == claims
    assert [[it.claim for it in event.problems] for event in build.events if isinstance(event, Warned)] == [
        [claim] for claim in claims
    ]
    ended = [(event.outcome, event.reason) for event in build.events if isinstance(event, ImageFinished)]
    assert ended == [(Outcome.SKIPPED, f"not sent: {claim}") for claim in claims]


def test_what_was_not_billed_does_not_count_for_the_budget_of_its_image(build: Build) -> None:
    """A refused request gives its price back; the next one of the image may cost as much."""

    async def refuse(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if request.seed == 1:
            await journal.refused()
            raise Refused("no")

    build.provider = ScriptedProvider(refuse, price="0.25", concurrency=1)
    build.place.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmax_cost = 0.25\nmatrix.seed = [1, 2]\n'})
    finished = build.run()
    assert (finished.failed, finished.rendered, finished.skipped) == (1, 1, 0)


def test_what_is_within_the_budget_is_sent_after_it_is_reached(build: Build) -> None:
    """A render that waits for its turn has been counted: it is not stopped by another one's price."""

    async def wait(request: Request, journal: Journal) -> None:
        await reached.wait()
        await journal.intend({})

    reached = asyncio.Event()
    build.provider = ScriptedProvider(wait, price="0.25")
    build.prompts("one", "two", "three")
    finished = build.run(lambda event: reached.set() if isinstance(event, Stopping) else None, max_cost=Decimal("0.5"))
    assert (finished.rendered, finished.skipped, finished.cost) == (2, 1, {"CNY": "0.50"})


def test_what_another_build_has_stored_meanwhile_costs_nothing(build: Build) -> None:
    """Its price goes back to the budget, which then suffices for the next image."""

    async def overtake(request: Request, journal: Journal) -> None:
        if request.prompt == "one":
            build.engine().store.put(request.key, made_for(request.key, request.size, b"rgb"), b"{}")
        await journal.intend({})

    build.provider = ScriptedProvider(overtake, price="0.25", concurrency=1)
    build.prompts("one", "two")
    finished = build.run(max_cost=Decimal("0.25"))
    assert (finished.restored, finished.rendered, finished.cost) == (1, 1, {"CNY": "0.25"})


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


def test_a_view_that_fails_while_a_delay_is_told(build: Build) -> None:
    """The build ends with the view's error; the provider is not blamed."""

    async def delay(request: Request, journal: Journal) -> None:
        journal.delayed(Throttled("slower, please"), 30.0)

    def leave(event: Event) -> None:
        if isinstance(event, Delayed):
            raise BrokenPipeError

    build.provider = ScriptedProvider(delay)
    build.prompts("one")
    with pytest.raises(BrokenPipeError):
        build.run(leave)
    assert not [event for event in build.events if isinstance(event, ImageFinished)]


@pytest.mark.parametrize("price", ["", "0.25"])
def test_an_emulated_image_has_a_key_of_its_own(build: Build, price: str) -> None:
    """The service's image of the request is still wanted: the store has none."""

    async def emulate(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(request.size, b"rgb"), emulated_by="http://127.0.0.1:1")

    build.provider = ScriptedProvider(emulate, price=price)
    build.prompts("one")
    assert build.run().rendered == 1
    [action] = build.engine().actions()
    emulated, store = action.made_by("http://127.0.0.1:1"), build.engine().store
    assert store.lookup(action.key) is None
    assert store.lookup(emulated.key)
    with contextlib.closing(State.of(build.root, create=False)) as state:
        assert [output.key for output in state.outputs().values()] == [emulated.key]
    provenance = read_provenance_file(build.root / "out/s/i0.png")
    assert provenance
    assert (provenance["action_key"], provenance["emulated_by"]) == (emulated.key, "http://127.0.0.1:1")


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


def render_part(run: Run, workers: Workers, steps: Sequence[Step]) -> None:
    """Render steps of which none gets an image, as the part of a build that one provider has."""

    async def build_part() -> None:
        async with part.commits.running():
            await part.run(deque(steps), deque())

    async def kept(*arguments: object) -> bool:
        raise AssertionError("there is no image")

    async def all_kept(batch: object) -> None:
        raise AssertionError("there is no image")

    endings = Endings(run, workers, Recorder(run.state, lambda error: None))
    part = Rendering(run, workers, endings, Spending(None), kept, all_kept)
    asyncio.run(build_part())


def test_a_provider_that_was_given_up_sends_nothing(build: Build, state: State) -> None:
    """The build goes on with other providers, but what this one has not sent yet is skipped."""

    async def render(request: Request, journal: Journal) -> None:
        workers.give_up(provider, "no key")
        await journal.intend({})
        raise AssertionError("it is sent")

    provider = ScriptedProvider(render, concurrency=1)
    build.prompts("one", "two")
    run = run_of(build.root, state, build.events.append, provider)
    workers = Workers(run)
    workers.parts = 2
    render_part(run, workers, run.plan.steps)
    assert (build.outcomes, provider.prompts, workers.is_stopped) == ({"i0": "skipped"}, ["one"], False)


def test_a_request_that_comes_out_differently_is_not_sent(build: Build, state: State) -> None:
    """Its image fails, and no other: the image would be stored under a wrong key."""
    provider = ScriptedProvider()
    build.prompts("one")
    run = run_of(build.root, state, build.events.append, provider)
    [step] = run.plan.steps
    render_part(run, Workers(run), [step._replace(action=step.action._replace(key="f" * 64))])
    [event] = build.events
    assert isinstance(event, ImageFinished)
    claim = "the request of s/i0 came out differently the second time"
    assert (event.outcome, event.reason, provider.prompts) == (Outcome.FAILED, claim, [])


# --- seeds that are drawn ---


RANDOM = '[image.i0]\nprompt = "one"\nseed = "random"\nsize = "1:1"\n'


@pytest.mark.parametrize(("labelled", "label"), [(False, ""), (True, "s/i0")])
def test_a_label_is_for_providers_that_draw_it(build: Build, labelled: bool, label: str) -> None:
    """Others get the request without it, once its seed is drawn."""
    sent: list[Request] = []

    async def note(request: Request, journal: Journal) -> None:
        sent.append(request)

    build.provider = ScriptedProvider(note)
    build.provider.labelled = labelled
    build.place.write({"specs/s.toml": RANDOM})
    assert build.run().rendered == 1
    assert [(request.label, request.seed >= 0) for request in sent] == [(label, True)]


def test_a_free_image_with_a_drawn_seed_is_found_again(build: Build) -> None:
    """The store has it under the key without a seed, too: without lock, state and output nothing is rendered again."""
    build.place.write({"specs/s.toml": RANDOM})
    assert build.run().rendered == 1
    for name in ("out", ".qwenbuild"):
        shutil.rmtree(build.root / name)
    build.engine().lock_path.unlink(missing_ok=True)
    assert (build.run().restored, build.provider.prompts) == (1, ["one"])


def test_a_task_with_a_drawn_seed_is_collected(build: Build, service: Service) -> None:
    """Its image has the seed that was sent; nothing is paid twice."""
    build.place.write({"specs/s.toml": RANDOM})
    assert build.run(detach=True).submitted == 1
    [sent] = build.engine().in_flight()
    finished = build.run()
    assert (finished.reattached, service.prompts, build.engine().in_flight()) == (1, ["one"], [])
    provenance = read_provenance_file(build.root / "out/s/i0.png")
    assert provenance
    assert provenance["request"]["seed"] == sent.request.seed


def test_a_refused_request_with_a_drawn_seed_is_on_record(build: Build) -> None:
    """The failure is that of the request without a seed: the plan tells it."""

    async def refuse(request: Request, journal: Journal) -> None:
        await journal.intend({})
        await journal.refused()
        raise Refused("no cats")

    build.provider = ScriptedProvider(refuse, price="0.25")
    build.place.write({"specs/s.toml": RANDOM})
    assert build.run().failed == 1
    [step] = build.engine().plan().steps
    assert step.failure
    assert step.failure.claim == "no cats"


def test_an_interrupted_request_with_a_drawn_seed_is_on_record(build: Build) -> None:
    """Its answer may be lost: that is told of the request without a seed, under which it was claimed."""

    async def hang(request: Request, journal: Journal) -> None:
        await journal.intend({})
        interrupt.request()
        interrupt.request()
        await asyncio.Event().wait()

    interrupt = Interrupt()
    build.provider = Service(hang, price="0.25")
    build.place.write({"specs/s.toml": RANDOM})
    assert build.run(interrupt=interrupt).unknown == 1
    [step] = build.engine().plan().steps
    with contextlib.closing(State.of(build.root, create=False)) as state:
        assert [failure.key for failure in state.failures()] == [step.action.key]
    assert (step.verdict, step.action.is_seed_random) == (Verdict.UNKNOWN, True)


# --- a service that keeps what it accepted ---


def say_sole_user() -> None:
    """Let the user's own config say that nobody else uses the account."""
    path = user_config.path()
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[providers.scripted]\nsole_user = true\n")


def test_detached_images_are_collected_later(build: Build, service: Service) -> None:
    """What was submitted is not paid twice: the next build collects it. Detaching again leaves it there."""
    assert build.run(detach=True).submitted == 1
    assert [(it.handle, it.is_held) for it in build.engine().in_flight()] == [("task:one", False)]
    [begun] = [event for event in build.events if isinstance(event, ImageStarted)]
    assert begun == ImageStarted("s/i0", "s/i0.png", Verdict.RENDER, "never rendered")
    [ended] = [event for event in build.events if isinstance(event, ImageFinished)]
    assert ended.seconds > 0
    assert (build.run(detach=True).submitted, service.collected) == (1, [])
    finished = build.run()
    assert (finished.reattached, finished.cost, service.collected) == (1, {}, ["task:one"])
    assert (service.prompts, build.engine().in_flight()) == (["one"], [])
    assert [(event.name, event.verdict) for event in build.events if isinstance(event, ImageStarted)] == [
        ("s/i0", Verdict.REATTACH)
    ]
    assert build.ledger() == [("s/i0", "done")]


def test_what_is_collected_ends_though_the_build_stops(build: Build, service: Service) -> None:
    """It is paid for already: only what is not sent is left out. Its provider has a journal, as for a render."""
    build.run(detach=True)
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def wait(request: Request, journal: Journal) -> None:
        journal.delayed(Throttled("too many questions"), 60.0)
        begun.set()
        await stopped.wait()

    async def fail(request: Request, journal: Journal) -> None:
        await begun.wait()
        raise AccountError("no access")

    service.collecting, service._act, service.concurrency = wait, fail, 2
    build.prompts("one", "two")
    finished = build.run(lambda event: stopped.set() if isinstance(event, Stopping) else None)
    assert (build.outcomes, finished.cost) == ({"i0": "reattached", "i1": "failed"}, {})
    assert [event.name for event in build.events if isinstance(event, Delayed)] == ["s/i0"]


def test_a_render_that_gives_what_the_lock_pins(build: Build) -> None:
    """Its output gets these bytes, though the store has others for the request."""

    async def send(request: Request, journal: Journal) -> None:
        await journal.intend({})

    build.provider = ScriptedProvider(send)
    build.prompts("one")
    assert build.run().rendered == 1
    [action], output, store = build.engine().actions(), build.root / "out/s/i0.png", build.engine().store
    wanted = output.read_bytes()
    store.put(action.key, made_for(action.key, action.size, b"xyz"), b"{}", replace=True)
    store.blob_path(sha256(wanted)).unlink()
    output.unlink()
    assert build.run().rendered == 1
    assert output.read_bytes() == wanted


def test_an_image_that_no_spec_wants_any_more_is_collected(build: Build, service: Service) -> None:
    """It is paid for, and a spec may ask for it again: then it is restored."""
    build.run(detach=True)
    build.prompts("two")
    finished = build.run()
    assert (finished.strays, finished.rendered, service.collected) == (1, 1, ["task:one"])
    assert build.engine().in_flight() == []
    build.prompts("one")
    assert (build.run().restored, service.prompts) == (1, ["one", "two"])
    provenance = read_provenance_file(build.root / "out/s/i0.png")
    assert provenance
    assert (provenance["provider"], provenance["note"]) == ("scripted", "collected")
    assert build.ledger() == [("s/i0", "done"), ("s/i0", "done")]


def test_several_images_that_no_spec_wants_any_more(build: Build, service: Service) -> None:
    """All of them are collected and counted."""
    build.prompts("one", "two", "three")
    build.run(detach=True)
    build.prompts("three")
    assert build.run().strays == 2
    assert sorted(service.collected) == ["task:one", "task:three", "task:two"]


def test_a_forced_image_is_collected_in_place_of_the_stored_one(build: Build, service: Service) -> None:
    """The earlier build had the order; the later one needs none."""
    service._act = None
    build.run()
    old = (build.root / "out/s/i0.png").read_bytes()
    service._act, service.colour = accept, b"new"
    assert build.run(detach=True, force=True).submitted == 1
    assert build.run().reattached == 1
    new = (build.root / "out/s/i0.png").read_bytes()
    assert new != old
    shutil.rmtree(build.root / "out")
    assert build.run().restored == 1
    assert (build.root / "out/s/i0.png").read_bytes() == new


def test_a_forced_image_that_is_free(build: Build) -> None:
    """It takes the place of the stored one."""
    build.prompts("one")
    build.run()
    old = (build.root / "out/s/i0.png").read_bytes()

    async def draw(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(request.size, b"new"))

    build.provider = ScriptedProvider(draw)
    assert build.run(force=True).rendered == 1
    assert (build.root / "out/s/i0.png").read_bytes() != old


def test_a_forced_image_that_no_spec_wants_any_more(build: Build, service: Service) -> None:
    """It takes the place of the image in the store."""
    service._act = None
    build.run()
    old = (build.root / "out/s/i0.png").read_bytes()
    service._act, service.colour = accept, b"new"
    assert build.run(detach=True, force=True).submitted == 1
    build.prompts("two")
    assert build.run().strays == 1
    build.prompts("one")
    assert build.run().restored == 1
    assert (build.root / "out/s/i0.png").read_bytes() != old


def test_a_forced_image_whose_output_can_not_be_written(build: Build, service: Service, tmp_path: Path) -> None:
    """Until the output holds it, its submission stays open: else the old image would count as up to date."""
    service._act, service.colour = None, b"new"
    build.run()
    old = (build.root / "out/s/i0.png").read_bytes()
    folder, aside, elsewhere = build.root / "out/s", build.root / "aside", tmp_path / "elsewhere"

    async def draw(request: Request, journal: Journal) -> Rendered:
        await accept(request, journal)
        folder.rename(aside)
        elsewhere.mkdir()
        folder.symlink_to(elsewhere)
        return Rendered(plain(request.size, b"new"), {"note": "collected"})

    service._act = draw
    assert build.run(force=True).failed == 1
    assert [(it.handle, it.forced, it.cell) for it in build.engine().in_flight()] == [("task:one", True, "s/i0")]
    folder.unlink()
    aside.rename(folder)
    assert (folder / "i0.png").read_bytes() == old
    finished = build.run()
    assert (finished.reattached, finished.cost, service.collected) == (1, {}, ["task:one"])
    assert (folder / "i0.png").read_bytes() != old
    assert build.ledger()[-1] == ("s/i0", "done")
    assert build.run().up_to_date == 1


def test_a_ledger_that_breaks_after_the_output_is_there(build: Build, service: Service) -> None:
    """The forced image counts as rendered; its submission stays open, and a later build writes the output again."""

    def rename(before: str, after: str) -> None:
        with contextlib.closing(sqlite3.connect(build.engine().store.root / "ledger" / "ledger.sqlite3")) as db:
            db.execute(f"ALTER TABLE {before} RENAME TO {after}")

    finished = build.run(
        lambda event: rename("submissions", "gone") if isinstance(event, ImageFinished) else None, force=True
    )
    assert (finished.rendered, finished.failed, finished.cost) == (1, 0, {"CNY": "0.25"})
    assert (build.stopped, finished.problems) == ([], ())
    rename("gone", "submissions")
    assert build.ledger() == [("s/i0", "")]
    finished = build.run()
    assert (finished.reattached, finished.cost, service.collected) == (1, {}, ["task:one"])
    assert build.ledger() == [("s/i0", "done")]


def test_an_output_that_can_not_be_written(build: Build) -> None:
    """The image is in the store and paid for once: its submission is settled, and a later build restores it."""
    build.place.write({"out/s": "a file"})
    build.provider = Service(accept, price="0.25")
    build.prompts("one")
    assert build.run().failed == 1
    assert build.ledger() == [("s/i0", "done")]
    (build.root / "out/s").unlink()
    finished = build.run()
    assert (finished.restored, finished.cost, build.provider.prompts) == (1, {}, ["one"])


def test_one_of_two_outputs_that_can_not_be_written(build: Build) -> None:
    """The image is paid for once; the other output gets it now, and this one from a later build."""
    build.place.write({
        "specs/s.toml": '[image.i0]\nprompt = "p"\nseed = 1\noutput = "blocked/x.png"\n'
        '[image.i1]\nprompt = "p"\nseed = 1\n', "out/blocked": "a file",
    })  # fmt: skip
    build.provider = Service(accept, price="0.25")
    assert build.run().cost == {"CNY": "0.25"}
    assert (build.outcomes, build.ledger()) == ({"i0": "failed", "i1": "restored"}, [("s/i0", "done")])
    (build.root / "out/blocked").unlink()
    finished = build.run()
    assert (finished.restored, finished.cost, build.provider.prompts) == (1, {}, ["p"])


def test_the_image_that_the_lock_pins_comes_first(build: Build) -> None:
    """Another project may have stored another image of an equal request."""
    build.provider.name = "null"  # the lock pins images of the provider in the project's config
    build.prompts("one")
    build.run()
    path = build.root / "out/s/i0.png"
    pinned = path.read_bytes()
    [action] = build.engine().actions()
    shutil.rmtree(build.engine().store.root)
    build.engine().store.put(action.key, made_for(action.key, action.request.size, b"xyz"), b"{}")
    path.unlink()
    assert (build.run().rendered, build.provider.prompts) == (1, ["one", "one"])
    assert path.read_bytes() == pinned


def test_an_error_that_stops_the_run_ends_the_collecting(build: Build, service: Service) -> None:
    """The next strays are left to a later build."""

    async def refuse(request: Request, journal: Journal) -> None:
        raise AccountError("no such key")

    build.prompts("one", "two")
    build.run(detach=True)
    service.collecting = refuse
    build.prompts("three")
    build.run()
    assert build.stopped == ["no such key"]
    assert len(service.collected) == 1
    assert len(build.engine().in_flight()) == 2


def test_a_task_that_is_gone_is_lost(build: Build, service: Service) -> None:
    """Its image is UNKNOWN, it may have been billed, and nothing is sent."""

    async def gone(request: Request, journal: Journal) -> None:
        raise AnswerLost("the task is gone")

    service.collecting = gone
    build.run(detach=True)
    finished = build.run()
    assert (finished.unknown, service.prompts) == (1, ["one"])
    assert [it.handle for it in build.engine().in_flight()] == [""]


def test_an_image_that_is_stored_is_not_in_flight(build: Build, service: Service) -> None:
    """A crash between the store and the ledger leaves it open: the next build that renders settles it."""
    build.run(detach=True)
    [sent] = build.engine().in_flight()
    build.engine().store.put(sent.key, made_for(sent.key, sent.request.size, b"rgb"), b"{}")
    build.prompts("one", "two")
    finished = build.run()
    assert (finished.rendered, finished.restored, service.collected) == (1, 1, [])
    assert build.engine().in_flight() == []
    assert build.ledger() == [("s/i0", "done"), ("s/i1", "done")]


@contextlib.contextmanager
def sent_by_another(build: Build, service: Service) -> Iterator[tuple[Step, Submissions, Submission]]:
    """A build of another project has sent the only request of the plan. Yield its step, its records and the request."""
    engine, other = build.engine(), build.root.parent / "other"
    other.mkdir()
    with (
        contextlib.closing(State.of(other, create=True)) as state,
        contextlib.closing(Submissions(state, engine.store.root / "ledger", service, other)) as theirs,
    ):
        theirs.prepare()
        [step] = engine.plan().steps
        sent = theirs.intend(
            step.action.key, step.action.request, {}, cell="x", forced=False, price=None, replaces="",
            is_stored=lambda: False,
        )  # fmt: skip
        assert isinstance(sent, Submission)
        yield step, theirs, sent


def test_what_another_build_has_just_stored_is_its_own_to_settle(build: Build, service: Service) -> None:
    """It works on its submission until it has written the output."""
    engine = build.engine()
    with sent_by_another(build, service) as (step, _, _):
        engine.store.put(step.action.key, made_for(step.action.key, step.action.request.size, b"rgb"), b"{}")
        build.prompts("one", "two")
        assert build.run().restored == 1
        assert build.ledger() == [("x", ""), ("s/i1", "done")]


def test_a_lost_answer_of_a_sole_user_is_found(build: Build, service: Service) -> None:
    """At the end of the build the service's list names the task, and the image is collected: paid once."""
    say_sole_user()
    build.provider = service = Service(lose, price="0.25")
    service.found = replace(NOT_BILLED, candidates=(ITS_TASK,))
    build.prompts("one")
    finished = build.run()
    assert (finished.reattached, finished.unknown, finished.cost) == (1, 0, {"CNY": "0.25"})
    assert (service.prompts, service.collected, build.engine().in_flight()) == (["one"], ["task:7"], [])
    [step] = [event for event in build.events if isinstance(event, ImageFinished)]
    assert (step.outcome, step.reason) == (Outcome.REATTACHED, "found among the service's tasks")


@pytest.mark.parametrize("choices", [{}, {"fail_fast": True}])
def test_a_lost_answer_that_is_not_found_stays_unknown(build: Build, choices: dict[str, Any]) -> None:
    """The list proves nothing yet; with `fail_fast` it is not asked."""
    say_sole_user()
    build.provider = Service(lose, price="0.25", concurrency=1)
    build.prompts("one")
    finished = build.run(**choices)
    assert (finished.unknown, finished.cost) == (1, {"CNY": "0.25"})
    assert [(it.handle, it.is_held) for it in build.engine().in_flight()] == [("", False)]


def test_a_lost_answer_is_found_by_the_next_build(build: Build) -> None:
    """Of a sole user it is collected; with many users the message counts the tasks that may be its own."""
    build.provider = service = Service(lose, price="0.25")
    service.found = replace(NOT_BILLED, candidates=(ITS_TASK, replace(ITS_TASK, handle="task:8", id="8")))
    build.prompts("one")
    assert build.run().unknown == 1
    assert (build.run().unknown, service.prompts) == (1, ["one"])
    [reason] = [event.reason for event in build.events if isinstance(event, ImageFinished)]
    assert reason.endswith("; 2 tasks may be its own: `qwenbuild tasks` shows more")
    service.found = replace(NOT_BILLED, candidates=(ITS_TASK,))
    assert build.run().unknown == 1
    [reason] = [event.reason for event in build.events if isinstance(event, ImageFinished)]
    assert reason.endswith("; 1 task may be its own: `qwenbuild tasks` shows more")
    say_sole_user()
    finished = build.run()
    assert (finished.reattached, finished.cost, service.collected) == (1, {}, ["task:7"])


def test_what_was_not_billed_is_sent_again(build: Build) -> None:
    """The list proves that there is no task: the price counts once."""
    build.provider = service = Service(lose, price="0.25")
    build.prompts("one")
    assert build.run().unknown == 1
    service.found = NOT_BILLED
    service._act = accept
    finished = build.run()
    assert (finished.rendered, finished.cost, service.prompts) == (1, {"CNY": "0.25"}, ["one", "one"])
    assert build.engine().in_flight() == []
    assert build.started == [("i0", "the service has no task for it: not billed")]
    assert [event.verdict for event in build.events if isinstance(event, ImageStarted)] == [Verdict.RENDER]
    assert build.ledger() == [("s/i0", "refused"), ("s/i0", "done")]


def test_a_forced_image_that_was_not_billed_is_forced_no_more(build: Build, service: Service) -> None:
    """The order was for the earlier build: this one sends a request like any other."""
    service._act = lose
    assert build.run(force=True).unknown == 1
    assert [it.forced for it in build.engine().in_flight()] == [True]
    service.found, service._act = NOT_BILLED, accept
    assert build.run(detach=True).submitted == 1
    assert [(it.handle, it.forced) for it in build.engine().in_flight()] == [("task:one", False)]


@pytest.mark.parametrize(
    ("candidates", "order"), [((), ["i0", "i2", "i1"]), ((ITS_TASK,), ["i1", "i0", "i2"])], ids=["new", "found"]
)
def test_what_is_paid_for_comes_first(build: Build, candidates: tuple[Candidate, ...], order: list[str]) -> None:
    """A task that was found is collected before anything is sent; what was not billed is sent after the rest."""
    say_sole_user()
    build.provider = service = Service(lose, price="0.25", concurrency=1)
    build.prompts("zero", "one", "two")
    build.place.write({"specs/s.toml": '[image.i1]\nprompt = "one"\nseed = 1\nsize = "1:1"\n'})
    assert build.run().unknown == 1
    build.prompts("zero", "one", "two")
    service._act, service.found = accept, replace(NOT_BILLED, candidates=candidates)
    build.run()
    assert [name for name, _ in build.started] == order


def test_a_pinned_image_that_was_not_billed_is_missing(build: Build, service: Service) -> None:
    """The lock demands bytes that a new render can't give; only `relock` pays for others."""
    service._act, service.name = lose, "null"  # the lock pins images of the provider in the project's config
    assert build.run().unknown == 1
    [action] = build.engine().actions()
    pin = Pin(action.output, action.name, action.key, "0" * 64, action.request.model, action.request.seed)
    lock.write(build.root / lock.NAME, [pin], build.root)
    service.found = NOT_BILLED
    finished = build.run()
    assert (finished.missing, service.prompts) == (1, ["one"])
    [reason] = [event.reason for event in build.events if isinstance(event, ImageFinished)]
    assert reason.endswith("the service has no task for it: not billed; the lock pins bytes that are not in the store")
    assert build.ledger() == [("s/i0", "refused")]


@pytest.mark.parametrize(("price", "choices"), [("0.25", {"relock": True}), ("", {})])
def test_a_pinned_image_that_may_be_rendered_anew(build: Build, price: str, choices: dict[str, Any]) -> None:
    """By order, or for free."""
    build.provider = service = Service(lose, price=price)
    service.name = "null"  # the lock pins images of the provider in the project's config
    build.prompts("one")
    assert build.run().unknown == 1
    [action] = build.engine().actions()
    pin = Pin(action.output, action.name, action.key, "0" * 64, action.request.model, action.request.seed)
    lock.write(build.root / lock.NAME, [pin], build.root)
    service.found, service._act = NOT_BILLED, accept
    assert (build.run(**choices).rendered, service.prompts) == (1, ["one", "one"])


def test_a_list_that_can_not_be_read(build: Build) -> None:
    """The image stays UNKNOWN. A key that is refused stops the build."""
    build.provider = service = Service(lose, price="0.25")
    build.prompts("one")
    build.run()
    for error, problems in ((ServiceFault("try later"), 0), (AccountError("no such key"), 1)):
        service.found = error
        finished = build.run()
        assert (finished.unknown, len(finished.problems)) == (1, problems)


def test_a_view_that_fails_while_an_answer_may_still_be_found(build: Build) -> None:
    """The step ends as UNKNOWN, and its submission stays on record."""
    say_sole_user()
    build.provider = service = Service(lose, price="0.25", concurrency=1)
    build.prompts("one", "two")

    def leave(event: Event) -> None:
        if isinstance(event, ImageStarted) and event.name == "s/i1":
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        build.run(leave)
    ended = [(event.name, event.outcome) for event in build.events if isinstance(event, ImageFinished)]
    assert ended == [("s/i0", Outcome.UNKNOWN)]
    assert (service.prompts, len(build.engine().in_flight())) == (["one", "two"], 1)


def test_a_prompt_that_can_not_be_rendered_any_more(build: Build) -> None:
    """The image fails before anything is paid, and the others go on."""
    build.place.write({"templates/t.j2": "dog {{ seed }}"})
    build.place.write({"specs/s.toml": '[image.i0]\ntemplate = "t.j2"\n[image.i1]\nprompt = "two"\n'})
    build.provider = ScriptedProvider(price="0.25")
    assert build.run().rendered == 2


def test_two_interrupts_leave_a_task_at_the_service(build: Build, service: Service) -> None:
    """It counts as submitted; what was not accepted yet is UNKNOWN, what was not sent is skipped and not paid."""

    async def hang(request: Request, journal: Journal) -> None:
        if request.prompt != "three":
            await journal.intend({})
        if request.prompt == "one":
            await journal.accepted("task:one")
        everyone.add(request.prompt)
        if len(everyone) == 3:
            interrupt.request()
            interrupt.request()
        await asyncio.Event().wait()

    everyone: set[str] = set()
    interrupt = Interrupt()
    build.provider = Service(hang, price="0.25", concurrency=3)
    build.prompts("one", "two", "three")
    finished = build.run(interrupt=interrupt)
    assert (finished.submitted, finished.unknown, finished.skipped) == (1, 1, 1)
    assert finished.cost == {"CNY": "0.50"}
    [lost] = [event for event in build.events if isinstance(event, ImageFinished) and event.outcome is Outcome.UNKNOWN]
    assert [(problem.name, problem.claim, problem.hint) for problem in lost.problems] == [
        (
            "answer-lost",
            "left before the answer came: the request may have been billed",
            "the next build asks the service; if its answer is not certain, `--resubmit` sends the request again",
        )
    ]


def test_a_request_that_is_not_sent_again_after_all(build: Build) -> None:
    """It is skipped, and costs nothing; what was lost before stays on record."""

    async def hang(request: Request, journal: Journal) -> None:
        interrupt.request()
        interrupt.request()
        await asyncio.Event().wait()

    interrupt = Interrupt()
    build.provider = service = Service(lose, price="0.25")
    build.prompts("one")
    assert build.run().unknown == 1
    service._act = hang
    finished = build.run(interrupt=interrupt, resubmit=True)
    assert (finished.skipped, finished.unknown, finished.cost) == (1, 0, {})
    assert build.ledger() == [("s/i0", "")]


def test_one_interrupt_stops_what_was_not_sent(build: Build) -> None:
    """It is skipped and not paid; what was sent is waited for."""

    async def wait(request: Request, journal: Journal) -> None:
        if request.prompt == "one":
            await journal.intend({})
            interrupt.request()
            return
        await asyncio.Event().wait()

    interrupt = Interrupt()
    build.provider = Service(wait, price="0.25", concurrency=2)
    build.prompts("two", "one")
    finished = build.run(interrupt=interrupt)
    assert (finished.rendered, finished.skipped, finished.cost) == (1, 1, {"CNY": "0.25"})


def test_a_refusal_is_on_record_for_other_builds(build: Build) -> None:
    """Only one that is final: another try of the service's own faults may succeed."""

    async def refuse(request: Request, journal: Journal) -> None:
        await journal.intend({})
        await journal.refused()
        raise Refused("no cats", code="NoCats") if request.prompt == "cat" else ServiceFault("try later")

    build.provider = ScriptedProvider(refuse, price="0.25")
    build.prompts("cat", "dog")
    finished = build.run()
    assert (finished.failed, finished.cost) == (2, {})
    with contextlib.closing(sqlite3.connect(build.engine().store.root / "ledger" / "ledger.sqlite3")) as db:
        rows = db.execute("SELECT outcome, refusal FROM submissions ORDER BY refusal").fetchall()
    assert [(outcome, refusal and json.loads(refusal)["code"]) for outcome, refusal in rows] == [
        ("refused", None), ("refused", "NoCats")
    ]  # fmt: skip


def test_what_another_build_sends_meanwhile_is_waited_for(build: Build, service: Service) -> None:
    """The image comes from the store, and nothing was paid for it."""
    engine = build.engine()
    with sent_by_another(build, service) as (step, theirs, sent):

        def store(event: Event) -> None:
            if isinstance(event, ImageWaiting):
                engine.store.put(step.action.key, made_for(step.action.key, step.action.request.size, b"rgb"), b"{}")
                theirs.settle(sent, "done")

        finished = build.run(store)
    assert (finished.restored, finished.cost) == (1, {})
    assert not [event for event in build.events if isinstance(event, ImageStarted)]


def test_interrupted_while_the_list_is_read(build: Build) -> None:
    """The image stays UNKNOWN."""

    class Slow(Service):
        async def search(self, *arguments: Any, **named: Any) -> dict[int, Search]:
            interrupt.request()
            await asyncio.Event().wait()
            raise AssertionError("nobody waits for it")

    interrupt = Interrupt()
    build.provider = Slow(lose, price="0.25")
    build.prompts("one")
    assert build.run().unknown == 1
    finished = build.run(interrupt=interrupt)
    assert (finished.unknown, finished.interrupted) == (1, True)
