"""Downloads give way to requests that are on their way out, and to nothing for long."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from qwenbuild.errors import Unreachable
from qwenbuild.providers.dashscope import wire
from qwenbuild.providers.dashscope.client import Client
from qwenbuild.providers.dashscope.credentials import ApiKey, Endpoint
from qwenbuild.providers.dashscope.pacing import Outgoing
from tests.support.scripted import CANARY, Reply, Scripted, request_of


@pytest.mark.parametrize("end", ["sent", "failed"])
def test_a_download_begins_once_requests_are_sent(end: str) -> None:
    """It waits for what is on its way, until that is sent or can't be; for an answer it does not wait."""
    happened = []

    async def download(outgoing: Outgoing) -> None:
        await outgoing.give_way()
        happened.append("download")

    async def main() -> None:
        outgoing = Outgoing(60)
        downloaded = asyncio.create_task(download(outgoing))
        with contextlib.suppress(ZeroDivisionError), outgoing.request() as sent:
            await asyncio.sleep(0.02)
            happened.append(end)
            if end == "failed":
                raise ZeroDivisionError
            sent()
            await downloaded  # while nothing is answered
        await downloaded

    asyncio.run(main())
    assert happened == [end, "download"]


def test_a_download_waits_for_all_of_them() -> None:
    """A request that is sent twice, as it were, counts once."""

    async def main() -> list[bool]:
        outgoing, done = Outgoing(60), []
        with outgoing.request() as one, outgoing.request() as other:
            waiting = asyncio.create_task(outgoing.give_way())
            for sent in (one, one, other):
                sent()
                await asyncio.sleep(0.01)
                done.append(waiting.done())
        return done

    assert asyncio.run(main()) == [False, False, True]


def test_a_download_begins_where_requests_never_cease() -> None:
    """After a while it gives way no more."""

    async def main() -> None:
        outgoing = Outgoing(0.01)
        with outgoing.request():
            await outgoing.give_way()

    asyncio.run(main())


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_a_request_is_sent_before_its_answer_comes(interface: str) -> None:
    """The service's client tells when a request has left, though no answer ever comes."""

    async def main() -> bool:
        async with Scripted() as server, Client(_endpoint(server), ApiKey(CANARY, "a test"), 60.0) as client:
            server.script[{"sync": "sync", "async": "create"}[interface]].append(Reply(fault="hang"))
            sent = asyncio.Event()
            submit = {"sync": client.submit_sync, "async": client.submit_async}[interface]
            answer = asyncio.create_task(submit(wire.sync_body(request_of()), sent.set))
            await sent.wait()
            is_answered = answer.done()
            answer.cancel()
            await asyncio.wait([answer])
        return is_answered

    assert not asyncio.run(main())


def test_what_can_not_be_sent_is_not_said_to_be() -> None:
    """A connection that is refused sends nothing."""

    async def main() -> int:
        sent: list[None] = []
        async with Scripted() as server:
            endpoint = _endpoint(server)
        async with Client(endpoint, ApiKey(CANARY, "a test"), 60.0) as client:
            with pytest.raises(Unreachable):
                await client.submit_sync(wire.sync_body(request_of()), lambda: sent.append(None))
        return len(sent)

    assert asyncio.run(main()) == 0


def _endpoint(server: Scripted) -> Endpoint:
    return Endpoint(server.base_url, "cn-beijing")
