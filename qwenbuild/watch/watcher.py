"""A watch: reads the project again at each save, makes at once what is free, and what costs money when asked to.

Invariants:
- A save spends nothing, unless the watch was told to (`auto`), and then within the budget only;
  what `auto` has asked for once it never asks for again.
- One build at a time; the project's lock is held only while it runs. What it has begun when a
  save makes it obsolete is finished and kept; what waits is dropped.
- Each save is followed by a reading that begins after it, so that a half-written file is read again.
- The event loop reads no files: readings and builds run in threads.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from qwenbuild.engine.engine import Engine
from qwenbuild.errors import ProjectBusy, QwenbuildError, UsageError
from qwenbuild.events import (
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
from .drafts import Drafting
from .file_events import Basis, Saves, names
from .live_state import Live, UnderWay

_SETTLED_S = 1.0  # without a save, before `auto` spends money: an editor may write in two strokes
_REFRESH_S = 0.5  # at least, between two plans that follow a build's progress
_RESTORE = Verdict.RESTORE  # an enum's members are looked up slowly, and each plan asks of every cell
_MISSING = (Verdict.RENDER, Verdict.REATTACH, Verdict.UNKNOWN, Verdict.MISSING)
_BUSY_S = 0.5  # between two tries while another build holds the project's lock


class Watch:
    """One watch of a project: `run` it, once. `live` is what it knows; `tell` gets every event."""

    def __init__(self, engine: Engine, tell: Emit | None = None, *, auto: bool = False) -> None:
        """Raises UsageError for `auto` without a budget."""
        if auto and engine.max_cost is None:
            hint = "--max-cost 5, or max_cost under [budget] in the config"
            raise UsageError("--auto spends money by itself: it needs a budget", hint=hint)
        engine.read_cache = ReadCache()
        self._engine, self._auto = engine, auto
        self._tell = tell or (lambda event: None)
        self.live = Live(engine)
        self.live.cost_left = engine.max_cost
        self.drafting = Drafting(engine.store, self._drafted, self._failed)
        self._wake = asyncio.Event()
        self._leaving = False
        self._saved: set[str] = set()  # paths, since the last reading began
        self._is_first = True
        self._again = True  # whether to read again although nothing was saved
        self._is_config_faulty = False
        self._fault: QwenbuildError | None = None  # of the files, as they were read last
        self._build_problems: Sequence[Problem] = ()
        self._keys: dict[str, str] = {}  # that the plan wants, by output path
        self._happened: dict[str, str] = {}  # keys that the last events were about, by output path
        self._order: Order | None = None
        self._build: asyncio.Task[None] | None = None
        self._tried: set[str] = set()  # keys of free images that were made by themselves since the last save
        self._bought: set[str] = set()  # keys that `auto` has asked for
        self._settled_at = 0.0  # by the loop's clock
        self._reading_s = 0.0  # how long the last one took
        self._refresh: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Watch until `leave` is called, and what was under way then has ended.

        Raises UsageError where the selection names nothing at first, or saves can't be noticed.
        """
        saves = Saves(self._note)
        wishes = asyncio.create_task(self._follow_wishes())
        try:
            while self._build or not self._leaving:
                if (self._saved or self._again) and not self._leaving:
                    await self._read(saves)
                    continue
                if not self._leaving and not self._build:
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
            await saves.close()
            await self.drafting.close()

    def leave(self) -> None:
        """Begin nothing more, and end once what is under way has; called again, a later build collects that."""
        self._leaving = True
        self.drafting.pause()
        if self._order:
            self._order.interrupt.request()
        self._wake.set()

    async def _follow_wishes(self) -> None:
        async for _ in self.live.subscribe():
            if self.live.wishes:
                self._wake.set()

    # --- reading ---

    def _note(self, paths: frozenset[str]) -> None:
        self._saved |= paths
        self._wake.set()

    async def _read(self, saves: Saves) -> None:
        """Read the files, take over what they say, and follow what was read."""
        saved, self._saved, self._again = self._saved, set(), False
        is_first, self._is_first, begun = self._is_first, False, time.monotonic()
        is_building = self._build is not None
        if saved:
            self.drafting.pause()
            self._tried.clear()
            self._build_problems = ()
            loop = asyncio.get_running_loop()
            self._settled_at = loop.time() + _SETTLED_S
            loop.call_later(_SETTLED_S, self._wake.set)
        config = {name for path in self._engine.project.searched for name in names(str(path))}
        is_config_new = bool(saved & config) or self._is_config_faulty
        engine, plan, fault = await asyncio.to_thread(_plan, self._engine, is_config_new)
        self._is_config_faulty = is_config_new and engine is self._engine
        self._engine = engine
        if is_first and isinstance(fault, UsageError):
            raise fault
        before = self._keys, str(self._fault)
        earlier = self.live.plan  # to take a large plan apart takes as long as to show a new one
        self._fault = fault
        if plan:
            self._keys = {step.action.output: step.action.key for step in plan.steps}
            self._adopt(plan)
        self._reading_s = time.monotonic() - begun
        if not is_building:
            self.live.under_way = None
        self._show()
        if plan and plan.warnings:
            self._tell(Warned(plan.warnings))
        if is_first or saved or before != (self._keys, str(fault)):
            self._tell(self._replanned(saved))
        del earlier
        basis = await asyncio.to_thread(Basis.of, self._engine.project, self._engine.inputs)
        if await saves.follow(basis):
            self._again = True  # a save before its folder was followed was not noticed

    def _adopt(self, plan: Plan) -> None:
        """Take over a plan: what it does not want any more is dropped, what it wants drafted is drafted."""
        live = self.live
        if self._order:
            plan = replace(plan, steps=[_as_ordered(step, self._order) for step in plan.steps])
        live.plan, live.project, live.provider = plan, self._engine.project, self._engine.provider
        live.events = {
            name: event for name, event in live.events.items()
            if self._keys.get(event.path) == self._happened.get(event.path)
        }  # fmt: skip
        if self._order and not self._order.interrupt.count and self._order.is_obsolete(self._keys):
            self._order.interrupt.request()
        priced = {name for name in {step.action.model.name for step in plan.steps} if self._engine.provider.price(name)}
        live.drafts = self.drafting.want(
            step.action for step in plan.steps if _is_missing(step) and step.action.model.name in priced
        )  # fmt: skip

    def _replanned(self, saved: set[str]) -> Replanned:
        root, plan = os.path.realpath(self._engine.project.root), self.live.plan or Plan(())
        changed = sorted(os.path.relpath(path, root) for path in saved)
        cost = {currency: str(amount) for currency, amount in plan.cost.items()}
        problems = tuple(self._fault.problems) if self._fault else ()
        return Replanned(changed, plan.counts, cost, self._reading_s, problems)

    def _show(self) -> None:
        self.live.is_faulty = self._fault is not None
        self.live.problems = (*(self._fault.problems if self._fault else ()), *self._build_problems)
        limit, spent = self._engine.max_cost, self.live.spent.get("CNY", Decimal(0))
        self.live.cost_left = None if limit is None else max(Decimal(0), limit - spent)
        self.live.changed()

    # --- drafts ---

    def _drafted(self, action: Action, digest: str) -> None:
        if self._keys.get(action.output) == action.key:
            self.live.drafts[action.output] = digest
            self.live.changed()
            self._tell(Drafted(action.name, action.output, digest))

    def _failed(self, error: QwenbuildError) -> None:
        self._build_problems = (*self._build_problems, *error.problems)
        self._show()

    # --- building ---

    def _begin(self) -> None:
        """Begin the next build, where there is something to build and the files are sound."""
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
            if order := builds.asked_for(live.plan, live.wishes, live.cost_left):
                self._build_problems = ()
                return order
        if order := builds.free(live.plan, self._tried):
            self._tried |= order.keys
            return order
        if self._auto and live.cost_left is not None and asyncio.get_running_loop().time() >= self._settled_at:
            order = builds.bought(live.plan, self._bought, live.cost_left)
            if order:
                self._bought |= order.keys
            return order
        return None

    async def _carry_out(self, order: Order) -> None:
        spent = dict(self.live.spent)
        try:
            while not order.interrupt.count:
                try:
                    await builds.carry_out(self._engine, order, lambda event: self._on(order, event, spent))
                    self._bought -= order.edited
                    break
                except ProjectBusy as error:
                    self._build_problems = error.problems
                    self._show()
                    await asyncio.sleep(_BUSY_S)
                    self._build_problems = ()
        except QwenbuildError as error:
            self._build_problems = error.problems
        if order.interrupt.count:  # what was dropped before it began is to be had again, where it is still wanted
            self._tried -= order.keys
            self._bought -= order.keys
            names = {step.action.name for step in order.left.values()}
            for name, wish in order.wishes.items():
                if name in names:
                    self.live.wishes.setdefault(name, wish)
        self._order = self._build = None
        self._again = True
        self._show()
        self._wake.set()

    def _on(self, order: Order, event: Event, before: Mapping[str, Decimal]) -> None:
        """Take an event of a build; `before` is what had been spent when it began."""
        live = self.live
        step = order.take(event)
        if step and isinstance(event, ImageStarted | ImageFinished):
            self._happened[event.path] = step.action.key
            live.events[event.name] = event
        match event:
            case ImageFinished(outcome=outcome) if step:
                self._refresh_soon()
                if outcome is Outcome.RENDERED:
                    price = self._engine.provider.price(step.action.model.name)
                    live.spent = Price.by_currency([price], live.spent)
            case Stopping(reason=reason, problems=problems) if reason != "interrupted":
                self._build_problems = (*self._build_problems, *problems)
            case Warned(problems=problems):
                self._build_problems = (*self._build_problems, *problems)
            case Finished(cost=cost):
                prices = [Price(Decimal(amount), currency) for currency, amount in cost.items()]
                live.spent = Price.by_currency(prices, before)
        self._tell(event)
        self._show()

    def _refresh_soon(self) -> None:
        """Plan again before long, so that views see images as they come."""
        if self._refresh is None:
            delay_s = max(_REFRESH_S, 5 * self._reading_s)  # reading is not to take what rendering needs
            self._refresh = asyncio.get_running_loop().call_later(delay_s, self._refresh_now)

    def _refresh_now(self) -> None:
        self._refresh, self._again = None, True
        self._wake.set()


def _plan(engine: Engine, is_config_new: bool) -> tuple[Engine, Plan | None, QwenbuildError | None]:
    """Return the plan, or why there is none, and the engine of the project as it is now; runs in a thread."""
    try:
        if is_config_new:
            reloaded, root = engine.reloaded(), engine.project.root
            if reloaded.project.root != root:
                raise UsageError(f"{root} has no config any more", facts=[f"found: {reloaded.project.root}"])
            reloaded.read_cache = ReadCache()
            engine = reloaded
        return engine, engine.plan(), None
    except QwenbuildError as error:
        return engine, None, error


def _as_ordered(step: Step, order: Order) -> Step:
    """Return what a step was when it was ordered where its render is under way: that has lost no answer yet."""
    ordered = order.left.get(step.action.output)
    under_way = step.verdict in (Verdict.UNKNOWN, Verdict.REATTACH)
    return ordered if under_way and ordered and ordered.action.key == step.action.key else step


def _is_missing(step: Step) -> bool:
    """Whether the cell's image is neither in its place nor in the store."""
    return step.verdict in _MISSING or (step.verdict is _RESTORE and not (step.entry or step.shared))
