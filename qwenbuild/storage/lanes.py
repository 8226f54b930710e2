"""Lanes: the providers of one run, each with the submissions that it sees and makes.

A lane belongs to one route. What is in flight in another region, or with another provider, is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from qwenbuild.problems import Problem
from qwenbuild.provider import Provider, emulator_address, resumable
from qwenbuild.request import Submission
from qwenbuild.routes import DEFAULT, Choice, Routes

from .submissions import Submissions


@dataclass(frozen=True, slots=True)
class Lane:
    """A provider, and its submissions."""

    provider: Provider
    submissions: Submissions

    def can_collect(self, submission: Submission) -> bool:
        """Return whether the provider can collect the image of a submission now."""
        is_own = submission.provider == self.provider.name and resumable(self.provider) is not None
        is_free = not (submission.elsewhere or submission.is_held)
        return bool(is_own and is_free and submission.handle and submission.emulated_by in ("", self.address))

    @property
    def address(self) -> str:
        """The address at which an emulator may answer the provider; empty for none."""
        return emulator_address(self.provider)


class Lanes:
    """The lanes of one run, which are opened when they are first asked for. Close it."""

    def __init__(self, routes: Routes, submissions_of: Callable[[Provider], Submissions]) -> None:
        self._routes, self._submissions_of = routes, submissions_of
        self._open: dict[int, Lane] = {}  # by the provider's identity

    def of(self, choice: Choice = DEFAULT) -> Lane:
        """Return the lane of images with this choice. Raises UsageError if there is no such provider."""
        provider = self._routes.provider(choice)
        if id(provider) not in self._open:
            self._open[id(provider)] = Lane(provider, self._submissions_of(provider))
        return self._open[id(provider)]

    def __iter__(self) -> Iterator[Lane]:
        """Yield the lane of each route that the project uses, the default's first."""
        for choice in list(self._routes.used):
            yield self.of(choice)

    @property
    def names(self) -> str:
        """The names of the providers, such as `dashscope, draft`."""
        return self._routes.names

    def own(self) -> list[Submission]:
        """Return the open submissions of this project, whatever provider made them."""
        found: dict[tuple[str, int], Submission] = {}
        for lane in self:
            for it in lane.submissions.own():
                if it.provider == lane.provider.name or (it.uid, it.id) not in found:
                    found[it.uid, it.id] = it
        return list(found.values())

    def uncollectable(self, declared: Set[str]) -> list[Problem]:
        """Return a problem if accepted requests of this project are of a provider or a region that no image uses now.

        `declared` are the keys that the project's images ask for: what is in flight for them is told beside them.
        """
        lanes = list(self)
        open_ = (it for it in self.own() if it.handle and not it.is_held and it.key not in declared)
        left = [it for it in open_ if not any(lane.can_collect(it) for lane in lanes)]
        if not left:
            return []
        first, count = left[0], "1 image is" if len(left) == 1 else f"{len(left):,} images are"
        where = f"{first.provider} {first.context.get('region', '')}".strip()
        region = f" --region {first.context['region']}" if first.context.get("region") else ""
        hint = f"`qwenbuild build --provider {first.provider}{region}` collects what that account made"
        claim = f"{count} in flight at a provider that no image uses now: not collected"
        return [Problem(claim, facts=(f"such as {first.cell or first.key[:12]}: {where}",), hint=hint)]

    def warnings(self) -> list[Problem]:
        """Return what the submissions of all lanes warn of, each problem once."""
        found = {str(problem): problem for lane in self for problem in lane.submissions.warnings()}
        return list(found.values())

    def close(self) -> None:
        """Close the submissions of all lanes."""
        for lane in self._open.values():
            lane.submissions.close()
