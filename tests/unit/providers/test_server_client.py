"""The client of a user's own server: real HTTP on loopback, with answers that are cut, endless or somebody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qwenbuild.errors import ProviderError, ServiceFault, Unreachable
from qwenbuild.providers.addresses import Address
from qwenbuild.providers.server_client import Answer, ServerClient
from tests.support.image_servers import Reply, serving

TOKEN = "tok-canary-4242abcd"


def sent(url: str, *, token: str = "", whole_s: float = 5.0, most_bytes: int = 10_000) -> Answer:
    async def main() -> Answer:
        async with ServerClient(Address(url, is_users=False), token=token, hint="is it up?") as client:
            path = f"{url}/images/generations"
            return await client.send("POST", path, {"prompt": "猫"}, whole_s=whole_s, most_bytes=most_bytes)

    return asyncio.run(main())


def test_an_answer_is_complete() -> None:
    """JSON goes out and comes back, with the token and what the server asks for."""
    with serving() as server:
        server.replies.append(Reply(429, b'{"detail": "full"}', headers={"Retry_After": "3"}))
        answer = sent(server.url, token=TOKEN)
        assert (answer.status, answer.body, answer.retry_after_s) == (429, {"detail": "full"}, 3.0)
        assert (server.bodies, server.tokens) == ([{"prompt": "猫"}], [f"Bearer {TOKEN}"])


def test_a_token_that_is_echoed_is_masked() -> None:
    """No text of an answer shows it."""
    with serving() as server:
        server.replies.append(Reply(302, f"you sent {TOKEN}".encode(), "text/plain", {"Location": f"/?{TOKEN}"}))
        answer = sent(server.url, token=TOKEN)
    assert (answer.excerpt, answer.location) == ("you sent ***", "/?***")


@pytest.mark.parametrize(
    ("reply", "limits", "fact"),
    [
        (Reply(body=b" " * 100, is_cut=True), {}, "RemoteProtocolError"),
        (Reply(body=b" " * 20_000), {}, "more than 10,000 bytes"),
        (Reply(after_s=0.3), {"whole_s": 0.05}, "no complete answer within 0.05 s"),
    ],
)
def test_an_answer_that_is_lost(reply: Reply, limits: dict[str, Any], fact: str) -> None:
    """It may be asked for again."""
    with serving() as server, pytest.raises(ServiceFault) as caught:
        server.replies.append(reply)
        sent(server.url, **limits)
    assert fact in caught.value.facts[0]
    assert caught.value.__context__ is None


def test_a_server_that_is_not_there() -> None:
    """Nothing was sent; the hint is the client's."""
    with serving() as server:
        url = server.url
    with pytest.raises(Unreachable) as caught:
        sent(url)
    assert (caught.value.claim, caught.value.hint) == (f"can't reach {url.removesuffix('/v1')}", "is it up?")
    assert isinstance(caught.value, ProviderError)
