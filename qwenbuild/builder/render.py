"""Images that a provider renders, or has rendered: each is in the store, verified, before it counts as done.

Invariants: at most `provider.concurrency` renders are under way, and only their bytes are in memory;
a price is counted before its request is sent; a request that may have been billed is not sent again
by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from qwenbuild.errors import AnswerLost, BudgetExceeded, QwenbuildError
from qwenbuild.events import Emit, ImageStarted, LookingUp, Outcome, Warned
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.provider import Detached, Provider, Rendered, Stopped, broken, resumable
from qwenbuild.request import Request, Submission
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

from .budget import Spending
from .commits import Commits
from .endings import Endings
from .journal import StateJournal
from .keep import keep
from .workers import Limits, Work

_SILENCE_S = 1.0  # nobody wonders for so long why nothing happens
_RECENT_S = 2 * 86_400.0  # twice as long as a service is expected to keep tasks

Kept = Callable[[Step, Entry, bytes, Outcome, float], Awaitable[None]]
"""Is given a step, its image as the store has it, how it came there, and when that began (`time.monotonic()`)."""


class Rendering:
    """The renders of one build. `spending` is what they cost, `collected` how many images no step asked for."""

    def __init__(
        self, provider: Provider, state: State, store: Store, commits: Commits, limits: Limits,
        work: Work, endings: Endings, emit: Emit, kept: Kept,
    ) -> None:  # fmt: skip
        self._provider, self._state, self._store, self._commits = provider, state, store, commits
        self._limits, self._work, self._endings, self._emit, self._kept = limits, work, endings, emit, kept
        self.spending = Spending(limits.max_cost)
        self.collected = 0
        self._view_fault: Exception | None = None  # why nobody can be told any more

    async def run(self, renders: deque[Step], strays: deque[Submission]) -> None:
        """Have the steps rendered, and then `strays` collected, which none of them asks for."""
        try:
            if any(step.price for step in renders):
                await asyncio.to_thread(self._store.prepare)
            async with self._provider.session():
                await self._reconcile(renders)
                await self._work.through(renders, self._provider.concurrency, self._render)
                await self._work.through(strays, self._provider.concurrency, self._collect)
        except QwenbuildError as error:  # no store to keep images in, no key, a wrong setting
            self._work.stop(error.claim, error.problems)

    async def _reconcile(self, renders: deque[Step]) -> None:
        """Look up, at the service, what became of submissions whose answer was lost."""
        unknown = [step for step in renders if step.verdict is Verdict.UNKNOWN]
        if not unknown:
            return
        handles: Mapping[int, str] = {}
        if service := resumable(self._provider):
            lost = [step.submission for step in unknown if step.submission]
            recent = await asyncio.to_thread(self._state.submissions_since, time.time() - _RECENT_S)
            known = [it for it in recent if it.provider == self._provider.name and it not in lost]
            told = asyncio.get_running_loop().call_later(_SILENCE_S, lambda: self._emit(LookingUp(len(lost))))
            try:
                with contextlib.suppress(Stopped):
                    handles = await self._work.stoppable(service.reconcile(lost, known))
            finally:
                told.cancel()
        for step in unknown:
            renders.remove(step)
            submission = step.submission
            if submission and submission.id in handles:
                handle = handles[submission.id]
                await asyncio.to_thread(self._state.accepted, submission.id, handle)
                renders.appendleft(
                    step._replace(verdict=Verdict.REATTACH, submission=replace(submission, handle=handle),
                                  cause="found among the service's tasks")
                )  # fmt: skip
            else:
                self._endings.finish_all(step, Outcome.UNKNOWN)

    async def _render(self, step: Step) -> None:
        begun, endings = time.monotonic(), self._endings
        try:  # the prompt is rendered once, and held while the image is under way
            action = step.action._replace(source=step.action.request)
        except QwenbuildError as error:
            endings.fail(step, error, begun)
            return
        step = step._replace(action=action)
        collected = step.submission if step.verdict is Verdict.REATTACH else None

        def start() -> None:
            try:
                self._emit(ImageStarted(action.name, action.output, step.verdict, step.reason))
            except Exception as error:
                self._view_fault = error
                raise

        # What costs money starts when it is sent: until then, nothing is lost where nobody wants it any more.
        is_sent = bool(step.price and not collected)
        journal = self._journal(action.key, action.request, collected, start if is_sent else None)
        try:
            self.spending.pay(step.price)
            if not is_sent:
                start()
            rendered = await self._rendered(step, journal)
            entry, image = await asyncio.to_thread(
                keep, self._store, self._provider.name, action.key, action.request, rendered,
                pinned=step.pinned, forced=self._limits.force or bool(step.submission and step.submission.forced),
            )  # fmt: skip
            await journal.settle("done")
        except asyncio.CancelledError:  # the user does not wait
            if journal.is_open and not journal.handle:
                hint = "the next build looks for it; where it can't tell, `--resubmit` sends it again"
                endings.fail(step, AnswerLost("left before the answer came: it may have been billed", hint=hint), begun)
            else:
                endings.finish_all(step, Outcome.SUBMITTED if journal.handle else Outcome.SKIPPED)
            raise
        except Detached:
            endings.finish_all(step, Outcome.SUBMITTED, time.monotonic() - begun)
            return
        except Stopped:
            self.spending.refund(step.price)
            endings.finish_all(step, Outcome.SKIPPED)
            return
        except BudgetExceeded as error:
            self._work.stop(error.claim, error.problems, close=False)  # what is paid for already is still sent
            return
        except QwenbuildError as error:
            if isinstance(error, AnswerLost):
                await journal.lost()
            if journal.unbilled:
                self.spending.refund(step.price)
            endings.fail(step, error, begun)
            return
        outcome = Outcome.REATTACHED if step.verdict is Verdict.REATTACH else Outcome.RENDERED
        await self._kept(step, entry, image, outcome, begun)

    async def _collect(self, stray: Submission) -> None:
        """Collect an image that no spec asks for any more: it is paid for, and may be asked for again."""
        journal = self._journal(stray.key, stray.request, stray)
        try:
            if service := resumable(self._provider):
                rendered = await self._work.stoppable(service.collect(stray, journal), journal)
                await asyncio.to_thread(
                    keep, self._store, self._provider.name, stray.key, stray.request, rendered, forced=stray.forced
                )
                await journal.settle("done")
                self.collected += 1
        except Stopped:
            return
        except QwenbuildError as error:  # a later build tries again, but where nothing can be had any more
            if isinstance(error, AnswerLost):
                await journal.lost()
            self._emit(Warned(error.problems))
            if error.stops_run:
                self._work.stop(error.claim)
        except Exception as error:  # a plugin's: it must not end the others
            self._emit(Warned(broken(self._provider.name, error).problems))

    def _journal(
        self, key: str, request: Request, collected: Submission | None, start: Callable[[], None] | None = None
    ) -> StateJournal:
        return StateJournal(
            self._state, self._commits, self._provider.name, key, request, lambda: self._work.is_closed,
            collected=collected, force=self._limits.force, detach=self._limits.detach, start=start,
        )  # fmt: skip

    async def _rendered(self, step: Step, journal: StateJournal) -> Rendered:
        """Return the provider's image; raises Detached, Stopped, ProviderError and StateError, nothing else."""
        if step.verdict is Verdict.REATTACH and self._limits.detach:
            raise Detached
        try:
            service = resumable(self._provider)
            if step.verdict is Verdict.REATTACH and step.submission and service:
                return await self._work.stoppable(service.collect(step.submission, journal), journal)
            return await self._work.stoppable(self._provider.render(step.action.request, journal), journal)
        except (QwenbuildError, Detached, Stopped):
            raise
        except Exception as error:  # a plugin's: it must not end the other renders
            if error is self._view_fault:  # it came to be told through the plugin
                raise
            raise broken(self._provider.name, error) from error
