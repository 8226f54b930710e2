"""The builds of a watch: which cells the next one is of, what it may spend, and how it is run in a thread.

| order | cells | may spend |
|---|---|---|
| asked for | that the user named | what is left of the budget |
| free | whose images are in the store, with the service already, or cost nothing | nothing |
| bought | whose images cost money, where the watch buys by itself | what is left of the budget |
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.engine.engine import Engine
from qwenbuild.events import Emit, Event, Finished, ImageFinished, ImageStarted, Outcome
from qwenbuild.plan.plan import Plan, Step, Verdict

from .live_state import Wish

_SETTLED = (Verdict.UP_TO_DATE, Verdict.EDITED)


@dataclass
class Order:
    """One build.

    `left`: the steps that have no result yet, by output path. `begun`: paths of those that have started.
    `skipped`: paths of those that the build gave up.
    `max_cost` is in CNY, None without limit; `wishes` are what of it the user asked for, by the cell's name.
    `strays` are keys of images that it collects though no cell asks for them.
    """

    left: dict[str, Step]
    max_cost: Decimal | None
    wishes: Mapping[str, Wish] = field(default_factory=dict)
    force: bool = False
    strays: Collection[str] = ()
    begun: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    interrupt: Interrupt = field(default_factory=Interrupt)

    @property
    def keys(self) -> set[str]:
        """The keys of what has not ended, strays included."""
        return {step.action.key for step in self.left.values()}.union(self.strays)

    @property
    def edited(self) -> set[str]:
        """The keys that a build, which has ended, left out because their cells had been edited."""
        return {step.action.key for path, step in self.left.items() if path not in self.skipped}

    def take(self, event: Event) -> Step | None:
        """Record that a step has started or ended; return the step. None for other events, and for a skipped step."""
        match event:
            case ImageStarted(path=path):
                self.begun.add(path)
                return self.left.get(path)
            case ImageFinished(path=path, outcome=Outcome.SKIPPED):
                self.skipped.add(path)
            case ImageFinished(path=path):
                return self.left.pop(path, None)
        return None

    def is_obsolete(self, keys: Mapping[str, str]) -> bool:
        """Whether something that has not begun is wanted no more; `keys` are what is wanted, by output path."""
        return any(keys.get(path) != step.action.key for path, step in self.left.items() if path not in self.begun)


def asked_for(plan: Plan, wishes: dict[str, Wish], cost_left: Decimal | None) -> Order | None:
    """Take wishes, forced ones first, and return their order; drop those that the plan needs, or knows, no more."""
    force = any(wish.force for wish in wishes.values())
    chosen = {name: wish for name, wish in wishes.items() if wish.force == force}
    for name in chosen:
        del wishes[name]
    left = {
        step.action.output: step
        for step in plan.steps
        if chosen and (wish := chosen.get(step.action.name)) and wish.key == step.action.key
        if force or step.verdict not in _SETTLED
    }
    return Order(left, cost_left, chosen, force) if left else None


def free(plan: Plan, tried: Collection[str]) -> Order | None:
    """Return the order of all that costs nothing, but for keys that were `tried`."""
    strays = {it.key for it in plan.strays}.difference(tried)
    return _order(plan, tried, Decimal(0), (step for step in plan.steps if _is_free(step)), strays)


def bought(plan: Plan, had: Collection[str], cost_left: Decimal) -> Order | None:
    """Return the order of all that is rendered for money, but for keys that it `had` before."""
    return _order(plan, had, cost_left, plan.renders)


async def carry_out(engine: Engine, order: Order, emit: Emit) -> Finished:
    """Build an order; `emit` gets its events in this event loop. Raises what `Engine.build` does."""
    loop = asyncio.get_running_loop()

    def hand_over(event: Event) -> None:
        loop.call_soon_threadsafe(emit, event)

    def build() -> Finished:
        # A build chooses among all cells: the selection has been made, and may match nothing any more.
        chosen = engine.with_options(select=(), where=(), force=order.force, max_cost=order.max_cost)
        # A file may have been saved since the order was made. Its cells now ask for what nobody ordered.
        return chosen.build(hand_over, order.interrupt, outputs=frozenset(order.left), keys=frozenset(order.keys))

    return await asyncio.to_thread(build)


def _order(
    plan: Plan, without: Collection[str], max_cost: Decimal, steps: Iterable[Step], strays: Collection[str] = ()
) -> Order | None:
    """Return the order of these steps and of those that take their bytes."""
    keys = {step.action.key for step in steps}.difference(without)
    if not keys and not strays:
        return None
    settled = (*_SETTLED, Verdict.UNKNOWN, Verdict.MISSING)
    left = {step.action.output: step for step in plan.steps if step.action.key in keys and step.verdict not in settled}
    return Order(left, max_cost, strays=strays)


def _is_free(step: Step) -> bool:
    match step.verdict:
        case Verdict.RESTORE:
            return bool(step.entry or step.shared)
        case Verdict.RENDER:
            return step.price is None
        case verdict:
            return verdict is Verdict.REATTACH
