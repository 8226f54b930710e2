"""Retries: which failures get another attempt, how many attempts, and after which wait.

Invariants: no request is sent again after an error that leaves open whether it was billed. A wait is random
(full jitter), and at least as long as the service asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from qwenbuild.errors import BadImage, ProviderError, Throttled, Unreachable
from qwenbuild.provider import Journal

from .error_codes import is_quota
from .pacing import Pace

_LONGEST_WAIT_S: Final = 60.0

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


Tell = Callable[[ProviderError, float], None]
"""Takes the error of an attempt, and the wait in seconds until the next attempt."""


def silent(error: ProviderError, wait_s: float) -> None:
    """Tell nobody."""


def retrying(
    first_wait_s: float, is_safe: Callable[[], bool] = lambda: True, *, longest_s: float = math.inf,
    tell: Tell = silent,
) -> AsyncRetrying:  # fmt: skip
    """Return tenacity's loop over attempts. It continues only while `is_safe()`, and raises the last error unchanged.

    No attempt begins more than `longest_s` seconds after the first one. `tell` is called before each wait.
    The n-th wait is the time that the service asked for, plus a random part of `first_wait_s` * 2^(n-1)
    or of 60 seconds, whichever is less. `first_wait_s` is in seconds.
    """
    backoff = wait_random_exponential(multiplier=first_wait_s, max=_LONGEST_WAIT_S)

    def wait_s(state: RetryCallState) -> float:
        error = _error(state)
        asked_s = error.retry_after_s if isinstance(error, ProviderError) else None
        return (asked_s or 0.0) + float(backoff(state))

    def before_wait(state: RetryCallState) -> None:
        if isinstance(error := _error(state), ProviderError):
            tell(error, state.upcoming_sleep)

    return AsyncRetrying(
        retry=retry_if_exception(lambda error: attempts(error) > 1 and is_safe()),
        stop=lambda state: (
            state.attempt_number >= attempts(_error(state))
            or (state.seconds_since_start or 0.0) + state.upcoming_sleep > longest_s
        ),
        wait=wait_s,
        before_sleep=before_wait,
        reraise=True,
    )


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


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
