"""Rendering: an image in each dialect, what is tried again, and what several servers do together."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from qwenbuild.errors import ProviderError, Throttled, Unreachable
from qwenbuild.files import png
from qwenbuild.provider import Rendered
from qwenbuild.providers.addresses import Address
from qwenbuild.providers.images import jobs, rendering
from qwenbuild.providers.images.dialects import DIALECTS
from qwenbuild.providers.images.rendering import Renderer
from qwenbuild.providers.images.servers import Servers
from qwenbuild.request import Size
from tests.support.image_servers import MODEL, Reply, failed, made, rendered, says, serving, told, wanted
from tests.support.scripted import Journal


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(jobs, "_FIRST_POLL_S", 0.001)


def images(found: list[object]) -> list[Rendered]:
    """Return what was rendered; fail if something was not."""
    assert [it for it in found if not isinstance(it, Rendered)] == []
    return [it for it in found if isinstance(it, Rendered)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_image_in_each_dialect(dialect: str) -> None:
    """It has the size that was asked for. Another seed gives another image, and the same seed the same."""
    accept: dict[str, Any] = {"accept": "jpeg"} if dialect == "xinference" else {}
    with serving(dialect) as server:
        found = images([*rendered(made(server, **accept), wanted(), wanted(seed=8), wanted())])
    assert {png.size_of(it.png) for it in found} == {Size(64, 32)}
    assert found[0].png == found[2].png != found[1].png
    told = {"vllm-omni": "1.2.3", "localai": "1.2.3"}.get(dialect)
    assert {(it.facts["server"], it.facts.get(f"{dialect}_version")) for it in found} == {(server.origin, told)}
    assert [it.warnings for it in found] == [[], [], []]
    assert ("decoded_by" in found[0].facts) == (dialect == "xinference")


def test_a_lost_answer_is_asked_for_again() -> None:
    """So is one without an image, a torn image, and one of a server that is busy. Nothing is on the ledger."""
    journal = Journal()
    torn = json.dumps({"data": [{"b64_json": "iVBORw0KGgo="}]}).encode()
    with serving() as server:
        server.replies += [Reply(body=torn), Reply(is_cut=True), Reply(), says(503, "loading", Retry_After="0")]

        async def main() -> Rendered:
            provider = made(server)
            async with provider.session():
                return await provider.render(wanted(), journal)

        assert asyncio.run(main()).png.startswith(b"\x89PNG")
        assert len(server.bodies) == 5
    assert [type(error).__name__ for error, _ in journal.delays] == [
        "BadImage", "ServiceFault", "ServiceFault", "Throttled"
    ]  # fmt: skip
    assert journal.log == []


@pytest.mark.parametrize(
    ("reply", "times"),
    [(says(422, "no"), 1), (says(401, "no"), 1), (says(500, "no"), 4), (Reply(body=b"<p>", kind="text/html"), 1)],
)
def test_how_often_a_fault_is_tried(reply: Reply, times: int) -> None:
    """What can't succeed is sent once."""
    with serving() as server:
        server.replies += [reply] * 9
        failed(made(server))
        assert len(server.bodies) == times


def test_another_server_takes_over() -> None:
    """One that is dead, or somebody else's, is left out."""
    with serving() as dead:
        pass
    with serving() as page, serving() as good:
        page.replies += [Reply(body=b"<p>", kind="text/html")] * 9
        found = images([*rendered(made(dead, page, good), wanted(), wanted(seed=8), wanted(seed=9))])
        assert {it.facts["server"] for it in found} == {good.origin}
        assert len(page.bodies) == 1


def test_servers_share_the_work() -> None:
    """Each gets one request at once: another batch would give other pixels."""

    async def main() -> None:
        provider = made(one, other)
        assert provider.concurrency == 2
        async with provider.session():
            calls = [asyncio.create_task(provider.render(wanted(seed=seed), Journal())) for seed in range(6)]
            for server in (one, other):
                await asyncio.to_thread(server.arrived.acquire)
                server.gate.set()
            await asyncio.gather(*calls)

    with serving() as one, serving() as other:
        one.gate.clear()
        other.gate.clear()
        asyncio.run(main())
        assert (one.most_at_once, other.most_at_once) == (1, 1)
        assert min(len(one.bodies), len(other.bodies)) >= 1


def test_the_same_image_for_each_seed_is_told_once() -> None:
    """The server ignores the seed. Equal requests have equal images."""
    requests = [wanted(), wanted(), wanted(seed=8), wanted(seed=9), wanted("other", seed=1)]
    with serving("sglang", ignores_seed=True) as server:
        found = images([*rendered(made(server), *requests)])
    warnings = [problem for it in found for problem in it.warnings]
    assert [told(it) for it in warnings] == [
        f"SGLang made the same image for different seeds\n  seeds: 7 and 8\n  model: {MODEL}\n"
        "  does the server take the seed, and is the dialect right? An image that was cached looks the same"
    ]


def test_an_image_of_another_size_is_handed_on() -> None:
    """The builder keeps it, and says so."""
    with serving(other_size=(48, 32)) as server:
        [found] = images([*rendered(made(server), wanted())])
    assert png.size_of(found.png) == Size(48, 32)


def test_a_token_goes_only_into_the_header() -> None:
    """It comes from the environment, and no error shows it."""
    environ = {"QWENBUILD_IMAGES_TOKEN": "tok-canary-5151abcd"}
    with serving(token="tok-canary-5151abcd") as server:
        known = {**environ, "QWENBUILD_IMAGES_URL": server.url}
        provider = made(environ=known, dialect="vllm-omni", token_env="QWENBUILD_IMAGES_TOKEN")
        server.replies.append(says(400, "you sent tok-canary-5151abcd"))
        error, image = rendered(provider, wanted(), wanted())
    assert isinstance(image, Rendered)
    assert isinstance(error, ProviderError)
    assert "it says: you sent ***" in told(error)
    assert "tok-canary" not in repr(provider) + str(error)


@pytest.mark.parametrize(
    ("error", "servers", "attempts"),
    [
        (Throttled("full"), 1, 25),
        (Unreachable("gone"), 1, 6),
        (Unreachable("gone"), 9, 9),
        (Unreachable("TLS", code="TLS"), 1, 1),
        (Unreachable("TLS", code="TLS"), 3, 3),
        (ValueError("a mistake"), 3, 1),
    ],
)
def test_how_many_attempts_a_fault_gets(error: Exception, servers: int, attempts: int) -> None:
    """A busy server is waited for, some minutes in all. What lasts at one server is tried at each other one."""
    dialect = DIALECTS["vllm-omni"]
    several = Servers(dialect, [Address(f"http://{number}", True) for number in range(servers)], "", 1)
    assert Renderer(dialect, several, "png", 1.0)._attempts(error) == attempts
