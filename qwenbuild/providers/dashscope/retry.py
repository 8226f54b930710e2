"""Retries: which failures get another attempt, how many attempts, and after which wait.

Invariant: no request is sent again after an error that leaves open whether it was billed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from qwenbuild.errors import BadImage, ProviderError, Throttled, Unreachable
from qwenbuild.provider import Journal

from .. import retrying as loop
from .error_codes import is_quota
from .pacing import Pace

# Attempts in total. A throttled request waits for its turn at a slower pace, so it gets many.
_THROTTLED: Final = 25
_QUOTA: Final = 2
_FAULT: Final = 8
_UNREACHABLE: Final = 6
_BAD_IMAGE: Final = 5


def attempts(error: BaseException | None) -> int:
    """Return how many attempts in total a request gets if its last attempt ended with `error`."""
    if not isinstance(error, ProviderError) or not error.retryable:
        return 1
    if isinstance(error, Unreachable):
        return 1 if error.code else _UNREACHABLE  # a code names a lasting fault, such as TLS
    if isinstance(error, Throttled):
        return _QUOTA if is_quota(error) else _THROTTLED
    return _BAD_IMAGE if isinstance(error, BadImage) else _FAULT


retrying: Final = partial(loop.retrying, attempts)
"""The loop over the attempts of a request: see `loop.retrying`."""


class TrackedJournal:
    """A journal with `is_open`: True while a request that was sent may have been billed."""

    def __init__(self, journal: Journal, pace: Pace) -> None:
        """`pace` is that of the request's model."""
        self._journal, self._pace = journal, pace
        self.is_open = False

    async def intend(self, context: Mapping[str, Any]) -> None:
        """See `provider.Journal`."""
        self.is_open = True
        await self._journal.intend(context)

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        """See `provider.Journal`."""
        await self._journal.accepted(handle, emulated_by=emulated_by)

    async def refused(self) -> None:
        """See `provider.Journal`."""
        await self._journal.refused()
        self.is_open = False

    def delayed(self, error: ProviderError, wait_s: float) -> None:
        """See `provider.Journal`."""
        if isinstance(error, Throttled) and not self.is_open:  # the request waits for another turn
            wait_s = max(wait_s, self._pace.wait_s)
        self._journal.delayed(error, wait_s)
