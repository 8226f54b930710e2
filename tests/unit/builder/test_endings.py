"""The endings: each step ends once, with its event."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from qwenbuild.builder.endings import Endings
from qwenbuild.builder.recorder import Recorder
from qwenbuild.builder.run import Run
from qwenbuild.builder.workers import Workers
from qwenbuild.errors import AccountError, AnswerLost, OutputError, QwenbuildError, Refused
from qwenbuild.events import Event, ImageFinished, Outcome, Stopping
from qwenbuild.plan.plan import Verdict
from qwenbuild.storage.state import State
from tests.support.runs import run_of
from tests.support.workspace import Workspace


class Stage:
    """A run of three steps, of which the second waits for the bytes of the first."""

    def __init__(self, run: Run, events: list[Event]) -> None:
        self.steps, self.events = run.plan.steps, events
        self.workers = Workers(run)
        self.recorder = Recorder(run.state, lambda error: self.workers.stop(error.claim))
        self.endings = Endings(run, self.workers, self.recorder)
        self.endings.follow(self.steps[1])

    @property
    def ended(self) -> list[tuple[str, Outcome]]:
        """Name and outcome of each step that ended, in order."""
        return [(event.name, event.outcome) for event in self.events if isinstance(event, ImageFinished)]


def stage(place: Workspace, state: State, *, fail_fast: bool = False, quiet: bool = False) -> Stage:
    """Return the stage of a build."""
    specs = "".join(f'[image.{name}]\nprompt = "{text}"\nseed = 1\n' for name, text in zip("abc", "xxy", strict=True))
    place.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": specs})
    events: list[Event] = []
    return Stage(replace(run_of(place.root, state, events.append, fail_fast=fail_fast), quiet=quiet), events)


def test_followers_end_with_the_step_that_they_wait_for(project: Workspace, state: State) -> None:
    """`finish_all` ends a step and its followers; `take_followers` returns them once."""
    it = stage(project, state)
    it.endings.finish_all(it.steps[0], Outcome.SUBMITTED)
    assert it.ended == [("s/a", Outcome.SUBMITTED), ("s/b", Outcome.SUBMITTED)]
    assert it.endings.take_followers(it.steps[0]) == ()
    it.endings.finish(it.steps[2], Outcome.RENDERED, 0.5)
    assert it.endings.counts == {Outcome.SUBMITTED: 2, Outcome.RENDERED: 1}


def test_the_event_of_an_ending(project: Workspace, state: State) -> None:
    """It has the step's cell and path, the reason for its verdict, the time that it took, and what went wrong."""
    it = stage(project, state)
    one, two, three = it.steps
    it.endings.finish_all(one, Outcome.SUBMITTED, 0.5)
    error = Refused("no cats", hint="change the prompt")
    it.endings.finish(three._replace(cause=""), Outcome.FAILED, 2.5, error)
    assert it.events == [
        ImageFinished("s/a", one.action.output, Outcome.SUBMITTED, one.reason, 0.5),
        ImageFinished("s/b", two.action.output, Outcome.SUBMITTED, two.reason, 0.5),
        ImageFinished("s/c", three.action.output, Outcome.FAILED, "no cats", 2.5, error.problems),
    ]
    assert (one.reason, it.workers.problems) == ("never rendered", [*error.problems])


@pytest.mark.parametrize(
    ("outcome", "cause", "reason"),
    [
        (Outcome.UP_TO_DATE, "", ""),
        (Outcome.UP_TO_DATE, "as recorded", "as recorded"),
        (Outcome.SKIPPED, "", "its request changed"),
        (Outcome.SKIPPED, "new", "new"),
    ],
)
def test_the_reason_of_an_ending(project: Workspace, state: State, outcome: Outcome, cause: str, reason: str) -> None:
    """An output that is up to date has no change to tell of."""
    it = stage(project, state)
    step = it.steps[2]
    it.endings.finish(step._replace(cause=cause), outcome)
    assert it.events == [ImageFinished("s/c", step.action.output, outcome, reason, 0.0)]


@pytest.mark.parametrize("quiet", [False, True])
def test_outputs_that_are_up_to_date(project: Workspace, state: State, quiet: bool) -> None:
    """They are counted; a quiet run has no event for each."""
    it = stage(project, state, quiet=quiet)
    it.endings.leave(it.steps[2])
    assert it.endings.counts == {Outcome.UP_TO_DATE: 1}
    assert it.ended == [("s/c", Outcome.UP_TO_DATE)] * (not quiet)
    it.endings.finish_rest()
    assert it.endings.counts == {Outcome.UP_TO_DATE: 1, Outcome.SKIPPED: 2}


def test_several_steps_wait_for_the_same_bytes(project: Workspace, state: State) -> None:
    """All of them end with the step that renders the bytes, in their order."""
    it = stage(project, state)
    it.endings.follow(it.steps[2]._replace(action=it.steps[2].action._replace(key=it.steps[0].action.key)))
    it.endings.finish_all(it.steps[0], Outcome.SKIPPED)
    ended = [(event.name, event.seconds) for event in it.events if isinstance(event, ImageFinished)]
    assert ended == [("s/a", 0.0), ("s/b", 0.0), ("s/c", 0.0)]


def test_a_step_ends_once(project: Workspace, state: State) -> None:
    """Ending a step again is a mistake in the builder."""
    it = stage(project, state)
    it.endings.finish(it.steps[2], Outcome.RENDERED)
    with pytest.raises(KeyError):
        it.endings.finish(it.steps[2], Outcome.FAILED)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused("no"), [("s/a", Outcome.FAILED), ("s/b", Outcome.FAILED)]),
        (AnswerLost("lost"), [("s/a", Outcome.UNKNOWN), ("s/b", Outcome.UNKNOWN)]),
        (OutputError("a.png can't be written"), [("s/a", Outcome.FAILED)]),
    ],
)
def test_failures(project: Workspace, state: State, error: QwenbuildError, expected: list[tuple[str, Outcome]]) -> None:
    """A lost answer leaves the image UNKNOWN; an output that can't be written does not fail its followers."""
    it = stage(project, state)
    it.endings.fail(it.steps[0], error, time.monotonic())
    assert it.ended == expected
    assert it.workers.problems == [*error.problems] * len(expected)
    assert not it.workers.is_stopped
    assert {event.reason for event in it.events if isinstance(event, ImageFinished)} == {error.claim}


def test_the_failure_of_each_output_is_recorded(project: Workspace, state: State) -> None:
    """Of those that waited for the same bytes, too, also if an emulator would have made them."""
    it = stage(project, state)
    step = it.steps[0]

    async def fail() -> None:
        async with it.recorder.running():
            emulated = step._replace(action=step.action.made_by("http://127.0.0.1:1"))
            it.endings.fail(emulated, Refused("no"), time.monotonic())

    asyncio.run(fail())
    assert [failure.path for failure in state.failures()] == ["s/a.png", "s/b.png"]


def test_a_failure_took_its_time(project: Workspace, state: State) -> None:
    """The time counts from the beginning of the step, for those that waited for it, too."""
    it = stage(project, state)
    before_s = time.monotonic()
    it.endings.fail(it.steps[0], Refused("no"), before_s - 100.0)
    for event in it.events:
        assert isinstance(event, ImageFinished)
        assert 100.0 <= event.seconds <= 100.0 + time.monotonic() - before_s


@pytest.mark.parametrize(("error", "fail_fast"), [(AccountError("no key"), False), (Refused("no"), True)])
def test_failures_that_stop_the_build(project: Workspace, state: State, error: QwenbuildError, fail_fast: bool) -> None:
    """An error that stops the run, and with `fail_fast` any error, stops the build."""
    it = stage(project, state, fail_fast=fail_fast)
    it.endings.fail(it.steps[2], error, time.monotonic())
    assert it.workers.is_closed
    assert it.events[1:] == [Stopping(error.claim, 0)]


def test_steps_that_were_never_begun(project: Workspace, state: State) -> None:
    """Steps that nothing ended are skipped; what may have been billed stays UNKNOWN."""
    it = stage(project, state)
    run = run_of(project.root, state, it.events.append)
    steps = (*it.steps[:2], it.steps[2]._replace(verdict=Verdict.UNKNOWN))
    endings = Endings(replace(run, plan=replace(run.plan, steps=steps)), it.workers, it.recorder)
    endings.finish(steps[0], Outcome.RENDERED)
    endings.finish_rest()
    assert it.ended == [("s/a", Outcome.RENDERED), ("s/b", Outcome.SKIPPED), ("s/c", Outcome.UNKNOWN)]
