"""Retrying: the loop over the attempts of one request, with random waits.

A wait is random (full jitter), and at least as long as the server asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from qwenbuild.errors import ProviderError

_LONGEST_WAIT_S: Final = 60.0

Tell = Callable[[ProviderError, float], None]
"""Takes the error of an attempt, and the wait in seconds until the next attempt."""


def silent(error: ProviderError, wait_s: float) -> None:
    """Tell nobody."""


def retrying(
    attempts: Callable[[BaseException | None], int], first_wait_s: float, is_safe: Callable[[], bool] = lambda: True, *,
    longest_s: float = math.inf, tell: Tell = silent,
) -> AsyncRetrying:  # fmt: skip
    """Return tenacity's loop over attempts. It continues only while `is_safe()`, and raises the last error unchanged.

    `attempts` returns how many a request gets in total if its last attempt ended with an error. No attempt begins more
    than `longest_s` seconds after the first one. `tell` is called before each wait. The n-th wait is the time that the
    server asked for, plus a random part of `first_wait_s` * 2^(n-1) or of 60 seconds, whichever is less.
    """
    backoff = wait_random_exponential(multiplier=first_wait_s, max=_LONGEST_WAIT_S)

    def wait_s(state: RetryCallState) -> float:
        error = _error(state)
        asked_s = error.retry_after_s if isinstance(error, ProviderError) else None
        return (asked_s or 0.0) + float(backoff(state))

    return AsyncRetrying(
        retry=retry_if_exception(lambda error: attempts(error) > 1 and is_safe()),
        stop=lambda state: (
            state.attempt_number >= attempts(_error(state))
            or (state.seconds_since_start or 0.0) + state.upcoming_sleep > longest_s
        ),
        wait=wait_s,
        before_sleep=telling(tell),
        reraise=True,
    )


def telling(tell: Tell) -> Callable[[RetryCallState], None]:
    """Return what tenacity calls before a wait: it hands the error and the wait to `tell`."""

    def before_wait(state: RetryCallState) -> None:
        if isinstance(error := _error(state), ProviderError):
            tell(error, state.upcoming_sleep)

    return before_wait


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
