"""The endings: how each step of one build ended.

Invariant: every step ends exactly once, and steps that wait for another step's bytes end with it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from qwenbuild.errors import AnswerLost, OutputError, ProviderError, QwenbuildError, Refused
from qwenbuild.events import ImageFinished, Outcome
from qwenbuild.plan.plan import Step, Verdict

from .recorder import Recorder
from .run import Run
from .workers import Workers

_UP_TO_DATE = Outcome.UP_TO_DATE  # a global is found faster than an enum's member
_NOT_AGAIN: Final = "an earlier build sent the request; it is not sent again unchanged"


class Endings:
    """Ends steps and emits their events. `counts` is the number of steps by outcome."""

    def __init__(self, run: Run, workers: Workers, recorder: Recorder) -> None:
        self._run, self._workers, self._recorder = run, workers, recorder
        self._unended = {step.action.output: step for step in run.plan.steps}
        self._followers: dict[str, list[Step]] = {}  # steps that wait for the bytes of a request, by its key
        self.counts: Counter[Outcome] = Counter()

    def follow(self, step: Step) -> None:
        """Let a step wait for the bytes that another step with the same request renders."""
        self._followers.setdefault(step.action.request_key, []).append(step)

    def take_followers(self, step: Step) -> Sequence[Step]:
        """Return the steps that wait for this step's bytes; they wait no longer."""
        return self._followers.pop(step.action.request_key, ())

    def finish(self, step: Step, outcome: Outcome, seconds: float = 0.0, error: QwenbuildError | None = None) -> None:
        """End one step."""
        del self._unended[step.action.output]
        self.counts[outcome] += 1
        problems = error.problems if error else ()
        self._workers.problems += problems
        action = step.action
        reason = error.claim if error else step.reason if outcome is not _UP_TO_DATE else step.cause
        self._run.emit(ImageFinished(action.name, action.output, outcome, reason, seconds, problems))

    def leave(self, step: Step) -> None:
        """End a step that is up to date."""
        if self._run.quiet:  # row one-change: events would take 0.08 s for 10,000 cells
            del self._unended[step.action.output]
            self.counts[_UP_TO_DATE] += 1
        else:
            self.finish(step, _UP_TO_DATE)

    def finish_all(
        self, step: Step, outcome: Outcome, seconds: float = 0.0, error: QwenbuildError | None = None
    ) -> None:
        """End a step and those that wait for its bytes."""
        for each in (step, *self.take_followers(step)):
            self.finish(each, outcome, seconds, error)

    def fail(self, step: Step, error: QwenbuildError, begun_s: float) -> None:
        """End a step with an error, and record it; stops the build if `error.stops_run` or `fail_fast`.

        `begun_s` is `time.monotonic()` when the step began.
        """
        steps = [step] if isinstance(error, OutputError) else [step, *self._followers.get(step.action.request_key, ())]
        for each in steps:
            host = self._run.lanes.of(each.action.choice).submissions.host
            self._recorder.fail(each.action, error, host)
        self._end(step, error, begun_s)

    def withhold(self, step: Step) -> None:
        """End a step whose request an earlier build sent, with the failure that it had then."""
        assert step.failure is not None
        facts, hint = step.failure.facts, step.failure.hint or None
        self._end(
            step,
            Refused(step.failure.claim, facts=[*facts, _NOT_AGAIN], hint=hint, name="not-sent-again"),
            time.monotonic(),
        )

    def _end(self, step: Step, error: QwenbuildError, begun_s: float) -> None:
        outcome = Outcome.UNKNOWN if isinstance(error, AnswerLost) else Outcome.FAILED
        # If one output can't be written, the other outputs with the same bytes still can.
        finish = self.finish if isinstance(error, OutputError) else self.finish_all
        finish(step, outcome, time.monotonic() - begun_s, error)
        if error.stops_run and isinstance(error, ProviderError) and not self._run.options.fail_fast:
            self._workers.give_up(self._run.lanes.of(step.action.choice).provider, error.claim)
        elif error.stops_run or self._run.options.fail_fast:
            self._workers.stop(error.claim)

    def finish_rest(self) -> None:
        """End the steps that were never begun."""
        for step in list(self._unended.values()):
            self.finish(step, Outcome.UNKNOWN if step.verdict is Verdict.UNKNOWN else Outcome.SKIPPED)
