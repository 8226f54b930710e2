"""Lost answers: what the service's list of tasks says about submissions whose answers never came.

Invariants:
- A task is adopted without the user's order only if the user's own config says that nobody else uses the account.
- A submission is settled as not billed only if the list proves it.
- A submission that a living process works on is left alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from qwenbuild.errors import ProviderError
from qwenbuild.provider import Provider, searchable
from qwenbuild.request import Submission
from qwenbuild.specs import user_config
from qwenbuild.specs.user_config import UserConfig
from qwenbuild.storage.submissions import Submissions

RECENT_S = 2 * 86_400.0  # twice as long as a service is expected to keep tasks
_PATIENCE_S = 300.0  # longest wait for the end of a task that may be adopted


class Fate(Enum):
    """What has become of a submission with a lost answer."""

    ADOPTED = "adopted"  # the submission has a handle now: a build collects the image
    NOT_BILLED = "not_billed"  # the submission is settled: its request may be sent again
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """A submission with a lost answer as it is now, and its fate.

    `submission.search` says what the list showed; None if the list could not be read, or can't know the submission.
    """

    submission: Submission
    fate: Fate


class LostAnswers:
    """Looks into the service's list, within the provider's session."""

    def __init__(self, provider: Provider, submissions: Submissions) -> None:
        self._provider, self._submissions = provider, submissions
        self._own: UserConfig | None = None  # read once, when it is needed

    async def is_sole_user(self) -> bool:
        """Return whether the user's own config says that nobody else uses the account. Raises ProjectError."""
        if self._own is None:
            self._own = await asyncio.to_thread(user_config.read)
        return self._own.of_provider(self._provider.name).sole_user

    async def resolve(self, lost: Sequence[Submission], *, can_wait: bool) -> list[Answer]:
        """Adopt and settle what is certain; return the fate of each submission, in the order of `lost`.

        With `can_wait`, tasks that may be adopted are waited for until they end. A list that can't be read
        leaves every submission UNKNOWN. Raises ProviderError if it stops the run, LedgerError, ProjectError.
        """
        try:
            searched = await self.searched(lost, can_wait=can_wait)
        except ProviderError as error:
            if error.stops_run:
                raise
            searched = [replace(it, search=None) for it in lost]  # an earlier list decides nothing
        may_adopt = any(it.search and it.search.certain for it in searched) and await self.is_sole_user()
        return [await asyncio.to_thread(self._answer, it, may_adopt) for it in searched]

    async def searched(self, lost: Sequence[Submission], *, can_wait: bool = False) -> list[Submission]:
        """Return the submissions with what the list shows now, which is also remembered for plans.

        Raises ProviderError if the list can't be read, LedgerError, ProjectError.
        """
        service = searchable(self._provider)
        asked = [it for it in lost if not it.is_held]
        if service is None or not asked:
            return [replace(it, search=None) for it in lost]
        patience_s = _PATIENCE_S if can_wait and await self.is_sole_user() else 0.0
        searches = await service.search(asked, self.recent, patience_s=patience_s)
        found = [replace(it, search=searches.get(it.id)) for it in lost]
        await asyncio.to_thread(self._submissions.remember, [it for it in found if it.search])
        return found

    def recent(self) -> Sequence[Submission]:
        """Return the provider's submissions of the last two days, of all projects, that were not refused."""
        recent = self._submissions.since(time.time() - RECENT_S)
        return [it for it in recent if it.provider == self._provider.name]

    def _answer(self, lost: Submission, may_adopt: bool) -> Answer:
        search = lost.search
        if search and search.is_not_billed and self._submissions.settle_unbilled(lost):
            return Answer(lost, Fate.NOT_BILLED)
        if search and search.certain and may_adopt:
            adopted = self._submissions.adopt(lost, search.certain.handle)
            if adopted and adopted.uid == lost.uid:
                return Answer(adopted, Fate.ADOPTED)
        return Answer(lost, Fate.UNKNOWN)
