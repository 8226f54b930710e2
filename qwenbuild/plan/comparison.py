"""The comparison: what differs between two builds, or between the locks of two revisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from .diff import is_same, summary

KINDS: Final = ("added", "changed", "repinned", "dropped")
"""The kinds of a difference, in the order in which they are shown."""


class Made(NamedTuple):
    """An output as it was built: its cell's name (empty if unknown), its request's key, and its image's SHA-256."""

    name: str
    key: str
    image: str


@dataclass(frozen=True, slots=True)
class Side:
    """The outputs of one side by path. `label` says what the side is, such as `build 12` or `main`."""

    label: str
    outputs: Mapping[str, Made]


class Difference(NamedTuple):
    """An output that differs. `kind` is one of KINDS; repinned means another image of the same request.

    `old` and `new` are the output on each side, None if it is not there. `reason` says in words what differs.
    """

    kind: str
    path: str
    old: Made | None
    new: Made | None
    reason: str

    @property
    def name(self) -> str:
        """The name of the cell, else the path."""
        return (self.new.name if self.new else "") or (self.old.name if self.old else "") or self.path


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides, and how `new` differs from `old`: by kind, then by path."""

    old: Side
    new: Side
    differences: Sequence[Difference]

    @property
    def counts(self) -> dict[str, int]:
        """The number of differences of each kind."""
        found = Counter(it.kind for it in self.differences)
        return {kind: found[kind] for kind in KINDS}


Requests = Callable[[Collection[str]], Mapping[str, Mapping[str, Any]]]
"""Returns the requests of these keys, as far as they are known."""


def compare(old: Side, new: Side, requests: Requests) -> Comparison:
    """Return how two sides differ."""
    before, after = old.outputs, new.outputs
    changed = [(path, before[path], it) for path, it in after.items() if path in before and _differ(before[path], it)]
    known = requests({it.key for _, was, now in changed for it in (was, now) if was.key != now.key})
    gone = {path: it for path, it in before.items() if path not in after}
    places = {it.image: path for path, it in gone.items()}
    found = [Difference("dropped", path, it, None, "dropped") for path, it in gone.items()]
    for path, it in after.items():
        if path not in before:
            moved = f"the image of {places[it.image]}" if it.image in places else "added"
            found.append(Difference("added", path, None, it, moved))
    found += filter(None, (_changed(path, was, now, known) for path, was, now in changed))
    found.sort(key=lambda it: (KINDS.index(it.kind), it.path))
    return Comparison(old, new, found)


def _differ(old: Made, new: Made) -> bool:
    return (old.key, old.image) != (new.key, new.image)


def _changed(path: str, old: Made, new: Made, requests: Mapping[str, Mapping[str, Any]]) -> Difference | None:
    """Return the difference of an output, None if only the version of its key differs."""
    was, now = requests.get(old.key), requests.get(new.key)
    if old.key == new.key or (was is not None and now is not None and is_same(was, now)):
        if old.image == new.image:
            return None
        return Difference("repinned", path, old, new, "another image of the same request")
    reason = "its request changed" if was is None or now is None else summary(was, now)
    return Difference("changed", path, old, new, reason)
