"""The choice of a remote cache: which URL is used, what is sent to this URL, and whether the cache is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.storage.remote.cache import Remote
from qwenbuild.storage.remote.settings import asks, make_remote
from tests.support.caches import Cache

KEY = "0" * 64


@dataclass(frozen=True)
class Settings:
    """A config's `[remote]`."""

    url: str | None = None
    read_only: bool = False
    token_env: str | None = None
    secret_env: str | None = None
    header: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def cache() -> Iterator[Cache]:
    """A running server."""
    with Cache().running() as running:
        yield running


def made(settings: Settings, asked: str | None = None, **environ: str) -> Remote:
    """Return the remote; fails if the settings give none."""
    remote = make_remote(settings, asked, environ)
    assert remote is not None
    return remote


def sent(remote: Remote, cache: Cache) -> dict[str, str]:
    """Return the headers of a request that the remote sends."""

    async def ask() -> None:
        async with remote:
            await remote.entry(KEY)

    asyncio.run(ask())
    return cache.headers[-1]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://evil.example/@cache.example/team", "https://evil.example/@cache.example/team"),
        ("https://evil.example?@cache.example/team", "https://evil.example"),
        ("https://evil.example#@cache.example/team", "https://evil.example"),
        ("https://cache.example@evil.example/team", "https://evil.example/team"),
        ("s3://evil/@bucket/team", "s3://evil/@bucket/team"),
    ],
)
def test_the_server_that_gets_the_requests_is_the_one_that_is_asked_for(url: str, shown: str) -> None:
    """What follows an @ may look like the server, but belongs to the path."""
    (item,) = asks(Settings(url))
    assert item.value == shown


@pytest.mark.parametrize(("configured", "asked"), [(None, None), (None, ""), ("http://x", "")])
def test_there_may_be_no_remote(configured: str | None, asked: str | None) -> None:
    """Without a URL, or if the command line asks for none, there is no remote cache."""
    assert make_remote(Settings(configured), asked, {}) is None


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "//x"])
def test_an_unknown_kind_of_url_is_refused(url: str) -> None:
    """The URL must have the scheme of a server or of a bucket."""
    with pytest.raises(UsageError, match="the remote cache's URL must start with http, https, s3, gs, az or oss"):
        make_remote(Settings(url), None, {})


def test_messages_show_no_password() -> None:
    """A remote's name has no user, password, query or fragment."""
    assert made(Settings("https://user:canary@x.example/y?token=canary#z")).name == "https://x.example/y"


def test_the_token_and_headers_are_sent_to_the_configured_url_only(cache: Cache) -> None:
    """A URL from the command line gets the token and headers only if the config has the same URL."""
    settings = Settings(cache.url, token_env="T", header={"X-Team": "posters"})
    for asked in (None, cache.url):
        headers = sent(made(settings, asked, T="t"), cache)
        assert (headers["Authorization"], headers["X-Team"]) == ("Bearer t", "posters")
    assert sent(made(settings, f"{cache.url}/other", T="t"), cache).keys() & {"Authorization", "X-Team"} == set()


def test_an_empty_token_or_secret_makes_the_remote_read_only() -> None:
    """`read_only` does the same. An empty secret gives a warning, because entries can't be verified without it."""
    assert made(Settings("http://x")).writes
    assert not made(Settings("http://x", read_only=True)).writes
    assert made(Settings("http://x", token_env="T"), T="t").writes
    assert not made(Settings("http://x", token_env="T"), T="").writes
    unverified = made(Settings("http://x", secret_env="S"))
    assert not unverified.writes
    assert [problem.claim for problem in unverified.warnings()] == [
        "entries of the remote cache can't be verified: S is empty"
    ]
