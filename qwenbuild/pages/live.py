"""What the preview reads of a running watch, as protocols that `watch` implements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from qwenbuild.events import Delayed
from qwenbuild.plan.plan import Plan, Step
from qwenbuild.problems import Problem
from qwenbuild.routes import Routes
from qwenbuild.specs.project import Project
from qwenbuild.storage.picks import Picks
from qwenbuild.storage.store import Store

from .gallery import Activity


class UnderWay(Protocol):
    """A build, from its start until a plan shows its results.

    `left`: the steps that have no result yet, by output path. `begun`: the paths of steps that have started.
    `total`: the number of steps. `since_s`: the start, by `time.monotonic`.
    """

    @property
    def left(self) -> Mapping[str, Step]: ...
    @property
    def begun(self) -> Collection[str]: ...
    @property
    def total(self) -> int: ...
    @property
    def since_s(self) -> float: ...


class Live(Protocol):
    """What the preview reads of a watch. The state changes only in the event loop's thread.

    `plan`: the last good plan. `picks`: the stars. `problems`: the errors in the files now. `revision` grows with every
    change.
    `routes`: the providers that render the plan. `drafts`: digests by output path. `events`: the last event of
    each cell, by name. `delayed`: the running build's delays, by the cell's name. `wishes`: the names of cells that
    the user asked for and no build has taken yet. Money is by currency; `cost_left` is in CNY.
    """

    @property
    def project(self) -> Project: ...
    @property
    def store(self) -> Store: ...
    @property
    def routes(self) -> Routes: ...
    @property
    def plan(self) -> Plan | None: ...
    @property
    def picks(self) -> Picks: ...
    @property
    def problems(self) -> Sequence[Problem]: ...
    @property
    def revision(self) -> int: ...
    @property
    def drafts(self) -> Mapping[str, str]: ...
    @property
    def under_way(self) -> UnderWay | None: ...
    @property
    def spent(self) -> Mapping[str, Decimal]: ...
    @property
    def cost_left(self) -> Decimal | None: ...
    @property
    def events(self) -> Mapping[str, Activity]: ...
    @property
    def delayed(self) -> Mapping[str, Delayed]: ...
    @property
    def wishes(self) -> Mapping[str, object]: ...

    def subscribe(self) -> AsyncIterator[int]:
        """Yield the revision each time it has grown."""

    async def render(self, names: Collection[str], *, force: bool = False) -> None:
        """Queue renders of these cells. Raises UsageError if that is not possible now."""

    async def pick(self, names: Collection[str], *, drop: bool = False, note: str | None = None) -> None:
        """Star cells, with `drop` take their stars away, with `note` write a note on them.

        Raises QwenbuildError if `picks.toml` can't be changed.
        """

    async def keep(self, names: Collection[str], shown: str = "") -> Mapping[str, Any]:
        """Return what keeping only these cells would write, as the page shows it.

        It is written if `shown` is the digest of exactly this text. Raises QwenbuildError if a spec can't be changed.
        """

    def price(self, names: Collection[str], *, force: bool = True) -> Mapping[str, Decimal]:
        """Return what rendering these cells costs, by currency. Without `force`, only missing images count."""
