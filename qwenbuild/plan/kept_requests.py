"""Kept requests: a cell keeps the request of its record where today's reading of the spec would change it.

There are three such changes. A derived seed follows from the image's name, so a new name would change it. Earlier
versions took a negative prompt of white space alone for none, and their filters `tojson` and `escape` escaped for HTML.
The record is the lock's at the output's own path, or the state's. A cell whose path has no record takes one that no
other cell keeps: its path is not declared any more, or has another request now. What a record shows is kept only if it
is the very request of the cell but for these three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, Final

from qwenbuild.request import Request, derived_seed
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import Lock

from .emulation import AddressOf, keys_of, nowhere

if TYPE_CHECKING:
    from qwenbuild.specs.declaration import Declaration
    from qwenbuild.storage.records import Output
    from qwenbuild.storage.state import State

MOST_SEEDS: Final = 100
"""The seeds of left pins that are tried for each cell without a record: each takes a hash."""


def with_kept_requests(
    actions: Sequence[Action], lock: Lock, state: State, address_of: AddressOf = nowhere
) -> Sequence[Action]:
    """Return the actions; those whose record shows another reading of the same spec have the request of the record.

    `address_of` returns where an emulator may have made an action's image; empty for none.
    """
    pins = lock.pins
    declarations = {id(it.declaration): it.declaration for it in actions}
    reread = {number for number, it in declarations.items() if _may_be_blank(it)}
    some = {id(it.source): it for it in actions}.values()  # cells of an image share one source
    reread |= {id(it.declaration) for it in some if not isinstance(it.source, Request) and it.source.is_escaped}
    if not (pins or reread):
        return actions
    left = {pin.key: pin.seed for pin in lock.left({action.output for action in actions}).values()}
    recorded = _Recorded(actions, state)
    kept = list(actions)

    def keep(number: int, wanted: AbstractSet[str], seeds: Sequence[int]) -> bool:
        """Give the action the request that has one of the `wanted` keys; return whether there is one."""
        action = actions[number]
        is_reread = id(action.declaration) in reread
        if seeds in ([], [action.seed]) or action.seed != derived_seed(action.declaration.name):
            if not is_reread:
                return False
            seeds = []
        if is_reread:
            wanted = {*wanted, *recorded.keys(action.output)}
        known = (it for it in _readings(action, seeds) if not wanted.isdisjoint(keys_of(it.key, address_of(action))))
        found = next(known, None) if wanted else None
        if found and found.key != action.key:
            kept[number] = action._replace(key=found.key, seed=found.seed, source=found)
        return found is not None

    new = []
    for number, action in enumerate(actions):
        if (pin := pins.get(action.output)) is None:
            new.append(number)
        elif pin.key == action.key:
            continue
        elif pin.key not in keys_of(action.key, address_of(action)) and not keep(number, {pin.key}, [pin.seed]):
            left[pin.key] = pin.seed
    seeds = sorted(set(left.values()))[:MOST_SEEDS]
    for number in new:
        keep(number, left.keys(), seeds)
    return kept


def _readings(action: Action, seeds: Sequence[int]) -> Iterator[Request]:
    """Yield what the request may have been before; the first is what it is now."""
    for request in (action.request, action.earlier):
        if request:
            earlier = [request._replace(negative_prompt="")] if request.negative_prompt.isspace() else []
            for reading in (request, *earlier):
                yield reading
                yield from (reading._replace(seed=seed) for seed in seeds)


def _may_be_blank(declaration: Declaration) -> bool:
    """Whether a cell of the image may have a negative prompt of white space alone. No template is rendered."""
    name, image = "negative_prompt", declaration.image
    texts: Sequence[object] = [declaration.setting(name)]
    if name in declaration.axes:
        texts = [*declaration.axes[name], *(entry.get(name) for entry in image.include)]
    return any(isinstance(text, str) and (text.isspace() or "{" in text) for text in texts)


class _Recorded:
    """The keys that the state knows, read when they are first asked for."""

    def __init__(self, actions: Sequence[Action], state: State) -> None:
        self._actions, self._state = actions, state

    def keys(self, output: str) -> set[str]:
        """Return the keys that may be those of an output: of its record, and of what is in flight for no other cell."""
        record = self._outputs.get(output)
        return self._in_flight | ({record.key} if record else set())

    @cached_property
    def _outputs(self) -> dict[str, Output]:
        return self._state.outputs()

    @cached_property
    def _in_flight(self) -> set[str]:
        sent = {submission.key for submission in self._state.open_submissions()}
        return sent - {action.key for action in self._actions} if sent else sent
