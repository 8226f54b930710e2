"""Waiting for other builds: who holds a key decides what becomes of the step that wants it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.builder.endings import Endings
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.builder.others import Others
from qwenbuild.builder.run import Run
from qwenbuild.builder.workers import Workers
from qwenbuild.events import Event, ImageFinished, ImageWaiting, Outcome
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.request import Submission
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions, ledger_folder
from tests.support.workspace import Workspace

REFUSAL = {"claim": "inappropriate content", "facts": ["code: x"], "hint": "change the prompt", "code": "x"}


@dataclass
class Waiting:
    """A build whose only image another build renders."""

    run: Run
    theirs: Submissions
    sent: Submission
    events: list[Event] = field(default_factory=list)
    kept: list[Outcome] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None

    @property
    def step(self) -> Step:
        return self.run.plan.steps[0]

    def wait(self, meanwhile: Callable[[], None], **choices: Any) -> list[Step]:
        """Wait for the other build, which does `meanwhile` once this one says that it waits; return the steps."""

        def emit(event: Event) -> None:
            self.events.append(event)
            if isinstance(event, ImageWaiting):
                meanwhile()

        async def keep(step: Step, entry: Entry, image: bytes, outcome: Outcome, begun_s: float) -> bool:
            self.kept.append(outcome)
            return True

        run = replace(self.run, emit=emit, options=replace(self.run.options, **choices))
        workers = Workers(run)
        others = Others(run, workers, Endings(run, workers), keep)
        self.stop = lambda: workers.stop("interrupted")

        async def wait() -> list[Step]:
            await others.add(self.step)
            return list(await others.outcomes())

        return asyncio.run(wait())

    @property
    def outcomes(self) -> list[Outcome]:
        return [event.outcome for event in self.events if isinstance(event, ImageFinished)]


@pytest.fixture
def waiting(project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    """Two projects with one ledger; the other one has sent the request."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-a-test")
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nseed = 1\n'})
    engine = load(project.root)
    folder = ledger_folder(os.environ, engine.store)
    (tmp_path / "theirs").mkdir()
    state, other = State.of(project.root, create=True), State.of(tmp_path / "theirs", create=True)
    mine = Submissions(state, folder, engine.provider, project.root)
    theirs = Submissions(other, folder, engine.provider, tmp_path / "theirs")
    for each in (mine, theirs):
        each.prepare()
    plan = engine.plan()
    action = plan.steps[0].action
    sent = theirs.intend(
        action.key, action.request, {}, cell=action.name, forced=False, price=None, replaces="",
        is_stored=lambda: False,
    )  # fmt: skip
    assert sent is not None
    run = Run(plan, engine.effective, engine.provider, engine.outputs(), state, mine, engine.store,
              lambda event: None, Interrupt(), 0.0)  # fmt: skip
    yield Waiting(run, theirs, sent)
    for opened in (mine, theirs, state, other):
        opened.close()


def test_the_image_of_another_build_is_restored(waiting: Waiting) -> None:
    """The event names the other project; the image is taken from the store."""

    def store() -> None:
        waiting.run.store.put(waiting.sent.key, b"image", b"{}")
        waiting.theirs.settle(waiting.sent, "done")

    assert waiting.wait(store) == []
    (event,) = waiting.events
    assert isinstance(event, ImageWaiting)
    assert (event.name, event.path, Path(event.project).name) == ("s/a", waiting.step.action.output, "theirs")
    assert waiting.kept == [Outcome.RESTORED]


def test_a_forced_build_renders_its_own(waiting: Waiting) -> None:
    """The other build's image, or refusal, is not what the user asked for."""

    def store() -> None:
        waiting.run.store.put(waiting.sent.key, b"image", b"{}")
        waiting.theirs.settle(waiting.sent, "done")
        waiting.theirs.explain(waiting.sent, REFUSAL)

    (step,) = waiting.wait(store, force=True)
    assert (step.verdict, step.price) == (Verdict.RENDER, waiting.step.price)


def test_the_refusal_of_another_build(waiting: Waiting) -> None:
    """The step fails as if this build had sent the request."""

    def refuse() -> None:
        waiting.theirs.settle(waiting.sent, "refused")
        waiting.theirs.explain(waiting.sent, REFUSAL)

    assert waiting.wait(refuse) == []
    assert waiting.outcomes == [Outcome.FAILED]
    (problem,) = waiting.events[-1].problems  # type: ignore[union-attr]  # the last event is ImageFinished
    assert (problem.claim, problem.hint) == ("inappropriate content", "change the prompt")


def test_what_another_build_gave_up_is_rendered(waiting: Waiting) -> None:
    """A request that was not billed, and not refused for good, is this build's to send."""
    (step,) = waiting.wait(lambda: waiting.theirs.settle(waiting.sent, "refused"))
    assert (step.verdict, step.cause, step.price) == (
        Verdict.RENDER, "another build did not render it", waiting.step.price
    )  # fmt: skip


def test_what_another_build_left_at_the_service_is_collected(waiting: Waiting) -> None:
    """After `--detach`, or a crash, the image is this build's to collect."""

    def leave() -> None:
        waiting.theirs.accept(waiting.sent, "task:1")
        waiting.theirs.release(waiting.sent)

    (step,) = waiting.wait(leave)
    assert (step.verdict, step.submission and step.submission.handle, step.price) == (Verdict.REATTACH, "task:1", None)


def test_the_lost_answer_of_another_build(waiting: Waiting) -> None:
    """It may have been billed: only an order sends it again, in place of the lost one."""
    assert waiting.wait(lambda: waiting.theirs.release(waiting.sent)) == []
    assert waiting.outcomes == [Outcome.UNKNOWN]


def test_the_lost_answer_of_another_build_with_an_order(waiting: Waiting) -> None:
    """`--resubmit` sends it again, and the price counts."""
    waiting.theirs.release(waiting.sent)
    (step,) = waiting.wait(lambda: None, resubmit=True)
    assert (step.verdict, step.submission and step.submission.uid, step.price) == (
        Verdict.RENDER, waiting.sent.uid, waiting.step.price
    )  # fmt: skip


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
        waiting.run.store.put(waiting.sent.key, b"image", b"{}")
        waiting.theirs.settle(waiting.sent, "done")

    assert waiting.wait(store_later) == []
    assert (waiting.kept, len(waiting.events)) == ([Outcome.RESTORED], 1)
