"""The builder: carries out a plan, restoring what store and remote cache have, then rendering.

Invariants:
- The event loop never touches the disk: threads read and write files, store and state.
- A failed write to `out/` never costs a render: the next build finds the bytes in the store.
- A file that changed after the plan was made is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from qwenbuild.errors import ExecutorError, LedgerError, QwenbuildError, StateError, StoreError
from qwenbuild.events import Finished, Outcome, Started, Warned
from qwenbuild.plan import lacking, leaving
from qwenbuild.plan.in_flight import is_done
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.problems import Problem
from qwenbuild.provider import Stopped
from qwenbuild.request import Submission
from qwenbuild.specs.action import Action
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.lanes import Lane
from qwenbuild.storage.records import Output
from qwenbuild.storage.remote import transfer
from qwenbuild.storage.remote.transfer import Pushing

from . import restore
from .budget import Spending
from .endings import Endings
from .interrupt import Threads
from .journal import settle_stored
from .keep import copied
from .recorder import Recorder
from .render import Rendering
from .run import Run
from .workers import Workers
from .writing import YIELD_EVERY, Ready, Writing

_PULLS = 8  # pulls at once; each holds one image in memory
_NEEDS_PROVIDER = (Verdict.RENDER, Verdict.REATTACH, Verdict.UNKNOWN)


def carry_out(run: Run) -> tuple[Finished, Mapping[str, Output], Mapping[str, Action]]:
    """Build in an event loop; return how it ended, what it wrote or recognised, and the actions that it rendered.

    Outputs and actions are by path. The actions have the seeds that were drawn.
    """
    builder = Builder(run)

    async def build() -> Finished:
        asyncio.get_running_loop().set_default_executor(Threads(run.interrupt))
        gc.freeze()  # else each collection examines the plan: 0.1 s for 100,000 cells
        try:
            with run.interrupt.by_signals():
                return await builder.build()
        finally:
            gc.unfreeze()

    return asyncio.run(build()), builder.recorded, builder.rendered


class Builder:
    """One build. Call `build` once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._workers = Workers(run)
        self._recorder = Recorder(run.state, lambda error: self._workers.stop(error.claim, error.problems))
        self._endings = Endings(run, self._workers, self._recorder)
        self._spending = Spending(run.options.max_cost)
        self._outputs = Writing(run, self._endings, self._recorder)
        self._parts = {
            id(lane.provider): Rendering(
                replace(run, lane=lane), self._workers, self._endings, self._spending, self._kept, self._all_kept
            )
            for lane in run.lanes
        }
        self._strays: Sequence[tuple[Submission, Lane]] = ()  # that the plan has, each with the lane that collects it
        self._carrying_out: asyncio.Task[None] | None = None
        # Connecting takes time, so a build whose images are all here does not connect.
        needs_remote = any(step.shared or step.verdict in _NEEDS_PROVIDER for step in run.plan.steps)
        self._pushing = Pushing(run.remote, run.store) if run.remote and needs_remote else None
        self._damaged: set[str] = set()  # keys whose stored bytes could not be used

    @property
    def recorded(self) -> Mapping[str, Output]:
        """The outputs that this build wrote or recognised, by path."""
        return self._recorder.outputs

    @property
    def rendered(self) -> Mapping[str, Action]:
        """The actions of the outputs that this build wrote, by path, with the seeds that were drawn."""
        return self._recorder.drawn

    async def build(self) -> Finished:
        """Carry out the plan and return how it ended. One output's failure does not end the others."""
        run, plan = self._run, self._run.plan
        dropped, returned = leaving.dropped(plan), leaving.returned(plan)
        is_idle = not (plan.strays or dropped or returned) and all(
            step.verdict is Verdict.UP_TO_DATE and not step.adopted for step in plan.steps
        )
        number = None if is_idle else await asyncio.to_thread(self._begin)
        run.emit(Started(run.lanes.names, plan.counts))
        self._warn(plan.warnings)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._recorder.running())
            for rendering in self._parts.values():
                await stack.enter_async_context(rendering.commits.running())
            if run.remote and self._pushing:
                await stack.enter_async_context(run.remote)
                await stack.enter_async_context(self._pushing.running())
            self._carrying_out = asyncio.create_task(self._carry_out())
            run.interrupt.listen(self._interrupted)
            try:
                await self._carrying_out
            except asyncio.CancelledError:
                if run.interrupt.count < 2:
                    raise
        if run.remote and self._pushing:
            self._warn([*run.remote.warnings(), *self._pushing.warnings])
        self._endings.finish_rest()
        missing = self._endings.counts[Outcome.MISSING]
        if lack := lacking.problem(missing, plan.pointers, has_remote=plan.has_remote):
            self._warn([lack])
        finished = self._finished()
        if number is not None:
            summary = {
                **self._counts, "cost": finished.cost, "seconds": round(finished.seconds, 3),
                "exit_code": finished.exit_code, "dropped": dropped, "returned": returned,
            }  # fmt: skip
            with contextlib.suppress(StateError):  # a full disk was reported when it mattered
                await asyncio.to_thread(run.state.end_run, number, summary)
        run.emit(finished)
        return finished

    @property
    def _counts(self) -> dict[str, int]:
        return {outcome.value: self._endings.counts[outcome] for outcome in Outcome}

    def _finished(self) -> Finished:
        return Finished(
            **self._counts,
            seconds=time.monotonic() - self._run.begun_s,
            orphans=len(self._run.plan.orphans),
            strays=sum(rendering.strays.collected for rendering in self._parts.values()),
            interrupted=self._run.interrupt.count > 0,
            signal=self._run.interrupt.signal,
            cost={currency: str(amount) for currency, amount in self._spending.amounts.items()},
            problems=tuple(self._workers.problems),
        )

    def _warn(self, problems: Sequence[Problem]) -> None:
        if problems:
            self._run.emit(Warned(problems))

    def _begin(self) -> int:
        """Clean up what a crash left, find who collects the strays, and return the number of this run in the state."""
        run = self._run
        run.outputs.sweep()
        for lane in run.lanes:
            if any(is_done(it, run.store) for it in lane.submissions.mirrored() if it.provider == lane.provider.name):
                with contextlib.suppress(LedgerError):  # a build that renders reports it; others can wait
                    lane.submissions.prepare()
                    settle_stored(lane.submissions, run.store)
        if wanted := set() if run.options.detach else {it.key for it in run.plan.strays}:
            found = run.lanes.collected_by()
            self._strays = [(it, lane) for it, lane in found if lane and it.key in wanted]
        return run.state.begin_run()

    async def _carry_out(self) -> None:
        """Restore what the store has, pull what a remote cache has, then render the rest."""
        restores: deque[Step] = deque()
        pulls: deque[Step] = deque()
        copies: deque[Step] = deque()
        renders: deque[Step] = deque()
        for step in self._run.plan.steps:
            match step.verdict:
                case Verdict.UP_TO_DATE:
                    if step.adopted and step.seen:
                        self._recorder.add(step.action, step.adopted, step.seen)
                    self._endings.leave(step)
                case Verdict.EDITED:
                    self._endings.finish(step, Outcome.EDITED)
                case Verdict.MISSING:
                    self._endings.finish(step, Outcome.MISSING)
                case Verdict.FAILED:
                    self._endings.withhold(step)
                case Verdict.RESTORE if step.entry:
                    restores.append(step)
                case Verdict.RESTORE if step.shared:
                    pulls.append(step)
                case Verdict.RESTORE if step.copy:
                    copies.append(step)
                case Verdict.RESTORE | Verdict.UNKNOWN if step.submission is None:
                    self._endings.follow(step)
                case _:
                    renders.append(step)
        batches = deque(restore.batches(restores))
        count = 1 + (os.cpu_count() or 1)  # one more than processors, because one worker usually waits
        await self._workers.drain(batches, count, lambda steps: self._restore(steps, renders))
        await self._workers.drain(copies, count, lambda step: self._copy(step, renders))
        await self._workers.drain(pulls, _PULLS, lambda step: self._pull(step, renders))
        if (renders or self._strays) and not self._workers.is_stopped:
            await self._render_all(renders)

    async def _render_all(self, renders: Iterable[Step]) -> None:
        """Render the steps and collect the strays; each provider works on its own at the same time."""
        work: dict[int, tuple[deque[Step], deque[Submission]]] = {}
        for step in renders:
            provider = self._run.lanes.of(step.action.choice).provider
            work.setdefault(id(provider), (deque(), deque()))[0].append(step)
        for stray, lane in self._strays:
            work.setdefault(id(lane.provider), (deque(), deque()))[1].append(stray)
        self._workers.parts = len(work)
        away = self._run.away
        is_any_away = any(self._parts[at].orders.takes(step) for at, (steps, _) in work.items() for step in steps)
        async with contextlib.AsyncExitStack() as stack:
            if away and is_any_away:
                try:
                    await self._workers.until_stopped(stack.enter_async_context(away.executor.running()))
                except Stopped:
                    return
                except ExecutorError as error:  # nothing was begun, and nothing was paid for
                    self._workers.stop(error.claim, error.problems)
                    return
            await self._render_parts(work)

    async def _render_parts(self, work: Mapping[int, tuple[deque[Step], deque[Submission]]]) -> None:
        parts = [asyncio.create_task(self._parts[at].run(*left)) for at, left in work.items()]
        try:
            await asyncio.gather(*parts)
        finally:  # a task group would wrap the error of a view
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    def _interrupted(self) -> None:
        self._workers.stop("interrupted")
        if self._pushing:
            self._pushing.hurry()
        if self._run.interrupt.count > 1 and self._carrying_out:
            self._carrying_out.cancel()

    # --- restore ---

    async def _restore(self, steps: Sequence[Step], renders: deque[Step]) -> None:
        begun_s = time.monotonic()
        restored = await asyncio.to_thread(restore.restore, steps, self._run.store, self._run.outputs)
        for number, (step, result) in enumerate(restored, 1):
            if isinstance(result, QwenbuildError):
                self._endings.fail(step, result, begun_s)
            elif result is not None and step.entry:
                self._recorder.add(step.action, step.entry.image, result)
                self._endings.finish(step, Outcome.RESTORED, time.monotonic() - begun_s)
            else:
                self._render_instead(step, renders, "its stored bytes were damaged")
            if number % YIELD_EVERY == 0:  # emitting takes time: let other tasks run
                await asyncio.sleep(0)

    def _render_instead(self, step: Step, renders: deque[Step], cause: str) -> None:
        """Render an image whose stored bytes can't be used: once for all outputs that want it."""
        again = step._replace(verdict=Verdict.RENDER, entry=None, shared=None, cause=cause,
                              price=self._run.price(step.action))  # fmt: skip
        if step.pinned and self._run.gives_other_bytes(step.action) and not self._run.options.relock:
            self._endings.finish_all(step._replace(cause=f"the lock pins it, and {cause}"), Outcome.MISSING)
        elif step.action.key in self._damaged:
            self._endings.follow(again)
        else:
            self._damaged.add(step.action.key)
            renders.append(again)

    async def _copy(self, step: Step, renders: deque[Step]) -> None:
        """Copy an image from another output or from a blob. The store has its bytes then, but no action result."""
        begun_s = time.monotonic()
        assert step.copy is not None
        path, image = self._run.outputs.path(step.copy[0]), step.copy[1]
        try:
            content = await asyncio.to_thread(copied, self._run.store, path, image)
        except StoreError as error:
            self._endings.fail(step, error, begun_s)
            return
        if content is None:
            self._render_instead(step, renders, f"{step.copy[0]} was changed")
        else:
            await self._outputs.write(Ready(step, image, content, Outcome.RESTORED, begun_s))

    async def _pull(self, step: Step, renders: deque[Step]) -> None:
        begun_s, action = time.monotonic(), step.action
        assert self._run.remote is not None
        assert step.shared is not None
        try:
            pulled = await transfer.pull(self._run.remote, self._run.store, action.request, action.key, step.shared)
        except QwenbuildError as error:
            self._endings.fail(step, error, begun_s)
            return
        if pulled is None:
            self._render_instead(step, renders, "the remote cache could not deliver it")
            return
        entry, content = pulled
        await self._outputs.write(Ready(step, entry.image, content, Outcome.RESTORED, begun_s))

    # --- outputs ---

    async def _kept(self, step: Step, entry: Entry, image: bytes, outcome: Outcome, begun_s: float) -> bool:
        """See `others.Kept`."""
        self._push(entry)
        return await self._outputs.write(Ready(step, entry.image, image, outcome, begun_s))

    async def _all_kept(self, batch: Sequence[tuple[Entry, Ready]]) -> None:
        """See `batches.AllKept`."""
        for entry, _ in batch:
            self._push(entry)
        await self._outputs.write_all([ready for _, ready in batch])

    def _push(self, entry: Entry) -> None:
        is_there = any(entry.key in rendering.orders.stored for rendering in self._parts.values())
        if self._pushing and not is_there:
            self._pushing.add(transfer.shareable(entry))
