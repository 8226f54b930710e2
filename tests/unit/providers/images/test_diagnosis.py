"""Diagnosis: whether each server answers, and serves what plans have asked for."""

from __future__ import annotations

import asyncio

import pytest

from qwenbuild.finding import Finding, Level
from qwenbuild.providers.images.provider import ImagesProvider
from tests.support.image_servers import MODEL, made, serving


def found(provider: ImagesProvider, own: str | None = "images") -> list[Finding]:
    return [*asyncio.run(provider.diagnose(own))]


@pytest.mark.parametrize(("dialect", "model"), [("vllm-omni", MODEL), ("sdcpp", "qwen-image-Q8_0")])
def test_a_server_that_serves_the_models(dialect: str, model: str) -> None:
    """It is asked for its models, never for an image."""
    with serving(dialect, model=model) as server:
        provider = made(server)
        provider.check(model)
        assert found(provider) == [Finding("server", Level.OK, f"{server.origin} answers, and serves {model}")]
        assert server.bodies == []


def test_a_server_that_lacks_a_model() -> None:
    """It is a failure only for a project that renders there."""
    with serving() as server:
        provider = made(server)
        provider.check("Qwen/Qwen-Image-2512")
        [own], [other] = found(provider), found(provider, "draft")
    facts, hint = (f"it serves: {MODEL}",), f'write model = "{MODEL}", or start the server with the other model'
    claim = f"{server.origin} does not serve Qwen/Qwen-Image-2512"
    assert (own, other.level) == (Finding("server", Level.FAIL, claim, facts, hint), Level.WARN)


def test_a_server_that_is_not_there() -> None:
    """Each server has a finding of its own."""
    with serving() as dead, serving() as server:
        pass
    [one, other] = found(made(dead, server))
    assert (one.level, one.claim) == (Level.FAIL, f"can't reach {dead.origin}")
    assert other.claim == f"can't reach {server.origin}"
