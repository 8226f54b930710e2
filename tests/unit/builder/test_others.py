"""Waiting for other builds: who holds a key decides what becomes of the step that wants it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.builder.endings import Endings
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.builder.others import Others
from qwenbuild.builder.recorder import Recorder
from qwenbuild.builder.run import Run
from qwenbuild.builder.workers import Workers
from qwenbuild.errors import StateError
from qwenbuild.events import Event, ImageFinished, ImageWaiting, Outcome
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.request import Size, Submission
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions, ledger_folder
from tests.support.pngs import made_for
from tests.support.routes import lanes_of
from tests.support.workspace import Workspace

REFUSAL = {"claim": "inappropriate content", "facts": ["code: x"], "hint": "change the prompt", "code": "x"}


@dataclass
class Waiting:
    """A build whose only image another build renders."""

    run: Run
    theirs: Submissions
    sent: Submission = field(init=False)
    events: list[Event] = field(default_factory=list)
    kept: list[Outcome] = field(default_factory=list)
    images: list[tuple[Entry, bytes, float]] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None
    faults: list[StateError] = field(default_factory=list)

    @property
    def step(self) -> Step:
        return self.run.plan.steps[0]

    def send(self, number: int, context: Mapping[str, str] | None = None) -> Submission:
        """Let the other build send the request of a step."""
        action = self.run.plan.steps[number].action
        sent = self.theirs.intend(
            action.key, action.request, context or {}, cell=action.name, forced=False, price=None, replaces="",
            is_stored=lambda: False,
        )  # fmt: skip
        assert sent is not None
        return sent

    @property
    def shown(self) -> list[str]:
        """The cells that the view was told to wait for."""
        return [event.name for event in self.events if isinstance(event, ImageWaiting)]

    def wait(
        self, meanwhile: Callable[[], None], steps: int = 1, *, between: Callable[[], object] = lambda: None,
        was: Mapping[str, Any] | None = None, **choices: Any,
    ) -> list[Step]:  # fmt: skip
        """Wait for the other build, which does `meanwhile` once this one says that it waits; return the steps.

        `steps` is how many of the plan's steps wait; `was` are changes of them. The other build does `between` after
        this one has met its claim.
        """

        def emit(event: Event) -> None:
            self.events.append(event)
            if isinstance(event, ImageWaiting):
                meanwhile()

        async def keep(step: Step, entry: Entry, image: bytes, outcome: Outcome, begun_s: float) -> bool:
            self.kept.append(outcome)
            self.images.append((entry, image, begun_s))
            assert step in self.run.plan.steps
            return True

        run = replace(self.run, emit=emit, options=replace(self.run.options, **choices))
        workers = Workers(run)
        recorder = Recorder(run.state, self.faults.append)
        others = Others(run, workers, Endings(run, workers, recorder), keep)
        self.stop = lambda: workers.stop("interrupted")

        async def wait() -> list[Step]:
            async with recorder.running():
                for step in self.run.plan.steps[:steps]:
                    await others.add(step._replace(**(was or {})))
                between()
                return list(await others.outcomes())

        return asyncio.run(wait())

    @property
    def outcomes(self) -> list[Outcome]:
        return [event.outcome for event in self.events if isinstance(event, ImageFinished)]


@pytest.fixture
def waiting(project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    """Two projects with one ledger; the other one has sent the request."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-a-test")
    project.write({"specs/s.toml": "".join(f'[image.{it}]\nprompt = "{it}"\nseed = 1\n' for it in "abc")})
    engine = load(project.root)
    folder = ledger_folder(os.environ, engine.store)
    (tmp_path / "theirs").mkdir()
    state, other = State.of(project.root, create=True), State.of(tmp_path / "theirs", create=True)
    mine = Submissions(state, folder, engine.provider, project.root)
    theirs = Submissions(other, folder, engine.provider, tmp_path / "theirs")
    for each in (mine, theirs):
        each.prepare()
    lanes = lanes_of(engine.provider, lambda provider: mine)
    run = Run(engine.plan(), engine.effective, lanes.of(), lanes, engine.outputs(), state, engine.store,
              lambda event: None, Interrupt(), 0.0)  # fmt: skip
    made = Waiting(run, theirs)
    made.sent = made.send(0)
    yield made
    for opened in (mine, theirs, state, other):
        opened.close()


def image_of(sent: Submission) -> bytes:
    """Return an image of a submission's request."""
    return made_for(sent.key, sent.request.size)


def test_the_image_of_another_build_is_restored(waiting: Waiting) -> None:
    """The event names the other project; the image is taken from the store."""

    def store() -> None:
        waiting.run.store.put(waiting.sent.key, image_of(waiting.sent), b"{}")
        waiting.theirs.settle(waiting.sent, "done")

    assert waiting.wait(store) == []
    (event,) = waiting.events
    assert isinstance(event, ImageWaiting)
    assert (event.name, event.path, Path(event.project).name) == ("s/a", waiting.step.action.output, "theirs")
    assert event.since_s == waiting.sent.intended_at_s
    assert waiting.kept == [Outcome.RESTORED]
    [(entry, image, begun_s)] = waiting.images
    assert (entry, image) == (waiting.run.store.lookup(waiting.sent.key), image_of(waiting.sent))
    assert 0 <= time.monotonic() - begun_s < 60


def test_a_forced_build_renders_its_own(waiting: Waiting) -> None:
    """The other build's image, or refusal, is not what the user asked for."""

    def store() -> None:
        waiting.run.store.put(waiting.sent.key, image_of(waiting.sent), b"{}")
        waiting.theirs.settle(waiting.sent, "done")
        waiting.theirs.explain(waiting.sent, REFUSAL)

    (step,) = waiting.wait(store, force=True)
    assert (step.verdict, step.price) == (Verdict.RENDER, waiting.step.price)
    assert (waiting.images, waiting.outcomes) == ([], [])


def test_the_refusal_of_another_build(waiting: Waiting) -> None:
    """The step fails as if this build had sent the request."""

    def refuse() -> None:
        waiting.theirs.settle(waiting.sent, "refused")
        waiting.theirs.explain(waiting.sent, REFUSAL)

    assert waiting.wait(refuse) == []
    assert waiting.outcomes == [Outcome.FAILED]
    ended = waiting.events[-1]
    assert isinstance(ended, ImageFinished)
    (problem,) = ended.problems
    assert (problem.claim, problem.facts, problem.hint) == ("inappropriate content", ("code: x",), "change the prompt")
    assert 0 <= ended.seconds < 60


def test_what_moderation_refused_in_another_build(waiting: Waiting) -> None:
    """It is remembered in this project, too: later builds do not send it."""

    def refuse() -> None:
        waiting.theirs.settle(waiting.sent, "refused")
        waiting.theirs.explain(waiting.sent, {**REFUSAL, "is_final": True})

    waiting.wait(refuse)
    [failure] = waiting.run.state.failures()
    assert (failure.key, failure.is_final, failure.claim) == (waiting.sent.key, True, "inappropriate content")


@pytest.mark.parametrize("accept_size", [False, True])
def test_an_image_of_another_size_of_another_build(waiting: Waiting, accept_size: bool) -> None:
    """It was paid for: nothing is sent. The user decides whether this project takes it."""

    def store() -> None:
        image = made_for(waiting.sent.key, Size(8, 8))
        waiting.run.store.put(waiting.sent.key, image, b"{}", other_size=Size(8, 8))
        waiting.theirs.settle(waiting.sent, "done")

    assert waiting.wait(store, accept_size=accept_size) == []
    assert waiting.outcomes == ([] if accept_size else [Outcome.FAILED])
    assert waiting.kept == ([Outcome.RESTORED] if accept_size else [])


def test_the_refusal_of_an_emulator(waiting: Waiting) -> None:
    """The service may accept what an emulator has refused: this build sends the request."""
    waiting.theirs.settle(waiting.sent, "refused")
    waiting.sent = waiting.send(0, {"host": "127.0.0.1:8123"})

    def refuse() -> None:
        waiting.theirs.settle(waiting.sent, "refused")
        waiting.theirs.explain(waiting.sent, REFUSAL)

    (step,) = waiting.wait(refuse)
    assert (step.verdict, waiting.outcomes) == (Verdict.RENDER, [])


def test_what_another_build_leaves_at_an_emulator(waiting: Waiting) -> None:
    """This build sends the request to the service; the emulator's task is replaced, not collected."""

    def leave() -> None:
        waiting.theirs.accept(waiting.sent, "result:r:http://127.0.0.1:8123/a.png", "http://127.0.0.1:8123")
        waiting.theirs.release(waiting.sent)

    (step,) = waiting.wait(leave)
    assert (step.verdict, step.price) == (Verdict.RENDER, waiting.step.price)
    assert step.submission and step.submission.uid == waiting.sent.uid


def test_an_older_refusal(waiting: Waiting) -> None:
    """It says nothing about the request that this build waited for."""
    waiting.theirs.settle(waiting.sent, "refused")
    waiting.theirs.explain(waiting.sent, REFUSAL)
    (step,) = waiting.wait(lambda: None)
    assert (step.verdict, step.price, waiting.outcomes) == (Verdict.RENDER, waiting.step.price, [])


def test_a_damaged_image_of_another_build(waiting: Waiting) -> None:
    """The store's bytes are no image of the request: this build renders it."""

    def store() -> None:
        entry = waiting.run.store.put(waiting.sent.key, image_of(waiting.sent), b"{}")
        blob = waiting.run.store.blob_path(entry.image)
        blob.unlink()
        blob.write_bytes(b"other")
        waiting.theirs.settle(waiting.sent, "done")

    (step,) = waiting.wait(store)
    assert (step.verdict, waiting.kept) == (Verdict.RENDER, [])


def test_another_builds_bytes_that_are_no_image_of_the_request(waiting: Waiting) -> None:
    """They have their digest, but are of another size: this build renders the image."""

    def store() -> None:
        waiting.run.store.put(waiting.sent.key, made_for(waiting.sent.key, Size(8, 8)), b"{}")
        waiting.theirs.settle(waiting.sent, "done")

    (step,) = waiting.wait(store)
    assert (step.verdict, waiting.kept) == (Verdict.RENDER, [])


def test_what_another_build_gave_up_is_rendered(waiting: Waiting) -> None:
    """A request that was not billed, and not refused for good, is this build's to send."""
    was = {"verdict": Verdict.UNKNOWN, "submission": waiting.sent, "price": None}
    (step,) = waiting.wait(lambda: waiting.theirs.settle(waiting.sent, "refused"), was=was)
    assert (step.verdict, step.cause, step.price) == (
        Verdict.RENDER, "another build did not render it", waiting.step.price
    )  # fmt: skip
    assert (step.submission, waiting.step.price is None) == (None, False)


def test_what_another_build_left_at_the_service_is_collected(waiting: Waiting) -> None:
    """After `--detach`, or a crash, the image is this build's to collect."""

    def leave() -> None:
        waiting.theirs.accept(waiting.sent, "task:1")
        waiting.theirs.release(waiting.sent)

    (step,) = waiting.wait(leave)
    assert (step.verdict, step.submission and step.submission.handle, step.price) == (Verdict.REATTACH, "task:1", None)
    assert step.cause == "submitted by another build"


def test_what_another_account_left_at_the_service(waiting: Waiting) -> None:
    """This build can't collect it: it is UNKNOWN, and the reason names the account."""
    waiting.theirs.settle(waiting.sent, "refused")
    action = waiting.step.action
    place = {"account": "another", "host": "h", "region": "singapore"}
    sent = waiting.theirs.intend(
        action.key, action.request, place, cell="s/a", forced=False, price=None, replaces="", is_stored=lambda: False
    )
    assert sent is not None
    waiting.theirs.accept(sent, "task:1")
    waiting.theirs.release(sent)
    assert waiting.wait(lambda: None) == []
    [ended] = waiting.events
    assert isinstance(ended, ImageFinished)
    assert (ended.outcome, ended.reason) == (
        Outcome.UNKNOWN,
        "it was submitted to h (singapore), another API key: only that account can collect it",
    )


def test_the_lost_answer_of_another_build(waiting: Waiting) -> None:
    """It may have been billed: only an order sends it again, in place of the lost one."""
    assert waiting.wait(lambda: waiting.theirs.release(waiting.sent)) == []
    assert waiting.outcomes == [Outcome.UNKNOWN]
    ended = waiting.events[-1]
    assert isinstance(ended, ImageFinished)
    assert ended.reason == "another build sent it and lost the answer: it may have been billed"


def test_the_lost_answer_of_another_build_with_an_order(waiting: Waiting) -> None:
    """`--resubmit` sends it again, and the price counts."""
    waiting.theirs.release(waiting.sent)
    (step,) = waiting.wait(lambda: None, was={"verdict": Verdict.UNKNOWN, "price": None}, resubmit=True)
    assert (step.verdict, step.submission and step.submission.uid, step.price) == (
        Verdict.RENDER, waiting.sent.uid, waiting.step.price
    )  # fmt: skip
    assert step.cause == "may have been billed before; sent again"


def test_a_build_that_stops_waits_no_longer(waiting: Waiting) -> None:
    """The other build keeps its claim."""
    assert waiting.wait(lambda: waiting.stop()) == []
    assert (waiting.kept, waiting.outcomes) == ([], [])
    assert waiting.run.submissions.of_keys([waiting.sent.key])[waiting.sent.key].is_held


def test_an_image_that_takes_a_while(waiting: Waiting) -> None:
    """The ledger is looked into again and again; the view is told once."""

    def store_later() -> None:
        asyncio.get_running_loop().call_later(0.3, store)

    def store() -> None:
        waiting.run.store.put(waiting.sent.key, image_of(waiting.sent), b"{}")
        waiting.theirs.settle(waiting.sent, "done")

    assert waiting.wait(store_later) == []
    assert (waiting.kept, len(waiting.events)) == ([Outcome.RESTORED], 1)


def test_a_task_that_another_build_takes_up_meanwhile(waiting: Waiting) -> None:
    """It was nobody's when this build met it: whoever collects it now is shown and waited for."""
    waiting.theirs.accept(waiting.sent, "task:1")
    waiting.theirs.release(waiting.sent)

    def take() -> None:
        assert waiting.shown == []
        assert waiting.theirs.take(waiting.theirs.of_keys([waiting.sent.key])[waiting.sent.key])

    def store() -> None:
        waiting.run.store.put(waiting.sent.key, image_of(waiting.sent), b"{}")
        waiting.theirs.settle(waiting.sent, "done")

    assert waiting.wait(store, between=take) == []
    assert (waiting.shown, waiting.kept) == (["s/a"], [Outcome.RESTORED])


def test_several_images_of_another_build(waiting: Waiting) -> None:
    """The first that this build must render itself is returned at once, the others are waited for later."""
    waiting.send(1)
    waiting.theirs.settle(waiting.send(2), "refused")
    (step,) = waiting.wait(lambda: None, steps=3)
    assert (step.action.name, waiting.shown, waiting.kept) == ("s/c", ["s/a", "s/b"], [])


def test_images_that_come_one_after_the_other(waiting: Waiting) -> None:
    """Each is restored when it is there; the wait ends with the last."""
    other = waiting.send(1)

    def store(sent: Submission) -> None:
        waiting.run.store.put(sent.key, image_of(sent), b"{}")
        waiting.theirs.settle(sent, "done")

    def store_later() -> None:
        if len(waiting.shown) == 2:
            store(waiting.sent)
            asyncio.get_running_loop().call_later(0.3, store, other)

    assert waiting.wait(store_later, steps=2) == []
    assert [image for _, image, _ in waiting.images] == [image_of(waiting.sent), image_of(other)]
    assert waiting.shown == ["s/a", "s/b"]
