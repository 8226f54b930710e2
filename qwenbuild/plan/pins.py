"""The pins: what a project's lock must say, and how an existing lock differs from the specs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from qwenbuild.errors import LockError
from qwenbuild.specs.action import Action
from qwenbuild.specs.variable_uses import NOTHING_GIVEN, VariableUses
from qwenbuild.storage.lock import NAME, Lock, is_written
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output

from .diff import is_same, summary
from .emulation import PINNED
from .plan import Step, Verdict

_SHOWN = 20  # most differences in a message


def pins(
    actions: Iterable[Action],
    lock: Lock,
    made: Mapping[str, str],
    records: Mapping[str, Output],
    uses: VariableUses = NOTHING_GIVEN,
) -> Iterator[Pin]:
    """Yield the pins of a project's actions; `actions` are all of them.

    Each pin has the digest that this build `made` (by output path), else the one that the lock demands,
    else the digest of the recorded output. If there is no digest, the pin of an earlier request stays
    until the output is made again. Each pin says what the command line gave by `uses`. Pins of other
    profiles stay, but for paths that this one declares.
    """
    declared, profile = set(), uses.given.profile
    for action in actions:
        path = action.output
        declared.add(path)
        image, record = made.get(path), records.get(path)
        pin = lock.pinned(path, action.key)
        if image is None and pin is None and record and record.key == action.key:
            image = record.image
        if image is None and pin is not None:
            image = pin.image
        if image is not None:
            yield Pin(
                path, action.name, action.key, image, action.model.name, action.seed, action.emulated_by,
                profile, uses.of(action),
            )  # fmt: skip
        elif path in lock.pins:
            yield lock.pins[path]
    yield from (pin for path, pin in lock.others.items() if path not in declared)


def differences(
    actions: Sequence[Action],
    lock: Lock,
    request_of: Callable[[str], Mapping[str, Any] | None],
    uses: VariableUses = NOTHING_GIVEN,
) -> list[str]:
    """Return, in words, each change that would make a lock pin exactly the project's actions.

    `request_of` returns the request of a key, None if it is unknown. Variables that change no key are no change.
    """
    found = []
    for action in actions:
        pin = lock.pinned(action.output, action.key)
        old = lock.pins.get(action.output)
        if pin:
            if pin.name != action.name:
                found.append(f"{action.name}: the lock calls it {pin.name}")
            if pin.profile != uses.given.profile:
                found.append(f"{action.name}: made with {_profile(pin.profile)}")
        elif old is None:
            given = "".join(f"; --var {variable}" for variable in uses.of(action))
            found.append(f"{action.name}: not in the lock{given}")
        else:
            before = request_of(old.key)
            request = action.request.as_dict()
            why = summary(before, request) if before else "its request changed"
            why = PINNED if old.emulated_by and (before is None or is_same(before, request)) else why
            found.append(f"{action.name}: {why}{_other_variables(old.vars, uses.of(action))}")
    left = lock.left({action.output for action in actions})
    return found + [f"{pin.name}: no longer declared" for pin in left.values()]


def _profile(name: str) -> str:
    return f'the profile "{name}"' if name else "no profile"


def _other_variables(locked: Iterable[str], given: Iterable[str]) -> str:
    """Return how the variables of the command line differ from those of a pin; empty if they do not."""
    before, now = (dict(it.split("=", 1) for it in some) for some in (locked, given))
    changed = [name for name in {**now, **before} if now.get(name) != before.get(name)]
    sides = [
        (f"--var {name}={now[name]}" if name in now else f"no --var {name}",
         f"{name}={before[name]}" if name in before else "no value of --var")
        for name in changed
    ]  # fmt: skip
    return "".join(f"; {this}, where the lock has {that}" for this, that in sides)


def _check_profile(actions: Iterable[Action], lock: Lock, profile: str) -> None:
    """Raise LockError if the lock pins the outputs as another profile made them."""
    found = {pin.profile for action in actions if (pin := lock.pins.get(action.output))}
    if found and profile not in found:
        others = sorted(found)
        raise LockError(
            f"{NAME} pins what {' and '.join(map(_profile, others))} made, not {_profile(profile)}",
            hint=f"--profile {others[-1]}" if others[-1] else "leave out --profile",
            name="lock-of-others",
        )


def check(
    actions: Sequence[Action],
    lock: Lock,
    request_of: Callable[[str], Mapping[str, Any] | None],
    uses: VariableUses = NOTHING_GIVEN,
) -> None:
    """Raise LockError if a build would change the lock, in more than which variables gave the same keys."""
    if lock.theirs is not None:
        raise LockError(
            f"{NAME} holds conflicts of a merge", hint="`qwenbuild lock` resolves them", name="merge-conflict"
        )
    _check_profile(actions, lock, uses.given.profile)
    if found := differences(actions, lock, request_of, uses):
        raise LockError(
            f"{NAME} is out of date: {len(found):,} of its records would change",
            facts=_shown(found),
            hint="`qwenbuild build` renders and locks what is new; then commit the lock",
            name="lock-outdated",
        )
    expected = (
        pin._replace(vars=known.vars) if (known := lock.pinned(pin.path, pin.key)) else pin
        for pin in pins(actions, lock, {}, {}, uses)
    )
    if not is_written(lock, expected):
        raise LockError(
            f"{NAME} is not in qwenbuild's own form",
            hint="`qwenbuild lock` writes it anew; then commit it",
            name="lock-outdated",
        )


def check_edits(steps: Iterable[Step]) -> None:
    """Raise LockError if outputs were edited: a build keeps them, so they stay different from their pins."""
    edited = [step for step in steps if step.verdict is Verdict.EDITED]
    if edited:
        raise LockError(
            f"edited outputs are not what the lock pins: {len(edited):,}",
            facts=_shown([f"{step.action.output}: {step.reason}" for step in edited]),
            hint="--overwrite replaces them",
            name="edited-outputs",
        )


def _shown(found: Sequence[str]) -> list[str]:
    return [*found[:_SHOWN], *([f"and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else [])]
