"""Carries out a plan through a provider; every image is in the store, verified, before it counts as done.

Invariants:
- At most `provider.concurrency` renders are under way, and only their bytes are in memory.
- The event loop never touches the disk: files, store and state are reached through threads.
- A failed write to `out/` never costs a render: the next build finds the bytes in the store.
- A file that changed since the plan saw it is left alone.
- Every step ends exactly once, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from . import restoring, transfers
from .commits import Commits
from .errors import AnswerLost, BudgetExceeded, OutputError, Problem, QwenbuildError, StateError
from .events import Emit, Finished, ImageFinished, ImageStarted, LookingUp, Outcome, Started, Stopping, Warned
from .interrupt import Interrupt
from .journal import StateJournal
from .keeping import keep
from .outputs import Outputs
from .plan import Plan, Step, Verdict, is_done
from .provider import Detached, Provider, Rendered, Resumable, Stopped, broken
from .recorder import Recorder
from .request import Submission
from .sharing import Remote
from .spending import Spending
from .state import Output, State
from .store import Entry, Store
from .transfers import Pushing

_T = TypeVar("_T")
_PULLS = 8  # at once, each with an image in memory
_ASKED_FOR = (Verdict.RENDER, Verdict.REATTACH, Verdict.UNKNOWN)
_SILENCE_S = 1.0  # nobody wonders for so long why nothing happens
_RECENT_S = 2 * 86_400.0  # twice as long as a service is expected to keep tasks


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may do: `max_cost` as in `Spending`, `detach` to leave once everything is submitted.

    `locked`: what rendering gives must be what the lock pins; `relock`: it need not.
    """

    fail_fast: bool = False
    force: bool = False
    detach: bool = False
    locked: bool = False
    relock: bool = False
    max_cost: Decimal | None = None


class Builder:
    """One build. Used once: `run` the plan."""

    def __init__(
        self, plan: Plan, outputs: Outputs, state: State, store: Store, provider: Provider, limits: Limits,
        emit: Emit, interrupt: Interrupt, begun: float, remote: Remote | None = None,
    ) -> None:  # fmt: skip
        self._plan, self._outputs = plan, outputs
        self._state, self._store, self._provider, self._limits, self._emit = state, store, provider, limits, emit
        self._interrupt, self._begun = interrupt, begun  # begun: time.monotonic() when the user's wait began
        self._counts: Counter[Outcome] = Counter()
        self._collected = 0
        self._problems: list[Problem] = []
        self._spending = Spending(limits.max_cost)
        self._is_stopped = self._is_closed = False  # nothing more is taken up; nothing more is sent
        self._unended = {step.action.output: step for step in plan.steps}
        self._carrying: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._under_way: dict[asyncio.Future[Any], StateJournal | None] = {}
        self._followers: dict[str, list[Step]] = {}  # steps that take the bytes of another's render
        self._commits = Commits(state)
        self._recorder = Recorder(state, lambda error: self._stop(error.claim, error.problems))
        self.made: dict[str, str] = {}  # digests of the outputs that this build found or put in place, by path
        self._remote = remote
        # Connecting takes its time; what is here already needs no remote cache.
        is_asked = any(step.shared or step.verdict in _ASKED_FOR for step in plan.steps)
        self._pushing = Pushing(remote, store) if remote and is_asked else None
        self._damaged: set[str] = set()  # keys whose stored bytes could not be used
        self._view_fault: Exception | None = None  # why nobody can be told any more

    @property
    def recorded(self) -> Mapping[str, Output]:
        """What this build put on record of outputs, by path."""
        return self._recorder.outputs

    async def run(self) -> Finished:
        """Carry out the plan and return how it ended; one output's failure does not end the others."""
        idle = not self._plan.strays and all(
            step.verdict is Verdict.UP_TO_DATE and not step.adopted for step in self._plan.steps
        )
        run = None if idle else await asyncio.to_thread(self._begin)
        self._emit(Started(self._provider.name, self._plan.counts))
        self._warn(self._plan.warnings)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._recorder.running())
            await stack.enter_async_context(self._commits.running())
            if self._remote and self._pushing:
                await stack.enter_async_context(self._remote)
                await stack.enter_async_context(self._pushing.running())
            self._carrying = asyncio.create_task(self._carry_out())
            self._interrupt.listen(self._interrupted)
            try:
                await self._carrying
            except asyncio.CancelledError:
                if self._interrupt.count < 2:
                    raise
        if self._remote and self._pushing:
            self._warn([*self._remote.warnings(), *self._pushing.warnings])
        for step in list(self._unended.values()):
            self._finish(step, Outcome.UNKNOWN if step.verdict is Verdict.UNKNOWN else Outcome.SKIPPED)
        counts = {outcome.value: self._counts[outcome] for outcome in Outcome}
        finished = Finished(
            **counts,
            seconds=time.monotonic() - self._begun,
            orphans=len(self._plan.orphans),
            strays=self._collected,
            interrupted=self._interrupt.count > 0,
            cost={currency: str(amount) for currency, amount in self._spending.amounts.items()},
            problems=tuple(self._problems),
        )
        if run is not None:
            with contextlib.suppress(StateError):  # a full disk was reported when it mattered
                await asyncio.to_thread(self._state.end_run, run, {**counts, "cost": finished.cost})
        self._emit(finished)
        return finished

    def _warn(self, problems: Sequence[Problem]) -> None:
        if problems:
            self._emit(Warned(problems))

    def _begin(self) -> int:
        self._outputs.sweep()
        for submission in self._state.open_submissions():
            if is_done(submission, self._store):
                self._state.settle(submission.id, "done")
        return self._state.begin_run()

    async def _carry_out(self) -> None:
        restores: deque[Step] = deque()
        pulls: deque[Step] = deque()
        renders: deque[Step] = deque()
        for step in self._plan.steps:
            match step.verdict:
                case Verdict.UP_TO_DATE:
                    if step.adopted and step.seen:
                        self.made[step.action.output] = step.adopted
                        self._recorder.add(step.action, step.adopted, step.seen)
                    self._finish(step, Outcome.UP_TO_DATE)
                case Verdict.EDITED:
                    self._finish(step, Outcome.EDITED)
                case Verdict.MISSING:
                    self._finish(step, Outcome.MISSING)
                case Verdict.RESTORE if step.entry:
                    restores.append(step)
                case Verdict.RESTORE if step.shared:
                    pulls.append(step)
                case Verdict.RESTORE | Verdict.UNKNOWN if step.submission is None:
                    self._followers.setdefault(step.action.key, []).append(step)
                case _:
                    renders.append(step)
        batches = deque(restoring.batches(restores))
        workers = 1 + (os.cpu_count() or 1)  # one waits for the disk, or for the event loop to tell what it did
        await self._work(batches, workers, lambda steps: self._restore(steps, renders))
        await self._work(pulls, _PULLS, lambda step: self._pull(step, renders))
        strays = deque(() if self._limits.detach else self._plan.strays)
        if (renders or strays) and not self._is_stopped:
            await self._render_all(renders, strays)

    # --- work and stopping ---

    async def _work(self, steps: deque[_T], workers: int, job: Callable[[_T], Awaitable[None]]) -> None:
        """Take steps, or batches of them, off the deque, `workers` at a time, until it is empty or the build stops."""

        async def worker() -> None:
            while steps and not self._is_stopped:
                await job(steps.popleft())

        self._running = {asyncio.create_task(worker()) for _ in range(min(workers, len(steps)))}
        results = await asyncio.gather(*self._running, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _interrupted(self) -> None:
        self._stop("interrupted")
        if self._pushing:
            self._pushing.hurry()
        if self._interrupt.count > 1 and self._carrying:
            self._carrying.cancel()

    def _stop(self, reason: str, problems: Sequence[Problem] = (), *, close: bool = True) -> None:
        """Take up nothing more, and send nothing more (`close`); `problems` are those that no output has shown."""
        if self._is_closed or (self._is_stopped and not close):
            return
        self._is_stopped, self._is_closed = True, close
        self._problems += problems
        in_flight = len(self._under_way)
        if close and isinstance(self._provider, Resumable):  # others never tell what is only waiting for its turn
            for task, journal in self._under_way.items():
                if journal is None or not journal.is_open:
                    in_flight -= task.cancel()
        self._emit(Stopping(reason, in_flight, problems))

    def _finish(self, step: Step, outcome: Outcome, seconds: float = 0.0, error: QwenbuildError | None = None) -> None:
        del self._unended[step.action.output]
        self._counts[outcome] += 1
        problems = error.problems if error else ()
        self._problems += problems
        action = step.action
        reason = error.claim if error else step.reason if outcome is not Outcome.UP_TO_DATE else step.cause
        self._emit(ImageFinished(action.name, action.output, outcome, reason, seconds, problems))

    def _finish_all(
        self, step: Step, outcome: Outcome, seconds: float = 0.0, error: QwenbuildError | None = None
    ) -> None:
        """End a step, and those that wait for its bytes."""
        for each in (step, *self._followers.pop(step.action.key, ())):
            self._finish(each, outcome, seconds, error)

    def _fail(self, step: Step, error: QwenbuildError, begun: float) -> None:
        outcome = Outcome.UNKNOWN if isinstance(error, AnswerLost) else Outcome.FAILED
        # An output that can't be written says nothing about those that wait for the same bytes.
        finish = self._finish if isinstance(error, OutputError) else self._finish_all
        finish(step, outcome, time.monotonic() - begun, error)
        if error.stops_run or self._limits.fail_fast:
            self._stop(error.claim)

    # --- restore ---

    async def _restore(self, steps: Sequence[Step], renders: deque[Step]) -> None:
        begun = time.monotonic()
        restored = await asyncio.to_thread(restoring.restore, steps, self._store, self._outputs)
        for number, (step, ended) in enumerate(restored):
            if isinstance(ended, QwenbuildError):
                self._fail(step, ended, begun)
            elif ended is not None and step.entry:
                self.made[step.action.output] = step.entry.image
                self._recorder.add(step.action, step.entry.image, ended)
                self._finish(step, Outcome.RESTORED, time.monotonic() - begun)
            else:
                self._mend(step, renders, "its stored bytes were damaged")
            if number % 8 == 7:  # telling takes its time: others are to have theirs in between
                await asyncio.sleep(0)

    def _mend(self, step: Step, renders: deque[Step], cause: str) -> None:
        """Have an image rendered whose bytes could not be had after all; once, for all outputs that want it."""
        again = step._replace(verdict=Verdict.RENDER, entry=None, shared=None, cause=cause,
                              price=self._provider.price(step.action.model.name))  # fmt: skip
        if step.pinned and again.price and not self._limits.relock:
            self._finish_all(step._replace(cause=f"the lock pins it, and {cause}"), Outcome.MISSING)
        elif step.action.key in self._damaged:
            self._followers.setdefault(step.action.key, []).append(again)
        else:
            self._damaged.add(step.action.key)
            renders.append(again)

    async def _pull(self, step: Step, renders: deque[Step]) -> None:
        begun, action = time.monotonic(), step.action
        assert self._remote is not None
        assert step.shared is not None
        try:
            pulled = await transfers.pull(self._remote, self._store, action.request, action.key, step.shared)
        except QwenbuildError as error:
            self._fail(step, error, begun)
            return
        if pulled is None:
            self._mend(step, renders, "the remote cache could not give it")
            return
        await self._materialise(step, *pulled, Outcome.RESTORED, begun)
        for follower in self._followers.pop(action.key, ()):
            await self._materialise(follower, *pulled, Outcome.RESTORED, time.monotonic())

    # --- render ---

    async def _render_all(self, renders: deque[Step], strays: deque[Submission]) -> None:
        try:
            async with self._provider.session():
                await self._reconcile(renders)
                await self._work(renders, self._provider.concurrency, self._render)
                await self._work(strays, self._provider.concurrency, self._collect)
        except QwenbuildError as error:  # the session could not be opened: no key, a wrong setting
            self._stop(error.claim, error.problems)

    async def _reconcile(self, renders: deque[Step]) -> None:
        """Look up, at the service, what became of submissions whose answer was lost."""
        unknown = [step for step in renders if step.verdict is Verdict.UNKNOWN]
        if not unknown:
            return
        handles: Mapping[int, str] = {}
        if isinstance(self._provider, Resumable):
            lost = [step.submission for step in unknown if step.submission]
            recent = await asyncio.to_thread(self._state.submissions_since, time.time() - _RECENT_S)
            known = [it for it in recent if it.provider == self._provider.name and it not in lost]
            told = asyncio.get_running_loop().call_later(_SILENCE_S, lambda: self._emit(LookingUp(len(lost))))
            try:
                with contextlib.suppress(Stopped):
                    handles = await self._stoppable(self._provider.reconcile(lost, known))
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
                self._finish_all(step, Outcome.UNKNOWN)

    async def _render(self, step: Step) -> None:
        begun = time.monotonic()
        action = step.action
        collected = step.submission if step.verdict is Verdict.REATTACH else None

        def start() -> None:
            try:
                self._emit(ImageStarted(action.name, action.output, step.verdict, step.reason))
            except Exception as error:
                self._view_fault = error
                raise

        # What costs money starts when it is sent: until then, nothing is lost where nobody wants it any more.
        is_sent = bool(step.price and not collected)
        journal = StateJournal(
            self._state, self._commits, self._provider.name, action.key, action.request, lambda: self._is_closed,
            collected=collected, force=self._limits.force, detach=self._limits.detach, start=start if is_sent else None,
        )  # fmt: skip
        try:
            self._spending.pay(step.price)
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
                self._fail(step, AnswerLost("left before the answer came: it may have been billed", hint=hint), begun)
            else:
                self._finish_all(step, Outcome.SUBMITTED if journal.handle else Outcome.SKIPPED)
            raise
        except Detached:
            self._finish_all(step, Outcome.SUBMITTED, time.monotonic() - begun)
            return
        except Stopped:
            self._spending.refund(step.price)
            self._finish_all(step, Outcome.SKIPPED)
            return
        except BudgetExceeded as error:
            self._stop(error.claim, error.problems, close=False)  # what is paid for already is still sent
            return
        except QwenbuildError as error:
            if isinstance(error, AnswerLost):
                await journal.lost()
            if journal.unbilled:
                self._spending.refund(step.price)
            self._fail(step, error, begun)
            return
        if self._pushing:
            self._pushing.add(entry)
        outcome = Outcome.REATTACHED if step.verdict is Verdict.REATTACH else Outcome.RENDERED
        await self._materialise(step, entry, image, outcome, begun)
        for follower in self._followers.pop(action.key, ()):
            await self._materialise(follower, entry, image, Outcome.RESTORED, time.monotonic())

    async def _collect(self, stray: Submission) -> None:
        """Collect an image that no spec asks for any more: it is paid for, and may be asked for again."""
        journal = StateJournal(
            self._state, self._commits, self._provider.name, stray.key, stray.request, lambda: self._is_closed,
            collected=stray,
        )  # fmt: skip
        try:
            if isinstance(self._provider, Resumable):
                rendered = await self._stoppable(self._provider.collect(stray, journal), journal)
                await asyncio.to_thread(
                    keep, self._store, self._provider.name, stray.key, stray.request, rendered, forced=stray.forced
                )
                await journal.settle("done")
                self._collected += 1
        except Stopped:
            return
        except QwenbuildError as error:  # a later build tries again, but where nothing can be had any more
            if isinstance(error, AnswerLost):
                await journal.lost()
            self._warn(error.problems)
            if error.stops_run:
                self._stop(error.claim)
        except Exception as error:  # a plugin's: it must not end the others
            self._warn(broken(self._provider.name, error).problems)

    async def _rendered(self, step: Step, journal: StateJournal) -> Rendered:
        """Return the provider's image; raises Detached, Stopped, ProviderError and StateError, nothing else."""
        if step.verdict is Verdict.REATTACH and self._limits.detach:
            raise Detached
        try:
            if step.verdict is Verdict.REATTACH and step.submission and isinstance(self._provider, Resumable):
                return await self._stoppable(self._provider.collect(step.submission, journal), journal)
            return await self._stoppable(self._provider.render(step.action.request, journal), journal)
        except (QwenbuildError, Detached, Stopped):
            raise
        except Exception as error:  # a plugin's: it must not end the other renders
            if error is self._view_fault:  # it came to be told through the plugin
                raise
            raise broken(self._provider.name, error) from error

    async def _stoppable(self, work: Coroutine[Any, Any, _T], journal: StateJournal | None = None) -> _T:
        """Return what `work` returns; raises Stopped where the build stops while `journal` has nothing open."""
        task = asyncio.ensure_future(work)
        self._under_way[task] = journal
        try:
            return await task
        except asyncio.CancelledError:
            if (journal and journal.is_open) or self._interrupt.count > 1:
                raise
            raise Stopped from None
        finally:
            del self._under_way[task]

    async def _materialise(self, step: Step, entry: Entry, image: bytes, outcome: Outcome, begun: float) -> None:
        if self._limits.locked and step.pinned not in ("", entry.image):
            other = step._replace(was=None, cause="the lock pins other bytes than rendering gave")
            self._finish(other, Outcome.MISSING, time.monotonic() - begun)
            return
        try:
            blob = self._store.blob_path(entry.image)
            written = await asyncio.to_thread(self._outputs.write, step.action.output, blob, image, step.seen)
        except OutputError as error:
            self._fail(step, error, begun)
            return
        self.made[step.action.output] = entry.image
        self._recorder.add(step.action, entry.image, written)
        self._finish(step, outcome, time.monotonic() - begun)
