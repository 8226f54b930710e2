"""How the steps of one build end.

Invariant: every step ends exactly once, whatever happens, and what waits for its bytes ends with it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from qwenbuild.errors import AnswerLost, OutputError, QwenbuildError
from qwenbuild.events import Emit, ImageFinished, Outcome
from qwenbuild.plan.plan import Step, Verdict

from .workers import Work


class Endings:
    """`counts` is how many steps have ended in which way."""

    def __init__(self, steps: Iterable[Step], work: Work, emit: Emit, *, fail_fast: bool) -> None:
        self._unended = {step.action.output: step for step in steps}
        self._work, self._emit, self._fail_fast = work, emit, fail_fast
        self._followers: dict[str, list[Step]] = {}
        self.counts: Counter[Outcome] = Counter()

    def follow(self, step: Step) -> None:
        """Have a step wait for the bytes of another one's render."""
        self._followers.setdefault(step.action.key, []).append(step)

    def take_followers(self, step: Step) -> Sequence[Step]:
        """Return the steps that wait for the bytes of this one, which are there now."""
        return self._followers.pop(step.action.key, ())

    def finish(self, step: Step, outcome: Outcome, seconds: float = 0.0, error: QwenbuildError | None = None) -> None:
        """End a step, and tell of it."""
        del self._unended[step.action.output]
        self.counts[outcome] += 1
        problems = error.problems if error else ()
        self._work.problems += problems
        action = step.action
        reason = error.claim if error else step.reason if outcome is not Outcome.UP_TO_DATE else step.cause
        self._emit(ImageFinished(action.name, action.output, outcome, reason, seconds, problems))

    def finish_all(
        self, step: Step, outcome: Outcome, seconds: float = 0.0, error: QwenbuildError | None = None
    ) -> None:
        """End a step, and those that wait for its bytes."""
        for each in (step, *self.take_followers(step)):
            self.finish(each, outcome, seconds, error)

    def fail(self, step: Step, error: QwenbuildError, begun: float) -> None:
        """End a step, begun at that `time.monotonic()`, with an error; stop the build where that is one for all."""
        outcome = Outcome.UNKNOWN if isinstance(error, AnswerLost) else Outcome.FAILED
        # An output that can't be written says nothing about those that wait for the same bytes.
        finish = self.finish if isinstance(error, OutputError) else self.finish_all
        finish(step, outcome, time.monotonic() - begun, error)
        if error.stops_run or self._fail_fast:
            self._work.stop(error.claim)

    def finish_rest(self) -> None:
        """End what was not taken up."""
        for step in list(self._unended.values()):
            self.finish(step, Outcome.UNKNOWN if step.verdict is Verdict.UNKNOWN else Outcome.SKIPPED)
