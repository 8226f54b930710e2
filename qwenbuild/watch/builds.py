"""The builds that a watch starts: which cells, how much money, and how they run.

An order describes one build. There are three kinds; the watch tries them from top to bottom:

| order | cells | budget |
|---|---|---|
| `wished_order` | cells that the user asked for | the rest of the budget |
| `free_order` | cells whose image is in the store or in flight, or costs nothing | nothing |
| `paid_order` | cells whose image costs money; only with `--auto` | the rest of the budget |
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

_SETTLED = (Verdict.UP_TO_DATE, Verdict.EDITED, Verdict.FAILED)


@dataclass
class Order:
    """One build of some steps of a plan.

    `left`: the steps that have no result yet, by output path. `begun`: the paths of steps that have started.
    `skipped`: the paths of steps that the build gave up. `max_cost`: in CNY, None for no limit.
    `wishes`: what the user asked for, by the cell's name. `strays`: keys of images that the build collects
    although no cell asks for them.
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
        """The keys of the steps that have no result yet, and the strays."""
        return {step.action.key for step in self.left.values()}.union(self.strays)

    @property
    def edited(self) -> set[str]:
        """After a build: the keys that the build left out because their cells had been edited."""
        return {step.action.key for path, step in self.left.items() if path not in self.skipped}

    def take(self, event: Event) -> Step | None:
        """Record that a step started or ended; return the step, None for a skipped step and for other events."""
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
        """Return True if a step that has not started is no longer wanted. `keys`: the wanted keys by output path."""
        return any(keys.get(path) != step.action.key for path, step in self.left.items() if path not in self.begun)


def wished_order(plan: Plan, wishes: dict[str, Wish], cost_left: Decimal | None) -> Order | None:
    """Take wishes out of `wishes` and return their order; forced ones come first.

    Wishes are dropped if their cell is gone, has another request now, or needs no build.
    """
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


def free_order(plan: Plan, without: Collection[str]) -> Order | None:
    """Return the order of all cells and strays that cost nothing, except the keys in `without`."""
    strays = {submission.key for submission in plan.strays}.difference(without)
    return _order(plan, without, Decimal(0), (step for step in plan.steps if _is_free(step)), strays)


def paid_order(plan: Plan, without: Collection[str], cost_left: Decimal) -> Order | None:
    """Return the order of all cells that must be rendered, except the keys in `without`."""
    return _order(plan, without, cost_left, plan.renders)


async def carry_out(engine: Engine, order: Order, emit: Emit) -> Finished:
    """Run the build of an order in a thread; `emit` gets its events in this event loop.

    The build reads the files again. It leaves out cells that were edited since the order was made.
    Raises the errors of `Engine.build`.
    """
    loop = asyncio.get_running_loop()

    def forward(event: Event) -> None:
        loop.call_soon_threadsafe(emit, event)

    def build() -> Finished:
        # The order lists its cells. The watch's selection was applied to the order, and may match no cell any more.
        chosen = engine.with_options(
            select=(), tags=(), where=(), exclude=(), force=order.force, max_cost=order.max_cost
        )
        return chosen.build(forward, order.interrupt, outputs=frozenset(order.left), keys=frozenset(order.keys))

    return await asyncio.to_thread(build)


def _order(
    plan: Plan, without: Collection[str], max_cost: Decimal, steps: Iterable[Step], strays: Collection[str] = ()
) -> Order | None:
    """Return the order of these steps, and of all other steps with the same keys."""
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
