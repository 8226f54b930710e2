"""The provider: its settings, its keys, and what it asks for. No server is needed for any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from qwenbuild import own_servers
from qwenbuild.catalogue import builtin
from qwenbuild.errors import AccountError, Untrusted, WrongSettings
from qwenbuild.provider import Settings, asked_by, price_of
from qwenbuild.providers.images.provider import ImagesProvider
from qwenbuild.request import Request, Size
from tests.support.image_servers import told

TOKEN = "QWENBUILD_IMAGES_TOKEN"


def of(environ: Mapping[str, str] = {}, jobs: int | None = None, **table: Any) -> ImagesProvider:
    stated = {name: value for name, value in {"dialect": "vllm-omni", **table}.items() if value is not None}
    return ImagesProvider(Settings(stated, builtin(), environ, jobs))


def test_it_is_free_and_renders_any_model() -> None:
    """The dialect is in the family, and the parameters are those of each request."""
    provider = of(steps=50, true_cfg_scale=4, weights="2512")
    assert (provider.family, provider.concurrency, price_of(provider, "q", Size(1, 1))) == ("images-vllm-omni", 1, None)
    assert (provider.check("Qwen/Qwen-Image"), provider.shortest_s({"q": 9})) == (None, 0.0)
    assert provider.parameters == {"steps": 50, "true_cfg_scale": 4.0, "weights": "2512"}
    assert [own_servers.parametrised(provider), own_servers.choosy(provider)] == [provider, provider]
    assert own_servers.serves_any_model(ImagesProvider)


def test_the_golden_key() -> None:
    """What changes pixels is in the key; the address, the token and the number of servers are not."""
    own = of(steps=50, base_url=["http://a", "http://b"]).checked_parameters({"steps": 50, "true_cfg_scale": 4})
    request = Request(
        "images-vllm-omni", "Qwen/Qwen-Image", "a cat", "", Size(1328, 1328), 7, False, False,
        parameters='{"steps":50,"true_cfg_scale":4.0}',
    )  # fmt: skip
    assert dict(own) == {"steps": 50, "true_cfg_scale": 4.0}
    assert request.key == "f21b8a3d97bdc93c38711d350adbdd6d6a2a8dfe9d31aeb1dcbd1f8b45a13990"


@pytest.mark.parametrize(
    ("table", "claims"),
    [
        ({"dialect": None}, ["[providers.images] has no dialect"]),
        ({"dialect": "vllm"}, ['unknown dialect "vllm"']),
        ({"base_url": "gpu"}, ["base_url is not the address of a server"]),
        ({"accept": "webp"}, ["[providers.images] accept is neither png nor jpeg"]),
        ({"max_concurrency": 0}, ["[providers.images] max_concurrency is not a whole number above 0"]),
        ({"timeout_s": "1"}, ["[providers.images] timeout_s is not a number of seconds above 0"]),
        ({"token_env": "HOME"}, ["token_env does not name a variable that begins with QWENBUILD_IMAGES_"]),
        ({"step": 1}, ['unknown key "step" in [providers.images]']),
        (
            {"steps": 0, "sampler": "euler"},
            ["steps = 0 is not a whole number from 1 to 1,000", 'the dialect vllm-omni has no parameter "sampler"'],
        ),
    ],
)
def test_wrong_settings(table: dict[str, Any], claims: list[str]) -> None:
    """All of them are told at once."""
    with pytest.raises(WrongSettings) as caught:
        of(**table)
    assert [problem.claim for problem in caught.value.problems] == claims


def test_nothing_is_sent_without_approval() -> None:
    """A session needs it, and so does `doctor`."""
    provider = of({TOKEN: "tok"}, base_url="https://gpu.example/v1", token_env=TOKEN)
    assert [str(item) for item in asked_by(provider)] == [
        "the token would go to https://gpu.example ([providers.images] base_url)"
    ]

    async def enter() -> None:
        async with provider.session():
            raise AssertionError

    for call in (enter(), provider.diagnose("images")):
        with pytest.raises(Untrusted):
            asyncio.run(call)
    assert asked_by(of(base_url="http://127.0.0.1:1/v1")) == []


def test_a_token_that_is_missing() -> None:
    """The variable is named."""

    async def enter() -> None:
        async with of({"QWENBUILD_IMAGES_URL": "http://127.0.0.1:1"}, token_env=TOKEN).session():
            raise AssertionError

    with pytest.raises(AccountError) as caught:
        asyncio.run(enter())
    assert told(caught.value) == (
        f"no token: {TOKEN} is empty\n  set {TOKEN}, or remove token_env if the server takes no token"
    )


def test_how_many_at_once() -> None:
    """So many at each server; `--jobs` says it for all."""
    urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    found = [of(base_url=urls), of(base_url=urls, max_concurrency=3), of(jobs=5, base_url=urls)]
    assert [it.concurrency for it in found] == [2, 6, 5]
