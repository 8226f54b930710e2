"""Leaving images: own files that only the lock knows, and outputs that a build drops from the lock.

The state is told of such files before the lock forgets them. So it later finds their bytes in the store.
"""

from __future__ import annotations

from qwenbuild.storage.records import Output

from .plan import Plan, Step, Verdict


def records(plan: Plan) -> list[Output]:
    """Return the records that the state is to have before the plan is carried out."""
    orphans = [orphan.pinned for orphan in plan.orphans if orphan.pinned]
    return [*orphans, *filter(None, (_replaced(step, plan) for step in plan.steps if step.was))]


def dropped(plan: Plan) -> list[str]:
    """Return the paths that the lock has, and that no spec declares any more."""
    return sorted(plan.lock.left({action.output for action in plan.actions})) if plan.lock.pins else []


def returned(plan: Plan) -> list[str]:
    """Return the paths of outputs that are there, but not in the lock: a spec declares them again."""
    pins = plan.lock.pins
    paths = [step.action.output for step in plan.steps if step.verdict is Verdict.UP_TO_DATE] if pins else []
    return sorted(path for path in paths if path not in pins)


def _replaced(step: Step, plan: Plan) -> Output | None:
    """Return the record of the file that a step replaces, if only the lock says what it is."""
    pin, record, seen = plan.lock.pins.get(step.action.output), plan.records.get(step.action.output), step.seen
    if not (pin and seen and step.was) or pin.key != step.was[0] or (record and record.key == pin.key):
        return None
    return Output(pin.path, pin.key, pin.image, seen.st_size, seen.st_mtime_ns, seen.st_ino, pin.name)
