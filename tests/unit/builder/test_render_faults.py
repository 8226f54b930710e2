"""Failures of renders: what is not sent, what is not sent again, and what is said about it."""

from __future__ import annotations

import asyncio
import shutil
import time
from decimal import Decimal

import pytest

from qwenbuild.errors import ModelRefused, Moderated, Refused, Throttled
from qwenbuild.events import Delayed, ImageFinished, NotSent, Outcome
from qwenbuild.plan.plan import Verdict
from qwenbuild.provider import Journal, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size
from tests.support.builds import Build, ScriptedProvider, Service


@pytest.fixture
def service(build: Build) -> Service:
    """The service of the build's project, whose images the lock pins; each costs 0.25 CNY."""
    build.provider = service = Service(price="0.25")
    service.name = "null"  # the name in the project's config
    return service


def test_a_refused_model_is_asked_once(build: Build, service: Service) -> None:
    """Other models go on. The rest of the model is not sent, is not paid for, and is reported with a count."""
    build.place.write({
        "specs/s.toml": """
[image.a]
prompt = "{{ seed }} {{ model }}"
[image.a.matrix]
model = ["qwen-image", "qwen-image-plus"]
seed = { start = 1, count = 6 }
""",
    })  # fmt: skip

    async def refuse(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if request.model == "qwen-image":
            await journal.refused()
            raise ModelRefused("the account has not activated this model", facts=["request id: 1"])

    service.concurrency, service._act = 1, refuse
    finished = build.run()
    assert (finished.failed, finished.skipped, finished.rendered, finished.exit_code) == (1, 5, 6, 1)
    assert len(service.prompts) == 7
    assert [event for event in build.events if isinstance(event, NotSent)] == [
        NotSent("qwen-image", 5, "the account has not activated this model")
    ]
    skipped = [it.reason for it in build.events if isinstance(it, ImageFinished) and it.outcome is Outcome.SKIPPED]
    assert set(skipped) == {"not sent: the account has not activated this model"}
    assert finished.cost == {"CNY": "1.50"}


def test_what_waits_for_its_turn_is_not_sent_to_a_refused_model(build: Build, service: Service) -> None:
    """Calls that have not sent their requests end at once, without waiting."""
    first = asyncio.Event()

    async def act(request: Request, journal: Journal) -> None:
        if request.prompt != "one":
            first.set()
            await asyncio.Event().wait()
        await first.wait()
        await journal.intend({})
        await journal.refused()
        raise ModelRefused("no such model")

    service.concurrency, service._act = 3, act
    build.prompts("one", "two", "three")
    finished = build.run()
    assert (finished.failed, finished.skipped, finished.cost) == (1, 2, {})


def test_a_request_that_is_written_while_its_model_is_refused_is_not_sent(build: Build) -> None:
    """The journal stops it, also for a provider whose calls can't be ended from outside."""
    refused = asyncio.Event()

    async def act(request: Request, journal: Journal) -> None:
        if request.prompt != "one":
            await refused.wait()
        await journal.intend({})
        await journal.refused()
        raise ModelRefused("no such model")

    build.provider = ScriptedProvider(act, price="0.25")
    build.prompts("one", "two")
    finished = build.run(lambda event: refused.set() if isinstance(event, ImageFinished) else None)
    assert (finished.failed, finished.skipped, finished.cost) == (1, 1, {})
    assert [outcome for _, outcome in build.ledger()] == ["refused"]


def test_a_changed_prompt_that_is_not_sent(build: Build, service: Service) -> None:
    """The reason is the refusal alone, not the change."""

    async def refuse(request: Request, journal: Journal) -> None:
        await journal.intend({})
        await journal.refused()
        raise ModelRefused("no such model")

    service.concurrency = 1
    build.prompts("one", "two")
    build.run()
    service._act = refuse
    build.prompts("1", "2")
    build.run()
    reasons = [it.reason for it in build.events if isinstance(it, ImageFinished)]
    assert reasons == ["no such model", "not sent: no such model"]


def test_a_moderated_request_is_not_sent_again(build: Build, service: Service) -> None:
    """A later build says so, and costs nothing. A changed prompt is another request; `retry_failed` sends the same."""

    async def moderate(request: Request, journal: Journal) -> None:
        await journal.intend({})
        if request.prompt == "bad":
            await journal.refused()
            raise Moderated("moderation refused it", facts=["service says: no"], hint="reword; `--retry-failed` …")

    service._act = moderate
    build.prompts("bad", "good")
    assert build.run().failed == 1
    plan = build.engine().plan()
    assert (plan.counts["failed"], plan.counts["render"], plan.cost) == (1, 0, {})
    assert plan.steps[0].reason == "not sent again: moderation refused it: service says: no"
    assert (build.run().failed, service.prompts) == (1, ["bad", "good"])
    ended = next(it for it in build.events if isinstance(it, ImageFinished) and it.outcome is Outcome.FAILED)
    assert str(ended.problems[0]) == (
        "error: moderation refused it\n"
        "  = service says: no\n"
        "  = an earlier build sent the request; it is not sent again unchanged\n"
        "  = hint: reword; `--retry-failed` …"
    )
    assert build.engine(retry_failed=True).plan().cost == {"CNY": Decimal("0.25")}
    assert build.run(retry_failed=True).failed == 1
    assert service.prompts == ["bad", "good", "bad"]
    build.prompts("better", "good")
    assert build.run().rendered == 1
    build.prompts("bad", "good")
    service._act = None
    assert (build.run().failed, build.run(force=True).failed) == (1, 0)
    assert build.engine().plan().counts["up_to_date"] == 2


def test_a_failure_is_shown_until_the_image_is_there(build: Build, service: Service) -> None:
    """What may succeed is sent again by the next build; the plan tells what happened last."""

    async def fail(request: Request, journal: Journal) -> None:
        await journal.intend({})
        await journal.refused()
        raise Refused("a parameter is wrong", facts=["service says: size"])

    service._act = fail
    build.prompts("one")
    build.run()
    [step] = build.engine().plan().steps
    assert (step.verdict, step.failure and step.failure.reason) == (
        Verdict.RENDER, "a parameter is wrong: service says: size"
    )  # fmt: skip
    service._act = None
    build.run()
    [step] = build.engine().plan().steps
    assert (step.verdict, step.failure) == (Verdict.UP_TO_DATE, None)


def test_an_image_of_another_size_is_paid_for_once(build: Build, service: Service) -> None:
    """It fails with its size, and is not rendered again. `accept_size` takes it: out, lock and a clone have it."""

    async def small(request: Request, journal: Journal) -> Rendered:
        await journal.intend({})
        return Rendered(plain(Size(64, 32), b"red"))

    service._act = small
    build.prompts("one")
    for _ in range(2):
        finished = build.run()
        assert (finished.failed, len(service.prompts)) == (1, 1)
        [ended] = [it for it in build.events if isinstance(it, ImageFinished)]
        assert ended.reason == "the image was made in another size: 64x32, not 1328x1328"
        assert not (build.root / "out").exists()
    assert [outcome for _, outcome in build.ledger()] == ["done"]
    plan = build.engine().plan()
    assert (plan.counts["failed"], plan.cost, build.engine(retry_failed=True).plan().counts["render"]) == (1, {}, 1)
    assert build.engine(accept_size=True).plan().steps[0].reason == "made in another size: 64x32, not 1328x1328"
    assert (build.run(accept_size=True).restored, len(service.prompts)) == (1, 1)
    assert build.engine().plan().counts["up_to_date"] == 1
    lock = build.engine().lock_path
    pins = lock.read_bytes()
    for gone in ("out", ".qwenbuild"):  # a clone, and a deleted output
        shutil.rmtree(build.root / gone)
        build.run()
        assert build.engine().plan().counts["up_to_date"] == 1
    assert (lock.read_bytes(), len(service.prompts)) == (pins, 1)


def test_an_image_of_another_size_is_taken_at_once(build: Build, service: Service) -> None:
    """The user has said so before; also without a lock, the file is known as the cell's own."""

    async def small(request: Request, journal: Journal) -> Rendered:
        await journal.intend({})
        return Rendered(plain(Size(64, 32), b"red"))

    service._act = small
    build.prompts("one")
    assert build.run(accept_size=True).rendered == 1
    shutil.rmtree(build.root / ".qwenbuild")
    build.engine().lock_path.unlink()
    assert build.engine().plan().counts["up_to_date"] == 1


def test_a_delay_is_reported_once_it_takes_some_seconds(build: Build) -> None:
    """The event has what was said, and when the request is tried again."""

    async def delay(request: Request, journal: Journal) -> None:
        journal.delayed(Throttled("slower, please", facts=["service says: 429", "request id: x"]), 0.5)
        journal.delayed(Throttled("slower, please", facts=["service says: 429", "request id: x"]), 30.0)

    build.provider = ScriptedProvider(delay)
    build.prompts("one")
    before_s = time.time()
    build.run()
    [event] = [it for it in build.events if isinstance(it, Delayed)]
    assert (event.name, event.path, event.reason) == ("s/i0", "s/i0.png", "slower, please: service says: 429")
    assert before_s + 30 <= event.again_at_s <= time.time() + 30
