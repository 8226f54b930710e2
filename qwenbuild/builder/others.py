"""Other builds: waits for images that other builds render, and takes over their outcomes.

Invariant: while this build waits, it holds no worker and no claim, spends no budget, and sends nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from qwenbuild.errors import Moderated, Refused, WrongSize
from qwenbuild.events import ImageWaiting, Outcome
from qwenbuild.plan.drawn_seeds import seed_of
from qwenbuild.plan.judge import unknown_cause
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.provider import emulator_address
from qwenbuild.request import Submission
from qwenbuild.specs.action import Action
from qwenbuild.storage.action_result import Entry

from .endings import Endings
from .keep import stored
from .run import Run
from .workers import Workers

_EVERY_S = 0.2  # between two looks into the ledger

Kept = Callable[[Step, Entry, bytes, Outcome, float], Awaitable[bool]]
"""Takes (step, its entry in the store, its bytes, the outcome, the `time.monotonic()` at which the step began).

Returns False if a later build must write an output of the step's key.
"""


class Others:
    """The steps of one build whose requests other builds have sent."""

    def __init__(self, run: Run, workers: Workers, endings: Endings, kept: Kept) -> None:
        """`kept` is called for each image that another build has stored; it ends the step."""
        self._run, self._workers, self._endings, self._kept = run, workers, endings, kept
        self._waiting: dict[str, tuple[Step, float]] = {}  # by key, with the `time.time()` at which the wait began
        self._shown: set[str] = set()

    async def add(self, step: Step) -> None:
        """Wait for the outcome of a step's request, and say so if another build works on it."""
        key = step.action.request_key
        self._waiting[key] = step, time.time()
        submission = (await asyncio.to_thread(self._run.submissions.of_keys, [key])).get(key)
        if submission and submission.is_held:
            self._show(key, submission)

    async def outcomes(self) -> deque[Step]:
        """Wait for the outcomes of other builds; return the first steps that this build must render or collect itself.

        Steps that are restored, refused or UNKNOWN are ended here. Returns nothing once no step waits, or the
        build stops.
        """
        renders: deque[Step] = deque()
        while self._waiting and not renders and not self._workers.is_stopped:
            submissions = await asyncio.to_thread(self._run.submissions.of_keys, list(self._waiting))
            for key in list(self._waiting):
                submission = submissions.get(key)
                if submission and submission.is_held:
                    self._show(key, submission)
                    continue
                step, since_s = self._waiting.pop(key)
                if (again := await self._resolve(step, since_s, submission)) is not None:
                    renders.append(again)
            if self._waiting and not renders:
                await asyncio.sleep(_EVERY_S)
        return renders

    def _stored(self, action: Action, *, any_size: bool) -> tuple[Action, Entry | None]:
        """Return the store's entry for an action, and the action with the key, and the seed, of the entry."""
        if action.is_seed_random:
            seed = seed_of(self._run.store, action, self._run.lane.address)
            if seed is None:
                return action, None
            action = action.drawn(seed, labelled=self._run.provider.labelled)
        return stored(action, self._run, any_size=any_size)

    def _show(self, key: str, submission: Submission) -> None:
        if key not in self._shown:
            self._shown.add(key)
            action = self._waiting[key][0].action
            self._run.emit(ImageWaiting(action.name, action.output, submission.project, submission.intended_at_s))

    async def _resolve(self, step: Step, since_s: float, submission: Submission | None) -> Step | None:
        """End a step whose request no build works on any more, or return the step that this build must go on with."""
        begun_s, key = time.monotonic(), step.action.request_key
        options = self._run.options
        any_size = not (options.force or options.retry_failed)
        action, entry = step.action, None
        if not options.force:
            action, entry = await asyncio.to_thread(self._stored, step.action, any_size=any_size)
        if entry and entry.other_size and not options.accept_size:
            self._endings.fail(step, WrongSize.kept(step.action.size, entry.other_size), begun_s)
            return None
        image = await asyncio.to_thread(self._run.store.image, entry, action.key, action.size) if entry else None
        if entry and image is not None:
            await self._kept(step._replace(action=action), entry, image, Outcome.RESTORED, begun_s)
            return None
        is_real = bool(submission and submission.emulated_by in ("", emulator_address(self._run.provider)))
        if submission and is_real and submission.handle and not submission.elsewhere:
            return step._replace(verdict=Verdict.REATTACH, submission=submission, price=None,
                                 cause="submitted by another build")  # fmt: skip
        price = self._run.price(step.action)
        if submission and not is_real:
            return step._replace(
                verdict=Verdict.RENDER, submission=submission, price=price, cause="only an emulator has it"
            )
        if submission and self._run.options.resubmit:
            return step._replace(verdict=Verdict.RENDER, submission=submission, price=price,
                                 cause="may have been billed before; sent again")  # fmt: skip
        if submission:  # its build ended without an answer: the request may have been billed
            cause = unknown_cause(submission, "another build")
            self._endings.finish_all(step._replace(cause=cause, submission=submission), Outcome.UNKNOWN)
            return None
        refusal = await asyncio.to_thread(self._run.submissions.refusal, key, since_s)
        if refusal is not None and not self._run.options.force:
            kind = Moderated if refusal.get("is_final") else Refused
            error = kind(str(refusal["claim"]), facts=refusal["facts"], hint=refusal["hint"], code=str(refusal["code"]))
            self._endings.fail(step, error, begun_s)
            return None
        return step._replace(
            verdict=Verdict.RENDER, submission=None, price=price, cause="another build did not render it"
        )
