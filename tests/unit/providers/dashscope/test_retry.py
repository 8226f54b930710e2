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
    """Return how often something that always fails with `error` is tried."""
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
def test_each_error_is_tried_as_often_as_it_is_worth(error: Exception, expected: int) -> None:
    """What may have been billed is never tried again; a used-up quota once; the last error is raised as it was."""
    assert attempts(error) == expected
    assert asyncio.run(failing(error)) == expected


def test_throttling_and_faults_are_tried_longest() -> None:
    """Both pass by themselves."""
    assert (attempts(Throttled("x")), attempts(ServiceFault("x"))) == (25, 8)


def test_an_open_intent_forbids_another_attempt() -> None:
    """Even a retryable error is final while something that was sent may have been billed."""

    async def main() -> int:
        tries = 0
        with pytest.raises(ServiceFault):
            async for attempt in retrying(0.0001, lambda: False):
                with attempt:
                    tries += 1
                    raise ServiceFault("x")
        return tries

    assert asyncio.run(main()) == 1


def test_a_wait_is_at_least_what_the_service_asks_for() -> None:
    """Retry-After is honoured on top of the jitter."""
    begun = time.monotonic()
    asyncio.run(failing(Throttled("x", code="insufficient_quota", retry_after_s=0.2)))
    assert 0.2 <= time.monotonic() - begun < 2


def test_cancelling_ends_the_wait_at_once() -> None:
    """A caller that gives up while waiting for the next attempt is not held."""

    async def main() -> float:
        begun = time.monotonic()
        task = asyncio.create_task(failing(ServiceFault("x", retry_after_s=60.0)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    assert asyncio.run(main()) < 1


def test_cancelling_an_attempt_is_no_failure_to_be_tried_again() -> None:
    """Cancellation passes through the loop."""

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
