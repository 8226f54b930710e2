"""The run: everything that the parts of one build share."""

from __future__ import annotations

from dataclasses import dataclass

from qwenbuild.events import Emit
from qwenbuild.options import Options
from qwenbuild.plan.plan import Plan
from qwenbuild.provider import Provider
from qwenbuild.storage.outputs import Outputs
from qwenbuild.storage.remote.cache import Remote
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store
from qwenbuild.storage.submissions import Submissions

from .interrupt import Interrupt


@dataclass(frozen=True, slots=True)
class Run:
    """The plan, the options, and what the build works with.

    In `options` the config's values are filled in: `max_cost` is None only if nothing limits the cost.
    `emit` gets every event, with `quiet` all but those of outputs that are up to date. `begun_s` is `time.monotonic()`
    when the user began to wait.
    """

    plan: Plan
    options: Options
    provider: Provider
    outputs: Outputs
    state: State
    submissions: Submissions
    store: Store
    emit: Emit
    interrupt: Interrupt
    begun_s: float
    remote: Remote | None = None
    quiet: bool = False
