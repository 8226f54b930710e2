"""Drawn seeds: a cell whose seed is random has the seed that was drawn for its image, as long as its request stays.

The seed stands in the lock, in the state's record of the output, and in the provenance of the image. The store has the
image also under the key of the request without a seed, so that it is found if neither lock nor state know it.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from qwenbuild.request import SEED_MAX
from qwenbuild.routes import Routes
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

from .emulation import AddressOf, keys_of, nowhere
from .kept_requests import MOST_SEEDS
from .plan import Step, Verdict


def with_drawn_seeds(
    actions: Sequence[Action], lock: Lock, state: State, store: Store, routes: Routes, address_of: AddressOf = nowhere
) -> Sequence[Action]:
    """Return the actions; those whose random seed was drawn before have this seed."""
    if not any(action.is_seed_random for action in actions):
        return actions
    found = _Found(actions, lock, state, store)
    chosen = list(actions)
    for number, action in enumerate(actions):
        if action.is_seed_random:
            labelled = routes.provider(action.choice).labelled
            known = found.of(action, labelled, address_of(action))
            chosen[number] = known or action
    return chosen


def with_seed(step: Step, *, labelled: bool) -> Action:
    """Return a step's action with its request. A random seed is the one that was sent, else a new one.

    `labelled`: the provider draws labels. Raises ProjectError.
    """
    action = step.action
    if not action.is_seed_random:
        return action._replace(source=action.request)
    sent = step.submission.request.seed if step.verdict is Verdict.REATTACH and step.submission else None
    return action.drawn(secrets.randbelow(SEED_MAX + 1) if sent is None else sent, labelled=labelled)


def seed_of(store: Store, action: Action, address: str) -> int | None:
    """Return the seed of the image that the store has for a request without a seed; None if it has none."""
    for key in keys_of(action.key, address):
        entry = store.lookup(key, any_size=True)
        provenance = store.provenance(entry) if entry else None
        if (seed := _seed((provenance or {}).get("request"))) is not None:
            return seed
    return None


def _seed(request: object) -> int | None:
    """Return the seed of a recorded request, None if it has none."""
    seed = request.get("seed") if isinstance(request, dict) else None
    return seed if type(seed) is int and 0 <= seed <= SEED_MAX else None


def _labels(name: str) -> str:
    """Return the labels in a cell's name, which stay if the image gets another name."""
    return name.partition("[")[2]


class _Found:
    """Where the seeds of earlier builds stand."""

    def __init__(self, actions: Sequence[Action], lock: Lock, state: State, store: Store) -> None:
        self._lock, self._store = lock, store
        random = [action.output for action in actions if action.is_seed_random]
        outputs, declared = state.outputs(), {action.output for action in actions}
        self._keys = {path: outputs[path].key for path in random if path in outputs}
        self._requests = state.requests(set(self._keys.values()))
        # Images of cells that have another name now, by key: all of them under "", and those with the same labels.
        self._left: defaultdict[str, dict[str, Pin]] = defaultdict(dict)
        for pin in lock.left(declared).values():
            for labels in ("", _labels(pin.name)):
                self._left[labels][pin.key] = pin
        sent = state.open_submissions()
        self._replacing = {it.key for it in sent if it.forced and it.handle}  # the new image is in flight
        self._kept = {it.key: it.request for it in sent}  # a crash may have come before their seeds were recorded

    def of(self, action: Action, labelled: bool, address: str) -> Action | None:
        """Return the action with the seed that was drawn for it, None if there is none."""
        if action.key in self._replacing:
            return None
        for seed, key in self._candidates(action, address):
            drawn = action.drawn(seed, labelled=labelled)
            if key is None or key in keys_of(drawn.key, address):
                if key and (pin := self._left[""].get(key)):
                    for labels in ("", _labels(pin.name)):
                        self._left[labels].pop(key, None)
                return drawn
        return None

    def _candidates(self, action: Action, address: str) -> Iterator[tuple[int, str | None]]:
        """Yield (seed, the key that a request with this seed must have; None for any)."""
        for pins in (self._lock.pins, self._lock.theirs or {}):
            if pin := pins.get(action.output):
                yield pin.seed, pin.key
        key = self._keys.get(action.output, "")
        if (seed := _seed(json.loads(self._requests.get(key, "{}")))) is not None:
            yield seed, key
        if (seed := seed_of(self._store, action, address)) is not None:
            yield seed, None
        if (request := self._kept.get(action.key)) and any(
            self._store.lookup(it, any_size=True) for it in keys_of(request.key, address)
        ):
            yield request.seed, request.key
        # A renamed image leaves one pin for each cell. If each cell tried all of them, the time would be a square.
        alike, every = (islice(self._left[it].items(), MOST_SEEDS) for it in (_labels(action.name), ""))
        yield from [(pin.seed, key) for key, pin in {**dict(alike), **dict(every)}.items()]
