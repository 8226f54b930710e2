"""A build of a project: plan, check that it may be carried out, carry it out, write the lock and the snapshot."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING

from qwenbuild import noop_snapshot
from qwenbuild.plan import leaving
from qwenbuild.plan.plan import Plan, Verdict
from qwenbuild.specs.action import Action
from qwenbuild.storage.build_lock import hold_build_lock
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State

from . import custody, distributing, locking, snapshot, trusting
from .planning import make_plan

if TYPE_CHECKING:
    from qwenbuild.builder.interrupt import Interrupt
    from qwenbuild.events import Emit, Event, Finished

    from .engine import Engine


def build(
    engine: Engine, emit: Emit | None, interrupt: Interrupt | None, *, arguments: Sequence[str] | None,
    outputs: AbstractSet[str] | None, keys: AbstractSet[str] | None, quiet: bool,
) -> Finished:  # fmt: skip
    """Plan, build, and return how it ended: see `Engine.build`."""
    begun_s, started_ns = time.monotonic(), time.time_ns()
    if engine.options.locked:
        locking.check_locked_options(engine)
    with hold_build_lock(engine.project.state_dir):
        with engine.state(create=True) as state:
            plan = make_plan(engine, state, outputs, keys)
            _prepare(engine, plan, state)
            plan = custody.warned(engine, replace(plan, warnings=[*plan.warnings, *plan.costly]))
            finished, recorded, made = _carry_out(engine, plan, state, emit, interrupt, begun_s, quiet)
            last_run = snapshot.last_run(state)
        records = {**plan.records, **recorded}
        written = [engine.lock_path] if locking.write_built(engine, plan, recorded, made) else []
        # The state is closed here, so its file's fingerprint is final; no other build can have begun.
        is_left = engine.options.force or plan.strays or plan.warnings
        if arguments is not None and finished.complete and not is_left:
            built = snapshot.Built(plan, engine.routes, records, last_run, written, started_ns)
            snapshot.write(engine.project, built, arguments)
    return finished


def _prepare(engine: Engine, plan: Plan, state: State) -> None:
    """Raise if the plan must not be built; else make the project and the store ready."""
    if engine.options.locked:
        locking.check_plan(plan, state)
    if engine.options.detach:
        from . import tasks

        tasks.check_detach(engine)
    engine.check_renders(plan)
    trusting.check_plan(engine, plan)
    distributing.check_plan(engine, plan)
    if plan.count(Verdict.UP_TO_DATE) < len(plan.steps):
        noop_snapshot.forget(str(engine.project.root))
        engine.store.register(engine.project.root)
    if known := leaving.records(plan):
        state.record(known, {})  # the lock is about to drop them: from now on the state knows them
    if engine.options.force:  # if the build were killed, the old pins would bring back the replaced images
        replaced = {step.action.output for step in plan.steps}
        locking.write(engine, replace(plan, lock=plan.lock.without(replaced)), {}, {})


def _carry_out(
    engine: Engine, plan: Plan, state: State, emit: Emit | None, interrupt: Interrupt | None, begun_s: float,
    quiet: bool,
) -> tuple[Finished, Mapping[str, Output], Mapping[str, Action]]:  # fmt: skip
    """See `builder.carry_out`."""
    from qwenbuild.builder.builder import carry_out  # here, because asyncio loads as long as a small plan takes
    from qwenbuild.builder.interrupt import Interrupt
    from qwenbuild.builder.run import Run
    from qwenbuild.events import Warned

    def tell(event: Event) -> None:
        if emit:
            emit(event)

    away = distributing.away_of(engine, lambda problem: tell(Warned([problem])))
    with engine.lanes(state) as lanes:
        return carry_out(Run(
            plan, engine.effective, lanes.of(), lanes, engine.outputs(), state, engine.store,
            tell, interrupt or Interrupt(), begun_s, engine.remote, quiet, away,
        ))  # fmt: skip
