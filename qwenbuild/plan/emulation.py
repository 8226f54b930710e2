"""Emulation in plans: which actions have an emulator's image, and which images of older versions are an emulator's.

An action gets the key of an emulated image only if that image is known, and only while the configured address is the
one where it was made. A request that nobody has answered yet has its own key, because nobody knows who will answer.
An image of the service is always preferred.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence

from qwenbuild.emulation import emulated_key, is_unmarked
from qwenbuild.errors import BadImage
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.records import Output
from qwenbuild.storage.store import Store

AddressOf = Callable[[Action], str]
"""Returns the address at which an emulator may answer the provider of an action; empty for none."""


def nowhere(action: Action) -> str:
    """Return that no emulator can have made an action's image."""
    return ""


EMULATED, PINNED = "its file shows an emulated image", "the lock pins an emulated image"


def with_emulated_keys(
    actions: Sequence[Action], address_of: AddressOf, lock: Lock, records: Mapping[str, Output], store: Store
) -> Sequence[Action]:
    """Return the actions; those whose image the emulator at their address made have the key of that image.

    What the lock pins for the output decides, then the state's `records`, then what the lock pins for other outputs,
    and then the store.
    """
    chosen = list(actions)
    open_: dict[int, Action] = {}  # the emulated action by number
    elsewhere = {pin.key for pins in (lock.pins, lock.theirs or {}) for pin in pins.values()}
    for number, action in enumerate(actions):
        emulated = action.made_by(address_of(action))
        if emulated is action:
            continue
        record = records.get(action.output)
        pinned = [it for it in (action, emulated) if lock.pinned(action.output, it.key)]
        recorded = [it for it in (action, emulated) if record and record.key == it.key]
        known = pinned or recorded or [it for it in (action, emulated) if it.key in elsewhere]
        if known:
            chosen[number] = known[0]
        else:
            open_[number] = emulated
    absent = store.absent({key for number, it in open_.items() for key in (actions[number].key, it.key)})
    for number, emulated in open_.items():
        action = actions[number]
        is_here = action.key not in absent and store.lookup(action.key, any_size=True)
        if not is_here and emulated.key not in absent and store.lookup(emulated.key, any_size=True):
            chosen[number] = emulated
    return chosen


def as_recorded(actions: Sequence[Action], records: Mapping[str, Output], address_of: AddressOf) -> Sequence[Action]:
    """Return the actions under the keys that a build at their addresses has recorded for their outputs."""

    if address_of is nowhere:
        return actions

    def recorded(action: Action) -> Action:
        if not (address := address_of(action)):
            return action
        record = records.get(action.output)
        others = (action.made_by(""), action.made_by(address)) if record and record.key != action.key else ()
        return next((it for it in others if record and it.key == record.key), action)

    return [recorded(action) for action in actions]


def keys_of(key: str, address: str) -> tuple[str, ...]:
    """Return the key of a request, and that of the image of the emulator at `address`, if there is an address."""
    return (key, emulated_key(key, address)) if address else (key,)


def shows_unmarked(path: str | os.PathLike[str]) -> bool:
    """Return whether the file at `path` is an emulator's image that an older version took for the service's."""
    with contextlib.suppress(OSError, BadImage):
        return is_unmarked(read_provenance_file(path))
    return False
