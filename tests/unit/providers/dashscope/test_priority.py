"""Downloads give way to requests that are being sent, but not for long."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from qwenbuild.providers.dashscope.priority import Priority


@pytest.mark.parametrize("end", ["sent", "failed"])
def test_a_download_begins_once_requests_are_sent(end: str) -> None:
    """A download waits until the request is sent or has failed, but not for the answer."""
    happened = []

    async def download(priority: Priority) -> None:
        await priority.give_way()
        happened.append("download")

    async def main() -> None:
        priority = Priority(60)
        downloaded = asyncio.create_task(download(priority))
        with contextlib.suppress(ZeroDivisionError), priority.sending() as sent:
            await asyncio.sleep(0.02)
            happened.append(end)
            if end == "failed":
                raise ZeroDivisionError
            sent()
            await downloaded  # although the request has no answer yet
        await downloaded

    asyncio.run(main())
    assert happened == [end, "download"]


def test_a_download_waits_for_all_requests() -> None:
    """A request that is reported as sent twice counts once."""

    async def main() -> list[bool]:
        priority, done = Priority(60), []
        with priority.sending() as one, priority.sending() as other:
            waiting = asyncio.create_task(priority.give_way())
            for sent in (one, one, other):
                sent()
                await asyncio.sleep(0.01)
                done.append(waiting.done())
        return done

    assert asyncio.run(main()) == [False, False, True]


def test_a_download_begins_although_requests_never_cease() -> None:
    """A download waits for `longest_s` at most."""

    async def main() -> float:
        priority, begun_s = Priority(0.02), time.monotonic()
        with priority.sending():
            await priority.give_way()
        return time.monotonic() - begun_s

    assert 0.01 < asyncio.run(main()) < 10
