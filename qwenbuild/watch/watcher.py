"""The watch: plans after each save, builds what is free, and renders what the user asks for.

Invariants:
- A save spends no money without `auto`. With `auto`, the watch stays within the budget, and never orders the
  same request twice.
- One build runs at a time, and the project's lock is held only while it runs. If a save makes a build obsolete,
  the images that have been started are finished and kept; the others are dropped.
- An output that is deleted is restored from the store; one that nobody has is paid for only with `auto`.
- Each save is followed by a reading that begins after it. So a file that was half-written is read again.
- The event loop reads no files: readings and builds run in threads.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial

from qwenbuild.engine.engine import Engine
from qwenbuild.errors import ProjectBusy, QwenbuildError, UsageError
from qwenbuild.events import (
    Delayed,
    Drafted,
    Emit,
    Event,
    Finished,
    ImageFinished,
    ImageStarted,
    Outcome,
    Replanned,
    Stopping,
    Warned,
)
from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.problems import Problem
from qwenbuild.provider import Price
from qwenbuild.specs.action import Action
from qwenbuild.specs.read_cache import ReadCache

from . import builds
from .builds import Order
from .drafts import Drafts
from .file_events import FileEvents, Images, Inputs, reported_names
from .live_state import Live, UnderWay
from .reading import read

_SETTLED_S = 1.0  # time without a save before `auto` spends money: an editor may write a file in two steps
_REFRESH_S = 0.5  # least time between two plans that follow a build's progress
_BUSY_S = 0.5  # between two attempts while another build holds the project's lock
# Looking up an enum's member is slow, and each plan does it for every cell.
_RESTORE, _UP_TO_DATE = Verdict.RESTORE, Verdict.UP_TO_DATE
_MISSING = (Verdict.RENDER, Verdict.REATTACH, Verdict.UNKNOWN, Verdict.MISSING, Verdict.FAILED)


class Watch:
    """One watch of a project; call `run` once. `live` is its state; `emit` is called with every event."""

    def __init__(self, engine: Engine, emit: Emit | None = None, *, auto: bool = False) -> None:
        """Raises UsageError if `auto` has no budget."""
        if auto and engine.max_cost is None:
            hint = "--max-cost 5, or max_cost under [budget] in the config"
            raise UsageError(
                "--auto spends money without asking, so it needs a budget", hint=hint, name="auto-without-budget"
            )
        engine.read_cache = ReadCache()
        self._engine, self._auto = engine, auto
        self._emit = emit or (lambda event: None)
        self.live = Live(engine)
        self.live.cost_left = engine.max_cost
        self.drafts = Drafts(engine.store, self._draft_made, self._drafting_failed)
        self._wake = asyncio.Event()
        self._is_leaving = False
        self._saved: set[str] = set()  # paths saved since the last reading began
        self._is_first = True
        self._is_outdated = True  # True if the files must be read again although nothing was saved
        self._is_config_faulty = False
        self._fault: QwenbuildError | None = None  # the error of the last reading
        self._of_picks: Sequence[Problem] = ()  # the mistakes in `picks.toml`
        self._build_problems: Sequence[Problem] = ()
        self._wanted: dict[str, str] = {}  # the plan's keys, by output path
        self._event_keys: dict[str, str] = {}  # the key that the last event of each cell belongs to, by output path
        self._order: Order | None = None
        self._build: asyncio.Task[None] | None = None
        self._free_ordered: set[str] = set()  # keys in free orders since the last save that are not there yet
        self._paid_ordered: set[str] = set()  # keys in paid orders, ever
        self._settled_at = 0.0  # by the loop's clock
        self._reading_s = 0.0  # duration of the last reading
        self._image_events = FileEvents(self._note_saved)  # apart: new folders of images interrupt no other events
        self._refresh: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Watch until `leave` was called and the running build has ended.

        Raises UsageError if the selection matches nothing at first, or if folders can't be watched.
        """
        file_events = FileEvents(self._note_saved)
        wishes = asyncio.create_task(self._follow_wishes())
        try:
            while self._build or not self._is_leaving:
                if (self._saved or self._is_outdated) and not self._is_leaving:
                    await self._read(file_events)
                    continue
                if not self._is_leaving and not self._build:
                    self._begin()
                await self._wake.wait()
                self._wake.clear()
        finally:
            wishes.cancel()
            if self._refresh:
                self._refresh.cancel()
            if self._build and self._order:
                self._order.interrupt.request()
                self._order.interrupt.request()
                await asyncio.wait({self._build})
            self.live.under_way = None
            self._show()
            await file_events.close()
            await self._image_events.close()
            await self.drafts.close()

    def leave(self) -> None:
        """Begin nothing more, and end after the running build. The second call ends the build at once.

        A later build collects the images that were in flight.
        """
        self._is_leaving = True
        self.drafts.pause()
        if self._order:
            self._order.interrupt.request()
        self._wake.set()

    async def _follow_wishes(self) -> None:
        async for _ in self.live.subscribe():
            if self.live.wishes:
                self._wake.set()

    # --- reading ---

    def _note_saved(self, paths: frozenset[str]) -> None:
        self._saved |= paths
        self._wake.set()

    async def _read(self, file_events: FileEvents) -> None:
        """Read the files, adopt the new plan, and watch the files that it depends on."""
        saved, self._saved, self._is_outdated = self._saved, set(), False
        is_first, self._is_first, begun = self._is_first, False, time.monotonic()
        is_building = self._build is not None
        if saved:
            self.drafts.pause()
            self._free_ordered.clear()
            self._build_problems = ()
            loop = asyncio.get_running_loop()
            self._settled_at = loop.time() + _SETTLED_S
            loop.call_later(_SETTLED_S, self._wake.set)
        config = {name for path in self._engine.project.searched for name in reported_names(str(path))}
        is_config_new = bool(saved & config) or self._is_config_faulty
        reading = await asyncio.to_thread(partial(read, self._engine, is_config_new=is_config_new))
        plan, fault = reading.plan, reading.fault
        self._is_config_faulty = is_config_new and reading.engine is self._engine
        self._engine = self.live.engine = reading.engine
        if is_first and isinstance(fault, UsageError):
            raise fault
        before = self._wanted, str(self._fault)
        earlier = self.live.plan  # kept until the new plan is shown: freeing a large plan takes as long as showing one
        self._fault, self._of_picks = fault, reading.of_picks
        self.live.picks = self.live.picks if reading.picks is None else reading.picks
        if plan:
            self._wanted = {step.action.output: step.action.key for step in plan.steps}
            self._adopt(plan)
        self._reading_s = time.monotonic() - begun
        if not is_building:
            self.live.under_way = None
        self._show()
        if plan and (warnings := [*plan.warnings, *plan.advice]):
            self._emit(Warned(warnings))
        if is_first or saved or before != (self._wanted, str(fault)):
            self._emit(self._replanned(saved))
        del earlier
        project, outputs = self._engine.project, [*self._wanted]
        inputs = await asyncio.to_thread(Inputs.of, project, self._engine.inputs)
        images = await asyncio.to_thread(Images.of, project, outputs)
        if await file_events.follow(inputs) | await self._image_events.follow(images):
            self._is_outdated = True  # a save may have been missed before its folder was watched

    def _adopt(self, plan: Plan) -> None:
        """Show a plan and draft its missing images. Drop wishes and stop the build if they became obsolete."""
        live = self.live
        if self._order:
            plan = replace(plan, steps=[_as_ordered(step, self._order) for step in plan.steps])
        if self._free_ordered:  # what is there may be ordered again once it is deleted
            self._free_ordered -= {it.action.key for it in plan.steps if it.verdict is _UP_TO_DATE}
        live.plan, live.project, live.routes = plan, self._engine.project, self._engine.routes
        live.events = {
            name: event for name, event in live.events.items()
            if self._wanted.get(event.path) == self._event_keys.get(event.path)
        }  # fmt: skip
        if live.wishes:
            keys = set(self._wanted.values())
            live.wishes = {name: wish for name, wish in live.wishes.items() if wish.key in keys}
        if self._order and not self._order.interrupt.count and self._order.is_obsolete(self._wanted):
            self._order.interrupt.request()
        costs = cache(self._engine.routes.costs)
        live.drafts = self.drafts.want(
            it.action for it in plan.steps if _is_missing(it) and costs(it.action.choice, it.action.model.name)
        )  # fmt: skip

    def _replanned(self, saved: set[str]) -> Replanned:
        root, plan = os.path.realpath(self._engine.project.root), self.live.plan or Plan(())
        changed = sorted(os.path.relpath(path, root) for path in saved)
        cost = {currency: str(amount) for currency, amount in plan.cost.items()}
        problems = tuple(self._fault.problems) if self._fault else ()
        return Replanned(changed, plan.counts, cost, self._reading_s, problems)

    def _show(self) -> None:
        self.live.is_faulty = self._fault is not None
        of_files = self._fault.problems if self._fault else ()
        self.live.problems = (*of_files, *self._of_picks, *self._build_problems)
        limit, spent = self._engine.max_cost, self.live.spent.get("CNY", Decimal(0))
        self.live.cost_left = None if limit is None else max(Decimal(0), limit - spent)
        self.live.changed()

    # --- drafts ---

    def _draft_made(self, action: Action, digest: str) -> None:
        if self._wanted.get(action.output) == action.key:
            self.live.drafts[action.output] = digest
            self.live.changed()
            self._emit(Drafted(action.name, action.output, digest))

    def _drafting_failed(self, error: QwenbuildError) -> None:
        self._build_problems = (*self._build_problems, *error.problems)
        self._show()

    # --- building ---

    def _begin(self) -> None:
        """Begin the next build, if there is something to build and the files have no errors."""
        order = None if self._fault else self._next()
        if order:
            self._order = order
            self.live.under_way = UnderWay(order.left, order.begun, len(order.left), time.monotonic())
            self._build = asyncio.create_task(self._carry_out(order))
            self._show()

    def _next(self) -> Order | None:
        live = self.live
        if live.plan is None:
            return None
        while live.wishes:
            if order := builds.wished_order(live.plan, live.wishes, live.cost_left):
                self._build_problems = ()
                return order
        if order := builds.free_order(live.plan, self._free_ordered):
            self._free_ordered |= order.keys
            return order
        if self._auto and live.cost_left is not None and asyncio.get_running_loop().time() >= self._settled_at:
            order = builds.paid_order(live.plan, self._paid_ordered, live.cost_left)
            if order:
                self._paid_ordered |= order.keys
            return order
        return None

    async def _carry_out(self, order: Order) -> None:
        spent = dict(self.live.spent)
        try:
            while not order.interrupt.count:
                try:
                    await builds.carry_out(self._engine, order, lambda event: self._on(order, event, spent))
                    self._paid_ordered -= order.edited
                    break
                except ProjectBusy as error:
                    self._build_problems = error.problems
                    self._show()
                    await asyncio.sleep(_BUSY_S)
                    self._build_problems = ()
        except QwenbuildError as error:
            self._build_problems = error.problems
        if order.interrupt.count:  # images that did not start may be ordered again
            self._free_ordered -= order.keys
            self._paid_ordered -= order.keys
            left = {step.action.name for step in order.left.values()}
            for name, wish in order.wishes.items():
                if name in left:
                    self.live.wishes.setdefault(name, wish)
        self._order = self._build = None
        self.live.delayed.clear()
        self._is_outdated = True
        self._show()
        self._wake.set()

    def _on(self, order: Order, event: Event, before: Mapping[str, Decimal]) -> None:
        """Adopt an event of a build. `before`: the money that had been spent when the build began."""
        live = self.live
        step = order.take(event)
        if step and isinstance(event, ImageStarted | ImageFinished):
            self._event_keys[event.path] = step.action.key
            live.events[event.name] = event
        match event:
            case Delayed(name=name):
                live.delayed[name] = event
            case ImageFinished(outcome=outcome) if step:
                live.delayed.pop(event.name, None)
                self._refresh_soon()
                if outcome is Outcome.RENDERED:
                    price = self._engine.routes.price(step.action.choice, step.action.model.name, step.action.size)
                    live.spent = Price.by_currency([price], live.spent)
            case Stopping(reason=reason, problems=problems) if reason != "interrupted":
                self._build_problems = (*self._build_problems, *problems)
            case Warned(problems=problems):
                self._build_problems = (*self._build_problems, *problems)
            case Finished(cost=cost):
                prices = [Price(Decimal(amount), currency) for currency, amount in cost.items()]
                live.spent = Price.by_currency(prices, before)
        self._emit(event)
        self._show()

    def _refresh_soon(self) -> None:
        """Plan again soon, so that views see the images of a running build."""
        if self._refresh is None:
            delay_s = max(_REFRESH_S, 5 * self._reading_s)  # plans must leave processor time to rendering
            self._refresh = asyncio.get_running_loop().call_later(delay_s, self._refresh_now)

    def _refresh_now(self) -> None:
        self._refresh, self._is_outdated = None, True
        self._wake.set()


def _as_ordered(step: Step, order: Order) -> Step:
    """Return the step as it was ordered while its render is in flight, so that it is not shown as UNKNOWN."""
    ordered = order.left.get(step.action.output)
    under_way = step.verdict in (Verdict.UNKNOWN, Verdict.REATTACH)
    return ordered if under_way and ordered and ordered.action.key == step.action.key else step


def _is_missing(step: Step) -> bool:
    """Return True if the cell's image is neither in `out/` nor in the store."""
    return step.verdict in _MISSING or (step.verdict is _RESTORE and not (step.entry or step.shared))
