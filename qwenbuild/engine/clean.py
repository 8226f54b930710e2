"""Cleaning: removes outputs that qwenbuild wrote and nobody edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenbuild.builder.keep import keep_replaced
from qwenbuild.plan.ownership import pinned_outputs
from qwenbuild.specs import variable_uses
from qwenbuild.storage.build_lock import hold_build_lock
from qwenbuild.storage.gc import renew

from . import locking

if TYPE_CHECKING:
    from .engine import Engine


def clean(engine: Engine, *, orphans_only: bool = False, dry_run: bool = False) -> list[tuple[str, bool]]:
    """Remove the selected outputs, or only orphans; the store keeps their bytes.

    Returns (path, removed) for each output in question; edited files are not removed. With `dry_run`
    nothing is removed, and the answer is the same. Raises ProjectBusy, and what `Engine.actions` raises.
    """
    with hold_build_lock(engine.project.state_dir), engine.state(create=True) as state:
        records, out, locked = state.outputs(), engine.project.out, locking.read(engine, None)
        if engine.is_locking:  # a clone has only the lock's
            pins = [pin for path, pin in locked.pins.items() if path not in records]
            records |= {record.path: record for record, is_own in pinned_outputs(pins, out) if is_own}
        doomed = set(records)
        options = engine.options
        if orphans_only or options.is_selecting:
            actions = engine.actions()
            variable_uses.uses(engine.project, actions)  # an unknown variable is an error
            chosen = engine.selected(actions)
            if orphans_only:
                doomed -= {*(action.output for action in actions), *locked.others}
            else:
                doomed &= {action.output for action in chosen}
        outputs = engine.outputs()
        if not dry_run:
            for path in doomed:
                keep_replaced(engine.store, out / path, records[path])
                renew(engine.store, records[path].key, records[path].image)
        result = [(path, outputs.remove(records[path], dry_run=dry_run)) for path in sorted(doomed)]
        if not dry_run:
            state.forget(path for path, removed in result if removed)
        return result
