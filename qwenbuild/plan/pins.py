"""What a project's lock has to say: the pins of its actions, and how a lock differs from what is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from qwenbuild.errors import LockError
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import NAME, Lock, is_written
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output

from .diff import summary
from .plan import Step, Verdict

_SHOWN = 20  # differences


def pins(
    actions: Iterable[Action], lock: Lock, made: Mapping[str, str], records: Mapping[str, Output]
) -> Iterator[Pin]:
    """Give the pins of all of a project's actions.

    That is what this build has `made` (digests by output path), else what the lock demands, else
    what is on record of the output, else the pin of an earlier request, which stands until the
    output is made anew.
    """
    for action in actions:
        path = action.output
        image, record = made.get(path), records.get(path)
        pin = lock.pinned(path, action.key)
        if image is None and pin is None and record and record.key == action.key:
            image = record.image
        if image is None and pin is not None:
            image = pin.image
        if image is not None:
            yield Pin(path, action.name, action.key, image, action.model.name, action.seed)
        elif path in lock.pins:
            yield lock.pins[path]


def differences(
    actions: Sequence[Action], lock: Lock, request_of: Callable[[str], Mapping[str, Any] | None]
) -> list[str]:
    """Return, in words, what a lock would have to change for it to pin all of a project's actions, and nothing else.

    `request_of` gives the request of a key, where it is known.
    """
    found = []
    for action in actions:
        pin = lock.pinned(action.output, action.key)
        old = lock.pins.get(action.output)
        if pin:
            if pin.name != action.name:
                found.append(f"{action.name}: it was {pin.name}")
        elif old is None:
            found.append(f"{action.name}: not in the lock")
        else:
            before = request_of(old.key)
            why = summary(before, action.request.as_dict()) if before else "its request changed"
            found.append(f"{action.name}: {why}")
    declared = {action.output for action in actions}
    found += [f"{pin.name}: declared no more" for path, pin in lock.pins.items() if path not in declared]
    return found


def check(actions: Sequence[Action], lock: Lock, request_of: Callable[[str], Mapping[str, Any] | None]) -> None:
    """Raise LockError where a lock would have to change."""
    if lock.theirs is not None:
        raise LockError(f"{NAME} holds conflicts of a merge", hint="`qwenbuild lock` resolves them")
    if found := differences(actions, lock, request_of):
        raise LockError(
            f"{NAME} is out of date: {len(found):,} of its records would change",
            facts=_shown(found),
            hint="`qwenbuild build` renders and locks what is new; then commit the lock",
        )
    if not is_written(lock, pins(actions, lock, {}, {})):
        raise LockError(f"{NAME} is not as qwenbuild writes it", hint="`qwenbuild lock` does; then commit the lock")


def check_edits(steps: Iterable[Step]) -> None:
    """Raise LockError where outputs are not what qwenbuild wrote: they are kept, and so not what the lock pins."""
    edited = [step for step in steps if step.verdict is Verdict.EDITED]
    if edited:
        raise LockError(
            f"edited outputs are not what the lock pins: {len(edited):,}",
            facts=_shown([f"{step.action.output}: {step.reason}" for step in edited]),
            hint="--overwrite gives them up",
        )


def _shown(found: Sequence[str]) -> list[str]:
    return [*found[:_SHOWN], *([f"and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else [])]
