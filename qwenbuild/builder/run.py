"""The run: everything that the parts of one build share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenbuild.events import Emit
from qwenbuild.options import Options
from qwenbuild.own_servers import is_repeatable
from qwenbuild.plan.plan import Plan
from qwenbuild.provider import Price, Provider, price_of
from qwenbuild.specs.action import Action
from qwenbuild.storage.lanes import Lane, Lanes
from qwenbuild.storage.outputs import Outputs
from qwenbuild.storage.remote.cache import Remote
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store
from qwenbuild.storage.submissions import Submissions

from .interrupt import Interrupt

if TYPE_CHECKING:
    from .away import Away


@dataclass(frozen=True, slots=True)
class Run:
    """The plan, the options, and what the build works with.

    `lane` is the provider whose images this part of the build makes; `lanes` are all of them.
    In `options` the config's values are filled in: `max_cost` is None only if nothing limits the cost.
    `emit` gets every event, with `quiet` all but those of outputs that are up to date. `begun_s` is `time.monotonic()`
    when the user began to wait. `away` has the workers that make free images; None: this process makes them.
    """

    plan: Plan
    options: Options
    lane: Lane
    lanes: Lanes
    outputs: Outputs
    state: State
    store: Store
    emit: Emit
    interrupt: Interrupt
    begun_s: float
    remote: Remote | None = None
    quiet: bool = False
    away: Away | None = None

    @property
    def provider(self) -> Provider:
        """The provider of this part of the build."""
        return self.lane.provider

    @property
    def submissions(self) -> Submissions:
        """The submissions of this part of the build."""
        return self.lane.submissions

    def price(self, action: Action) -> Price | None:
        """Return what one image of an action costs, None if it is free. The action may belong to any part."""
        return price_of(self.lanes.of(action.choice).provider, action.model.name, action.size)

    def gives_other_bytes(self, action: Action) -> bool:
        """Whether another render of an action's request gives other bytes: what costs money always does."""
        return self.price(action) is not None or not is_repeatable(self.lanes.of(action.choice).provider)
