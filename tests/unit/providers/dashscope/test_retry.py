"""Retries: how many attempts each error gets, and how long the waits are."""

from __future__ import annotations

import asyncio
import time

import pytest

from qwenbuild.errors import (
    AccountError,
    AnswerLost,
    BadImage,
    ProviderError,
    Refused,
    ServiceFault,
    Throttled,
    Unreachable,
)
from qwenbuild.providers.dashscope.retry import attempts, retrying


async def failing(error: BaseException, first_wait_s: float = 0.0001) -> int:
    """Return the number of attempts if every attempt fails with `error`."""
    tries = 0
    with pytest.raises(type(error)) as caught:
        async for attempt in retrying(first_wait_s):
            with attempt:
                tries += 1
                raise error
    assert caught.value is error
    return tries


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused("x"), 1),
        (AccountError("x"), 1),
        (AnswerLost("x"), 1),
        (ProviderError("x"), 1),
        (ValueError("x"), 1),
        (BadImage("x"), 5),
        (Unreachable("x"), 6),
        (Unreachable("x", code="TLS"), 1),
        (Throttled("x", code="Throttling.AllocationQuota"), 2),
        (Throttled("x", code="insufficient_quota"), 2),
    ],
)
def test_each_error_has_its_number_of_attempts(error: Exception, expected: int) -> None:
    """A request that may be billed gets one attempt, a used-up quota two. The last error is raised unchanged."""
    assert attempts(error) == expected
    assert asyncio.run(failing(error)) == expected


def test_throttling_and_faults_get_most_attempts() -> None:
    """Both usually pass without help."""
    assert (attempts(Throttled("x")), attempts(ServiceFault("x"))) == (25, 8)


def test_an_open_intent_forbids_another_attempt() -> None:
    """A retryable error is final while the request may have been billed."""

    async def main() -> int:
        tries = 0
        with pytest.raises(ServiceFault):
            async for attempt in retrying(0.0001, lambda: False):
                with attempt:
                    tries += 1
                    raise ServiceFault("x")
        return tries

    assert asyncio.run(main()) == 1


def test_a_wait_is_at_least_as_long_as_the_service_asks() -> None:
    """The random wait is added to Retry-After."""
    begun = time.monotonic()
    asyncio.run(failing(Throttled("x", code="insufficient_quota", retry_after_s=0.2)))
    assert 0.2 <= time.monotonic() - begun < 2


def test_cancelling_ends_the_wait_at_once() -> None:
    """A caller that is cancelled between two attempts does not wait any longer."""

    async def main() -> float:
        begun = time.monotonic()
        task = asyncio.create_task(failing(ServiceFault("x", retry_after_s=60.0)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    assert asyncio.run(main()) < 1


def test_a_cancelled_attempt_is_not_tried_again() -> None:
    """The cancellation leaves the loop."""

    async def main() -> int:
        tries = 0

        async def work() -> None:
            nonlocal tries
            async for attempt in retrying(0.0001):
                with attempt:
                    tries += 1
                    await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return tries

    assert asyncio.run(main()) == 1


def test_no_attempt_begins_after_the_longest_time() -> None:
    """If the next wait would end too late, the last error is raised at once."""

    async def main() -> tuple[int, float]:
        tries, begun = 0, time.monotonic()
        with pytest.raises(ServiceFault):
            async for attempt in retrying(0.0001, longest_s=30.0):
                with attempt:
                    tries += 1
                    raise ServiceFault("x", retry_after_s=0.001 if tries < 3 else 60.0)
        return tries, time.monotonic() - begun

    tries, seconds = asyncio.run(main())
    assert tries == 3
    assert seconds < 30
