"""Lanes: the providers of one run, each with the submissions that it sees and makes.

A lane belongs to one route. What is in flight in another region, or with another provider, is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        return [it for it, _ in self.collected_by()]

    def collected_by(self) -> list[tuple[Submission, Lane | None]]:
        """Return the open submissions of this project, each with the first lane that can collect it; None if none can.

        A submission is as its lane sees it: what is another account for one region is the present one for another.
        """
        found: dict[str | int, tuple[Submission, Lane | None]] = {}
        for lane in self:
            for it in lane.submissions.own():
                at, can = it.uid or abs(it.id), lane.can_collect(it)  # lanes differ in the id
                if at not in found or (found[at][1] is None and (can or it.provider == lane.provider.name)):
                    found[at] = it, lane if can else None
        return list(found.values())

    def warnings(self) -> list[Problem]:
        """Return what the submissions of all lanes warn of, each problem once."""
        found = {str(problem): problem for lane in self for problem in lane.submissions.warnings()}
        return list(found.values())

    def close(self) -> None:
        """Close the submissions of all lanes."""
        for lane in self._open.values():
            lane.submissions.close()
