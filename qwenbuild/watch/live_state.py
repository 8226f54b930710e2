"""The live state of a watch: what its views (terminal and page) read and follow.

Invariants:
- The state changes only in the event loop's thread.
- The last good plan stays while the project's files have errors.
- Images that cost money are rendered only after `wish` or `render` was called for them, or by `--auto`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from qwenbuild.engine.engine import Engine
from qwenbuild.errors import UsageError
from qwenbuild.events import Delayed, ImageFinished, ImageStarted
from qwenbuild.plan.plan import Plan, Step
from qwenbuild.problems import Problem, listing
from qwenbuild.provider import Price
from qwenbuild.storage.picks import Picks

from . import choosing

_APART_S = 0.1  # least time between two revisions that one subscriber gets


@dataclass(frozen=True, slots=True)
class Wish:
    """A render that the user asked for.

    `key` is the key of the cell's request at that time. With `force` the cell is rendered even if it is up to date.
    """

    key: str
    force: bool


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A build, from its start until a plan shows its results.

    `left`: the steps that have no result yet, by output path. `begun`: the paths of steps that have started.
    Both change while the build runs. `total`: the number of steps. `since_s`: its start, by `time.monotonic`.
    """

    left: Mapping[str, Step]
    begun: Collection[str]
    total: int
    since_s: float


class Live:
    """The state of one watch.

    `engine`: the project as it was read last. `plan`: the last good plan, None before the first. `picks`: the stars, as
    they were last without a mistake. `problems`: the errors in the files now, or of the last build.
    `drafts`: the digest of each draft in the store, by output path, for cells whose images cost money.
    `spent`: money by currency. `cost_left`: in CNY, None for no limit. `events`: the last event of each cell, by name.
    `is_faulty`: True if the files have errors, so that nothing can be rendered. `wishes`: the renders that the user
    asked for and that no build has taken yet, by the cell's name. `delayed`: the running build's delays, by name.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.project, self.store = engine.project, engine.store
        self.routes = engine.routes
        self.plan: Plan | None = None
        self.picks = Picks()
        self.problems: Sequence[Problem] = ()
        self.revision = 0
        self.drafts: dict[str, str] = {}
        self.under_way: UnderWay | None = None
        self.spent: Mapping[str, Decimal] = {}
        self.cost_left: Decimal | None = None
        self.events: dict[str, ImageStarted | ImageFinished] = {}
        self.delayed: dict[str, Delayed] = {}
        self.is_faulty = False
        self.wishes: dict[str, Wish] = {}
        self._has_changed = asyncio.Event()

    # --- for views ---

    @property
    def building(self) -> bool:
        """True while a build is running, and until the plan shows its results."""
        return self.under_way is not None

    def subscribe(self) -> AsyncIterator[int]:
        """Yield the revision each time it has grown, starting from now. Revisions within 0.1 s are merged."""
        return self._follow(self.revision)

    async def _follow(self, seen: int) -> AsyncIterator[int]:
        yielded_at = float("-inf")
        while True:
            while self.revision == seen:
                await self._has_changed.wait()
            await asyncio.sleep(max(0.0, yielded_at + _APART_S - time.monotonic()))
            yielded_at, seen = time.monotonic(), self.revision
            yield seen

    async def render(self, names: Collection[str], *, force: bool = False) -> None:
        """Do what `wish` does. The page calls this coroutine."""
        self.wish(names, force=force)

    def wish(self, names: Collection[str], *, force: bool = False) -> None:
        """Queue renders of these cells. They cost money if the provider charges.

        Cells that are being rendered are not queued again, cells that are up to date only with `force`. If a cell's
        request changes before its render begins, the cell is left out. Raises UsageError if a cell is not declared any
        more, or if the project's files have errors.
        """
        if self.is_faulty:
            raise UsageError(
                "the project's files have errors",
                hint="rendering is possible again once they are fixed",
                name="project-has-errors",
            )
        steps = self._steps(names)
        if unknown := [name for name in names if name not in steps]:
            raise UsageError(f"not declared any more: {listing(unknown)}", name="changed-meanwhile")
        for name, step in steps.items():
            if self._is_under_way(step):
                continue
            earlier = self.wishes.get(name)
            self.wishes[name] = Wish(step.action.key, force or bool(earlier and earlier.force))
        self.changed()

    async def pick(self, names: Collection[str], *, drop: bool = False, note: str | None = None) -> None:
        """Star cells, with `drop` take their stars away, with `note` write a note on them; write `picks.toml`.

        Raises UsageError and ProjectError if the file can't be changed.
        """
        engine, plan = self.engine, self.plan or Plan(())
        if drop:
            change = partial(choosing.unstar, engine, names)
        elif note is not None:
            change = partial(choosing.annotate, engine, names, note)
        else:
            change = partial(choosing.star, engine, [*self._steps(names).values()], plan)
        self.picks = await asyncio.to_thread(change)
        self.changed()

    async def keep(self, names: Collection[str], shown: str = "") -> dict[str, Any]:
        """Return what keeping only these cells writes, and write it if the page has shown it: see `choosing.keep`."""
        return await asyncio.to_thread(choosing.keep, self.engine, names, shown)

    def price(self, names: Collection[str], *, force: bool = True) -> dict[str, Decimal]:
        """Return what rendering these cells costs, by currency. Without `force`, only missing images count.

        Equal requests are rendered, and paid for, once.
        """
        chosen = {step.action.key: step for step in self._steps(names).values() if force or step.price}
        return Price.by_currency(
            self.routes.price(step.action.choice, step.action.model.name, step.action.size) for step in chosen.values()
        )

    # --- for the watch ---

    def changed(self) -> None:
        """Tell all subscribers that the state has changed."""
        self.revision += 1
        self._has_changed.set()
        self._has_changed = asyncio.Event()

    def _is_under_way(self, step: Step) -> bool:
        """Return whether a running build has this request of a cell."""
        ordered = self.under_way.left.get(step.action.output) if self.under_way else None
        return ordered is not None and ordered.action.key == step.action.key

    def _steps(self, names: Collection[str]) -> dict[str, Step]:
        wanted = frozenset(names)
        steps = self.plan.steps if self.plan else ()
        return {name: step for step in steps if (name := step.action.name) in wanted}
