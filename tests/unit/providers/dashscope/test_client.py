"""The client sends each request once, and says when the request has left."""

from __future__ import annotations

import asyncio

import pytest

from qwenbuild.errors import Unreachable
from qwenbuild.providers.dashscope import wire
from qwenbuild.providers.dashscope.client import Client
from qwenbuild.providers.dashscope.credentials import ApiKey
from qwenbuild.providers.dashscope.endpoint import Endpoint
from tests.support.scripted import CANARY, Reply, Scripted, request_of


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_a_request_is_sent_before_its_answer_comes(interface: str) -> None:
    """The client reports that a request has left, although no answer ever comes."""

    async def main() -> bool:
        async with Scripted() as server, client_of(server) as client:
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


def test_a_refused_connection_sends_nothing() -> None:
    """The client does not report a request as sent if nobody listens."""

    async def main() -> int:
        sent: list[None] = []
        async with Scripted() as server:
            client = client_of(server)
        async with client:
            with pytest.raises(Unreachable):
                await client.submit_sync(wire.sync_body(request_of()), lambda: sent.append(None))
        return len(sent)

    assert asyncio.run(main()) == 0


def client_of(server: Scripted) -> Client:
    """Return a client of the scripted service."""
    return Client(Endpoint(server.base_url, "cn-beijing"), ApiKey(CANARY, "a test"), 60.0)
