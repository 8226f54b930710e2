"""What a watch knows right now, for its views: one place that they read, and be told when it has changed.

Invariants: changed only in the event loop's thread; the last good plan stays while something is
wrong in the files; what costs money is rendered only where `render` was called for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from qwenbuild.engine.engine import Engine
from qwenbuild.errors import UsageError
from qwenbuild.events import ImageFinished, ImageStarted
from qwenbuild.plan.plan import Plan, Step
from qwenbuild.problems import Problem, listing
from qwenbuild.provider import Price

_APART_S = 0.1  # between two revisions that a subscriber is told; those between them are merged


@dataclass(frozen=True, slots=True)
class Wish:
    """A cell that is to be rendered: the key of its request when it was asked for, and whether to render it anew."""

    key: str
    force: bool


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A build, from its beginning until a plan shows its results.

    `left`: the steps that have not ended, by output path. `begun`: the paths of those that have started.
    Both change while the build runs. `total`: how many steps it has. `since_s`: when it began, by `time.monotonic`.
    """

    left: Mapping[str, Step]
    begun: Collection[str]
    total: int
    since_s: float


class Live:
    """The state of one watch.

    `plan` is the last good one, None before the first; `problems` are what is wrong now, in the
    files or with the last build. `drafts` has the digest of each cell's draft in the store, by
    output path, where the real image costs money. `spent` is by currency, `cost_left` in CNY,
    None where nothing limits it. `events` has what last happened to a cell, by its name.
    """

    def __init__(self, engine: Engine) -> None:
        self.project, self.store = engine.project, engine.store
        self.provider = engine.provider
        self.plan: Plan | None = None
        self.problems: Sequence[Problem] = ()
        self.revision = 0
        self.drafts: dict[str, str] = {}
        self.under_way: UnderWay | None = None
        self.spent: Mapping[str, Decimal] = {}
        self.cost_left: Decimal | None = None
        self.events: dict[str, ImageStarted | ImageFinished] = {}
        self.is_faulty = False  # whether something is wrong in the files, so that nothing can be rendered
        self.wishes: dict[str, Wish] = {}  # what was asked for and has not begun, by the cell's name
        self._grown = asyncio.Event()

    # --- for views ---

    @property
    def building(self) -> bool:
        """Whether a build is running, or the plan does not show its results yet."""
        return self.under_way is not None

    def subscribe(self) -> AsyncIterator[int]:
        """Give the revision whenever it has grown from what it is now; bursts are merged."""
        return self._follow(self.revision)

    async def _follow(self, seen: int) -> AsyncIterator[int]:
        told_at = float("-inf")
        while True:
            while self.revision == seen:
                await self._grown.wait()
            await asyncio.sleep(max(0.0, told_at + _APART_S - time.monotonic()))
            told_at, seen = time.monotonic(), self.revision
            yield seen

    async def render(self, names: Collection[str], *, force: bool = False) -> None:
        """Queue real renders of these cells, for money where the provider takes any.

        What is up to date is rendered only with `force`. A cell whose request changes before its
        render begins is left out. Raises UsageError where a cell is declared no more, or something is
        wrong in the files.
        """
        self.wish(names, force=force)

    def wish(self, names: Collection[str], *, force: bool = False) -> None:
        """Do what `render` does."""
        if self.is_faulty:
            raise UsageError("something is wrong in the project's files", hint="nothing is rendered until it is mended")
        steps = self._steps(names)
        if unknown := [name for name in names if name not in steps]:
            raise UsageError(f"not declared any more: {listing(unknown)}")
        for name, step in steps.items():
            asked = self.wishes.get(name)
            self.wishes[name] = Wish(step.action.key, force or bool(asked and asked.force))
        self.changed()

    def price(self, names: Collection[str], *, force: bool = True) -> dict[str, Decimal]:
        """Return what rendering these cells costs, by currency: each of them anew, or with no `force` what is missing.

        Equal requests are rendered, and paid for, once.
        """
        chosen = {step.action.key: step for step in self._steps(names).values() if force or step.price}
        return Price.by_currency(self.provider.price(step.action.model.name) for step in chosen.values())

    # --- for their owner ---

    def changed(self) -> None:
        """Tell all subscribers that something has changed."""
        self.revision += 1
        self._grown.set()
        self._grown = asyncio.Event()

    def _steps(self, names: Collection[str]) -> dict[str, Step]:
        wanted = frozenset(names)
        steps = self.plan.steps if self.plan else ()
        return {name: step for step in steps if (name := step.action.name) in wanted}
