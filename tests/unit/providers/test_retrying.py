"""Retrying: how many attempts an error gets, and after which waits. `dashscope.retry` tests the rest."""

from __future__ import annotations

import asyncio

import pytest

from qwenbuild.errors import ProviderError, ServiceFault
from qwenbuild.providers.retrying import retrying


def test_the_last_error_is_raised_unchanged() -> None:
    """Each wait is told, with the error before it."""
    errors = [ServiceFault(str(number)) for number in range(3)]
    told: list[ProviderError] = []

    async def main() -> None:
        rest = iter(errors)
        async for attempt in retrying(lambda error: 3, 0.0, tell=lambda error, wait_s: told.append(error)):
            with attempt:
                raise next(rest)

    with pytest.raises(ServiceFault) as caught:
        asyncio.run(main())
    assert (caught.value, told) == (errors[2], errors[:2])
