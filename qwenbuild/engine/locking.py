"""The engine's work on the lock: writes it, checks it, and refuses to change a locked one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.plan import pins
from qwenbuild.plan.emulation import as_recorded
from qwenbuild.specs import variable_uses
from qwenbuild.storage import lock
from qwenbuild.storage.build_lock import hold_build_lock
from qwenbuild.storage.lock import Lock

from .planning import make_plan, without_gc

if TYPE_CHECKING:
    from qwenbuild.plan.plan import Plan
    from qwenbuild.specs.action import Action
    from qwenbuild.storage.records import Output
    from qwenbuild.storage.state import State

    from .engine import Engine


def read(engine: Engine, known: Lock | None) -> Lock:
    """Return the project's lock; see `lock.read`. An engine that does not use it ignores a faulty one."""
    project = engine.project
    try:
        found = lock.read(engine.lock_path, known)
        return found.under(project.given.profile, project.config.profiles)
    except ProjectError:
        if engine.is_locking:
            raise
        return Lock()


def image_counts(engine: Engine, state: State) -> Iterator[Mapping[str, int]]:
    """Yield the number of rendered outputs of each image: by the state, then by state and lock together."""
    yield (here := Counter(state.image_counts()))
    if engine.is_locking:
        yield here | lock.counts(engine.lock_path)


def write_lock(engine: Engine) -> tuple[bool, int]:
    """Write the lock from what exists, without rendering.

    Returns whether the file changed, and how many outputs it does not pin as the specs declare them.
    A new pin comes from the state's record of the output, else from the store. Raises what `Engine.plan`
    raises, ProjectBusy, OutputError.
    """
    with hold_build_lock(engine.project.state_dir), engine.state(create=True) as state:
        plan = make_plan(engine, state)
        recognised = {step.action.output: step.adopted for step in plan.steps if step.adopted}
        stored = {step.action.output: step.entry.image for step in plan.steps if step.entry}
        is_new = write(engine, plan, recognised | stored, plan.records)
        written = lock.read(engine.lock_path)
        return is_new, sum(written.pinned(action.output, action.key) is None for action in plan.actions)


def check_lock(engine: Engine) -> None:
    """Raise LockError, with the differences, if a build would change the lock. Changes nothing."""
    with engine.state() as state:
        actions, recorded, _ = engine.declared(state)
        pins.check(actions, recorded, state.request, variable_uses.uses(engine.project, actions))


def check_locked_options(engine: Engine) -> None:
    """Raise UsageError if other options contradict `locked`, or the lock is not of this provider."""
    for name in ("force", "relock"):
        if getattr(engine.options, name):
            raise UsageError(f"--locked and --{name} contradict each other", name="contradicting-options")
    check_provider(engine)


def check_provider(engine: Engine) -> None:
    """Raise UsageError if the lock pins images of another provider than the engine's."""
    if not engine.is_locking:
        configured = engine.project.config.provider
        raise UsageError(
            f'the lock pins what the provider "{configured}" makes, not "{engine.provider.name}"',
            name="lock-of-others",
        )


def check_plan(plan: Plan, state: State) -> None:
    """Raise LockError if carrying out the plan would change the lock, or edited files differ from its pins."""
    pins.check(plan.actions, plan.lock, state.request, plan.uses)
    pins.check_edits(plan.steps)


def write_built(engine: Engine, plan: Plan, recorded: Mapping[str, Output], made: Mapping[str, Action]) -> bool:
    """Write the lock after a build that has `recorded` these outputs, by path; return whether the file changed.

    `made` are the actions of what was rendered, by path, with the seeds that were drawn.
    """
    drawn = [made.get(it.output, it) if it.is_seed_random else it for it in plan.actions]
    actions = as_recorded(drawn, recorded, engine.address_of)
    images = {path: output.image for path, output in recorded.items()}
    return write(engine, replace(plan, actions=actions), images, {**plan.records, **recorded})


@without_gc()
def write(engine: Engine, plan: Plan, images: Mapping[str, str], records: Mapping[str, Output]) -> bool:
    """Write the lock; return whether the file changed. Does nothing with the option `locked`.

    `images` are the digests of outputs that this build made, by path; `records` are the state's outputs.
    """
    if engine.options.locked or not engine.is_locking:
        return False
    new = pins.pins(plan.actions, plan.lock, images, records, plan.uses)
    return lock.write(engine.lock_path, new, engine.project.state_dir / "tmp")
