"""Renames: an image or a spec that got another name keeps its derived seed, so that renaming is free.

A derived seed follows from the image's name. The lock shows which seed the image had: at the output's own path, or at a
path that no spec declares any more. The seed is taken only if it gives the very request of that record.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwenbuild.request import derived_seed
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import Lock

_MOST_SEEDS = 100  # of orphans that are tried for each cell; one rename leaves one


def with_kept_seeds(actions: Sequence[Action], lock: Lock) -> Sequence[Action]:
    """Return the actions; those with a derived seed have the seed of their record in the lock."""
    pins = lock.pins
    if not pins:
        return actions
    declared = {action.output for action in actions}
    orphans = {pin.key: pin.seed for path, pin in pins.items() if path not in declared}
    seeds = sorted(set(orphans.values()))[:_MOST_SEEDS]
    kept = list(actions)
    for number, action in enumerate(actions):
        pin = pins.get(action.output)
        if pin and pin.key == action.key:
            continue
        wanted = {pin.key} if pin else orphans.keys()
        tried = [pin.seed] if pin else seeds
        if tried not in ([], [action.seed]) and action.seed == derived_seed(action.declaration.name):
            request = action.request
            same = (it for seed in tried if (it := request._replace(seed=seed)).key in wanted)
            if found := next(same, None):
                kept[number] = action._replace(key=found.key, seed=found.seed, source=found)
    return kept
