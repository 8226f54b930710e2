"""Reasons: the steps of a plan in groups. The steps of a group have one verdict and one reason.

To say how a request changed, the old one is read and compared, which takes as long as planning the step. So of many
changed requests only some are compared, evenly spread over each image; a group says how many were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .diff import kind
from .plan import Step, Verdict

COMPARED = 500
"""How many changed requests are compared, of more than twice as many; each image has one at least."""

_FEW = 3  # differences of one kind that are groups of their own
_OTHER_CELLS = {  # the causes that name something of their own, by how they begin
    "same request as ": "same request as another cell",
    "its image is at ": "its image is at another path",
    "it holds the image of ": "it holds the image of another cell",
    "being rendered by ": "being rendered by another build",
}


@dataclass(slots=True)
class Group:
    """Steps with one verdict and one reason.

    `images` are the names of their images, `first` are the first steps. `compared` is the number of steps that the
    reason is known for; for the others it is assumed, because they are of the same image and have the same verdict.
    """

    verdict: Verdict
    reason: str
    count: int = 0
    compared: int = 0
    images: set[str] = field(default_factory=set)
    first: list[Step] = field(default_factory=list)

    def add(self, steps: Sequence[Step], compared: int, most: int) -> None:
        """Add steps of one image."""
        self.count += len(steps)
        self.compared += compared
        self.images.add(steps[0].action.declaration.name)
        self.first += steps[: most - len(self.first)]


def grouped(steps: Iterable[Step], *, names: int = 5, most: int = COMPARED) -> list[Group]:
    """Return the groups of `steps`, the largest first; each has the first `names` steps. `most`: see `COMPARED`."""
    alike: dict[tuple[object, ...], list[Step]] = {}
    for step in steps:
        action = step.action
        key = step.verdict, step.cause, step.was is None, action.declaration.name, action.is_seed_random
        alike.setdefault(key, []).append(step)
    changed = sum(len(some) for some in alike.values() if some[0].was)
    share = most / changed if changed > 2 * most else 1.0
    found: dict[tuple[Verdict, str], Group] = {}
    for some in alike.values():
        parts = _compared(some, share) if some[0].was else [(_cause(some[0]), some, len(some))]
        for reason, members, compared in parts:
            group = found.setdefault((some[0].verdict, reason), Group(some[0].verdict, reason))
            group.add(members, compared, names)
    return sorted(found.values(), key=lambda group: -group.count)


def _cause(step: Step) -> str:
    """Return the reason of a step whose request has not changed, without what is its own."""
    text = step.reason
    return next((other for start, other in _OTHER_CELLS.items() if text.startswith(start)), text)


def _compared(steps: Sequence[Step], share: float) -> Iterator[tuple[str, Sequence[Step], int]]:
    """Yield (reason, steps, how many of them were compared) for changed requests of one image."""
    wanted = min(len(steps), max(1, round(len(steps) * share)))
    chosen = steps if wanted == len(steps) else [steps[at * len(steps) // wanted] for at in range(wanted)]
    if chosen[0].was:
        chosen[0].was[1].read(step.was[0] for step in chosen if step.was)
    reasons: dict[str, list[Step]] = {}
    for step in chosen:
        reasons.setdefault(step.reason, []).append(step)
    if len(reasons) > _FEW:
        reasons = _by_kind(reasons)
    if len(reasons) == 1:  # so it is most likely the reason of all
        yield next(iter(reasons)), steps, wanted
        return
    for reason, members in reasons.items():
        yield reason, members, len(members)
    if wanted < len(steps):
        known = {id(step) for step in chosen}
        yield "its request changed, not compared", [step for step in steps if id(step) not in known], 0


def _by_kind(reasons: Mapping[str, list[Step]]) -> dict[str, list[Step]]:
    """Return the steps by what changed. Reasons of one kind stay apart if they are few."""
    kinds: dict[str, list[str]] = {}
    for reason, (step, *_) in reasons.items():
        before = step.before
        name = kind(before, step.action.request.as_dict()) if before else ""
        kinds.setdefault(name or reason, []).append(reason)
    found: dict[str, list[Step]] = {}
    for name, texts in kinds.items():
        if len(texts) <= _FEW:
            found |= {text: reasons[text] for text in texts}
        else:
            found[name] = [step for text in texts for step in reasons[text]]
    return found
