"""The servers: the least busy one is next, one that failed is left out for a while, and a wrong model is noticed."""

from __future__ import annotations

import asyncio

import pytest

from qwenbuild.errors import ModelRefused, Refused, ServiceFault
from qwenbuild.providers.addresses import Address
from qwenbuild.providers.images.dialects import DIALECTS
from qwenbuild.providers.images.servers import Servers
from tests.support.image_servers import MODEL, serving, told

VLLM = DIALECTS["vllm-omni"]


def of(*urls: str, at_once: int = 1) -> Servers:
    return Servers(VLLM, [Address(url, is_users=True) for url in urls], "", at_once)


def test_the_least_busy_server_is_next() -> None:
    """Each gets at most so many requests at once; who finds no room waits."""

    async def main() -> list[str]:
        servers, got = of("http://a", "http://b", at_once=2), list[str]()
        leave = asyncio.Event()

        async def use() -> None:
            async with servers.seat() as server:
                got.append(server.origin)
                await leave.wait()

        tasks = [asyncio.create_task(use()) for _ in range(5)]
        for _ in range(20):  # until nothing can go on
            await asyncio.sleep(0)
        assert len(got) == 4
        leave.set()
        await asyncio.gather(*tasks)
        return got

    got = asyncio.run(main())
    assert (got[:4], len(got)) == (["http://a", "http://b", "http://a", "http://b"], 5)


def test_a_server_that_fails_is_left_out() -> None:
    """Another one gets what comes next. A request that was refused says nothing against the server."""

    async def main() -> list[str]:
        servers, got = of("http://a", "http://b"), list[str]()
        for error in (Refused("no"), ServiceFault("gone"), ServiceFault("gone, too"), None):
            try:
                async with servers.seat() as server:
                    got.append(server.origin)
                    if error:
                        raise error
            except (Refused, ServiceFault):
                continue
        return got

    # At last both are left out: the one that failed first is tried again.
    assert asyncio.run(main()) == ["http://a", "http://a", "http://b", "http://a"]


@pytest.mark.parametrize("url", ["http://gpu:1", "http://gpu:1/v1", "http://gpu:1/team/v1"])
def test_the_version_in_the_address_may_be_left_out(url: str) -> None:
    """People write both."""
    [server] = of(url).every
    assert server.base == f"{url.removesuffix('/v1')}/v1"
    assert server.root == url.removesuffix("/v1")


@pytest.mark.parametrize("dialect", ["sglang", "sdcpp"])
def test_a_server_that_would_render_with_another_model(dialect: str) -> None:
    """It is asked once which model it serves."""

    async def main(url: str) -> str:
        servers = Servers(DIALECTS[dialect], [Address(url, is_users=True)], "", 1)
        async with servers:
            [server] = servers.every
            await server.check_model("q")
            with pytest.raises(ModelRefused) as caught:
                await server.check_model("qq")
            return told(caught.value)

    with serving(dialect, model="q") as running:
        message = asyncio.run(main(running.url))
        assert len(running.paths) == 1
    title, served = DIALECTS[dialect].title, "q, q.gguf" if dialect == "sdcpp" else "q"
    assert message == (
        f'{running.origin} does not serve "qq"\n  it serves: {served}\n  {title} would render with that instead\n'
        '  did you mean "q"?'
    )


def test_a_server_that_does_not_say_what_it_serves() -> None:
    """Its models are its own business."""

    async def main(url: str) -> None:
        servers = of(url)
        async with servers:
            [server] = servers.every
            server._models = []
            await server.check_model(MODEL)

    with serving() as running:
        asyncio.run(main(running.url))
