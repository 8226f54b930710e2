"""The pins: what a project's lock must say, and how an existing lock differs from the specs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from qwenbuild.errors import LockError
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import NAME, Lock, is_written
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output

from .diff import is_same, summary
from .emulation import PINNED
from .plan import Step, Verdict

_SHOWN = 20  # most differences in a message


def pins(
    actions: Iterable[Action], lock: Lock, made: Mapping[str, str], records: Mapping[str, Output]
) -> Iterator[Pin]:
    """Yield the pins of a project's actions; `actions` are all of them.

    Each pin has the digest that this build `made` (by output path), else the one that the lock demands,
    else the digest of the recorded output. If there is no digest, the pin of an earlier request stays
    until the output is made again.
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
            yield Pin(path, action.name, action.key, image, action.model.name, action.seed, action.emulated_by)
        elif path in lock.pins:
            yield lock.pins[path]


def differences(
    actions: Sequence[Action], lock: Lock, request_of: Callable[[str], Mapping[str, Any] | None]
) -> list[str]:
    """Return, in words, each change that would make a lock pin exactly the project's actions.

    `request_of` returns the request of a key, None if it is unknown.
    """
    found = []
    for action in actions:
        pin = lock.pinned(action.output, action.key)
        old = lock.pins.get(action.output)
        if pin:
            if pin.name != action.name:
                found.append(f"{action.name}: the lock calls it {pin.name}")
        elif old is None:
            found.append(f"{action.name}: not in the lock")
        else:
            before = request_of(old.key)
            request = action.request.as_dict()
            why = summary(before, request) if before else "its request changed"
            why = PINNED if old.emulated_by and (before is None or is_same(before, request)) else why
            found.append(f"{action.name}: {why}")
    declared = {action.output for action in actions}
    found += [f"{pin.name}: no longer declared" for path, pin in lock.pins.items() if path not in declared]
    return found


def check(actions: Sequence[Action], lock: Lock, request_of: Callable[[str], Mapping[str, Any] | None]) -> None:
    """Raise LockError if a build would change the lock."""
    if lock.theirs is not None:
        raise LockError(f"{NAME} holds conflicts of a merge", hint="`qwenbuild lock` resolves them")
    if found := differences(actions, lock, request_of):
        raise LockError(
            f"{NAME} is out of date: {len(found):,} of its records would change",
            facts=_shown(found),
            hint="`qwenbuild build` renders and locks what is new; then commit the lock",
        )
    if not is_written(lock, pins(actions, lock, {}, {})):
        raise LockError(
            f"{NAME} is not in qwenbuild's own form", hint="`qwenbuild lock` writes it anew; then commit it"
        )


def check_edits(steps: Iterable[Step]) -> None:
    """Raise LockError if outputs were edited: a build keeps them, so they stay different from their pins."""
    edited = [step for step in steps if step.verdict is Verdict.EDITED]
    if edited:
        raise LockError(
            f"edited outputs are not what the lock pins: {len(edited):,}",
            facts=_shown([f"{step.action.output}: {step.reason}" for step in edited]),
            hint="--overwrite replaces them",
        )


def _shown(found: Sequence[str]) -> list[str]:
    return [*found[:_SHOWN], *([f"and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else [])]
