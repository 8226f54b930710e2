"""Alike: the outputs of a build that need attention, grouped by the reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from qwenbuild.events import ImageFinished, Outcome
from qwenbuild.problems import visible

from .style import without_ids


@dataclass(slots=True)
class Group:
    """Outputs that need attention for one reason: the first one, and the names of all."""

    first: ImageFinished
    names: list[str] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether it has only one output."""
        return len(self.names) == 1

    @property
    def claim(self) -> str:
        """The reason in a few words."""
        return visible(self.first.problems[0].claim if self.first.problems else self.first.reason)


class Alike:
    """The groups, in the order of their first outputs. `has_refused`: a build does not send one of them again."""

    def __init__(self) -> None:
        self._groups: dict[tuple[object, ...], Group] = {}
        self.has_refused = False

    def add(self, event: ImageFinished) -> Group:
        """Add an output to its group, and return the group. Ids and the output's own path make no difference."""
        is_final = event.reason.startswith("not sent again") or any(
            "--retry-failed" in (it.hint or "") for it in event.problems
        )
        self.has_refused |= event.outcome is Outcome.FAILED and is_final
        path = event.path
        said = ((it.claim.replace(path, ""), *(fact.replace(path, "") for fact in without_ids(it.facts)))
                for it in event.problems)  # fmt: skip
        key = (event.outcome, *said) if event.problems else (event.outcome, event.reason)
        group = self._groups.setdefault(key, Group(event))
        group.names.append(event.name)
        return group

    def groups(self) -> list[Group]:
        """Return the groups. Another thread may call this while outputs are added."""
        return [*self._groups.values()]

    def taken(self) -> list[Group]:
        """Return the groups, and forget them."""
        groups = self.groups()
        self._groups.clear()
        return groups
