"""Carries out a plan: what the store or a remote cache has is restored, what nobody has is rendered.

Invariants:
- The event loop never touches the disk: files, store and state are reached through threads.
- A failed write to `out/` never costs a render: the next build finds the bytes in the store.
- A file that changed since the plan saw it is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence

from qwenbuild.errors import OutputError, QwenbuildError, StateError
from qwenbuild.events import Emit, Finished, Outcome, Started, Warned
from qwenbuild.plan.judge import is_done
from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.problems import Problem
from qwenbuild.provider import Provider
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.outputs import Outputs
from qwenbuild.storage.records import Output
from qwenbuild.storage.remote import transfer
from qwenbuild.storage.remote.cache import Remote
from qwenbuild.storage.remote.transfer import Pushing
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

from . import restore
from .commits import Commits
from .endings import Endings
from .interrupt import Interrupt
from .recorder import Recorder
from .render import Rendering
from .workers import Limits, Work

_PULLS = 8  # at once, each with an image in memory
_ASKED_FOR = (Verdict.RENDER, Verdict.REATTACH, Verdict.UNKNOWN)


class Builder:
    """One build. Used once: `run` the plan."""

    def __init__(
        self, plan: Plan, outputs: Outputs, state: State, store: Store, provider: Provider, limits: Limits,
        emit: Emit, interrupt: Interrupt, begun: float, remote: Remote | None = None,
    ) -> None:  # fmt: skip
        self._plan, self._outputs = plan, outputs
        self._state, self._store, self._provider, self._limits, self._emit = state, store, provider, limits, emit
        self._interrupt, self._begun = interrupt, begun  # begun: time.monotonic() when the user's wait began
        self._work = Work(provider, interrupt, emit)
        self._endings = Endings(plan.steps, self._work, emit, fail_fast=limits.fail_fast)
        self._commits = Commits(state)
        self._recorder = Recorder(state, lambda error: self._work.stop(error.claim, error.problems))
        self._rendering = Rendering(
            provider, state, store, self._commits, limits, self._work, self._endings, emit, self._kept
        )
        self._carrying: asyncio.Task[None] | None = None
        self._remote = remote
        # Connecting takes its time; what is here already needs no remote cache.
        is_asked = any(step.shared or step.verdict in _ASKED_FOR for step in plan.steps)
        self._pushing = Pushing(remote, store) if remote and is_asked else None
        self._damaged: set[str] = set()  # keys whose stored bytes could not be used

    @property
    def recorded(self) -> Mapping[str, Output]:
        """The outputs that this build found or put in place, by path."""
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
        self._endings.finish_rest()
        counts = {outcome.value: self._endings.counts[outcome] for outcome in Outcome}
        finished = Finished(
            **counts,
            seconds=time.monotonic() - self._begun,
            orphans=len(self._plan.orphans),
            strays=self._rendering.collected,
            interrupted=self._interrupt.count > 0,
            cost={currency: str(amount) for currency, amount in self._rendering.spending.amounts.items()},
            problems=tuple(self._work.problems),
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
                        self._recorder.add(step.action, step.adopted, step.seen)
                    self._endings.finish(step, Outcome.UP_TO_DATE)
                case Verdict.EDITED:
                    self._endings.finish(step, Outcome.EDITED)
                case Verdict.MISSING:
                    self._endings.finish(step, Outcome.MISSING)
                case Verdict.RESTORE if step.entry:
                    restores.append(step)
                case Verdict.RESTORE if step.shared:
                    pulls.append(step)
                case Verdict.RESTORE | Verdict.UNKNOWN if step.submission is None:
                    self._endings.follow(step)
                case _:
                    renders.append(step)
        batches = deque(restore.batches(restores))
        workers = 1 + (os.cpu_count() or 1)  # one waits for the disk, or for the event loop to tell what it did
        await self._work.through(batches, workers, lambda steps: self._restore(steps, renders))
        await self._work.through(pulls, _PULLS, lambda step: self._pull(step, renders))
        strays = deque(() if self._limits.detach else self._plan.strays)
        if (renders or strays) and not self._work.is_stopped:
            await self._rendering.run(renders, strays)

    def _interrupted(self) -> None:
        self._work.stop("interrupted")
        if self._pushing:
            self._pushing.hurry()
        if self._interrupt.count > 1 and self._carrying:
            self._carrying.cancel()

    # --- restore ---

    async def _restore(self, steps: Sequence[Step], renders: deque[Step]) -> None:
        begun = time.monotonic()
        restored = await asyncio.to_thread(restore.restore, steps, self._store, self._outputs)
        for number, (step, ended) in enumerate(restored):
            if isinstance(ended, QwenbuildError):
                self._endings.fail(step, ended, begun)
            elif ended is not None and step.entry:
                self._recorder.add(step.action, step.entry.image, ended)
                self._endings.finish(step, Outcome.RESTORED, time.monotonic() - begun)
            else:
                self._mend(step, renders, "its stored bytes were damaged")
            if number % 8 == 7:  # telling takes its time: others are to have theirs in between
                await asyncio.sleep(0)

    def _mend(self, step: Step, renders: deque[Step], cause: str) -> None:
        """Have an image rendered whose bytes could not be had after all; once, for all outputs that want it."""
        again = step._replace(verdict=Verdict.RENDER, entry=None, shared=None, cause=cause,
                              price=self._provider.price(step.action.model.name))  # fmt: skip
        if step.pinned and again.price and not self._limits.relock:
            self._endings.finish_all(step._replace(cause=f"the lock pins it, and {cause}"), Outcome.MISSING)
        elif step.action.key in self._damaged:
            self._endings.follow(again)
        else:
            self._damaged.add(step.action.key)
            renders.append(again)

    async def _pull(self, step: Step, renders: deque[Step]) -> None:
        begun, action = time.monotonic(), step.action
        assert self._remote is not None
        assert step.shared is not None
        try:
            pulled = await transfer.pull(self._remote, self._store, action.request, action.key, step.shared)
        except QwenbuildError as error:
            self._endings.fail(step, error, begun)
            return
        if pulled is None:
            self._mend(step, renders, "the remote cache could not give it")
            return
        await self._materialise_all(step, *pulled, Outcome.RESTORED, begun)

    # --- what is in the store ---

    async def _kept(self, step: Step, entry: Entry, image: bytes, outcome: Outcome, begun: float) -> None:
        if self._pushing:
            self._pushing.add(entry)
        await self._materialise_all(step, entry, image, outcome, begun)

    async def _materialise_all(self, step: Step, entry: Entry, image: bytes, outcome: Outcome, begun: float) -> None:
        """Write the output of a step, and those of the steps that wait for its bytes."""
        await self._materialise(step, entry, image, outcome, begun)
        for follower in self._endings.take_followers(step):
            await self._materialise(follower, entry, image, Outcome.RESTORED, time.monotonic())

    async def _materialise(self, step: Step, entry: Entry, image: bytes, outcome: Outcome, begun: float) -> None:
        if self._limits.locked and step.pinned not in ("", entry.image):
            other = step._replace(was=None, cause="the lock pins other bytes than rendering gave")
            self._endings.finish(other, Outcome.MISSING, time.monotonic() - begun)
            return
        try:
            blob = self._store.blob_path(entry.image)
            written = await asyncio.to_thread(self._outputs.write, step.action.output, blob, image, step.seen)
        except OutputError as error:
            self._endings.fail(step, error, begun)
            return
        self._recorder.add(step.action, entry.image, written)
        self._endings.finish(step, outcome, time.monotonic() - begun)
