"""The transports: HTTP and bucket behave as `Transport` says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from qwenbuild.errors import RemoteError
from qwenbuild.storage.remote.bucket import Bucket
from qwenbuild.storage.remote.http import HttpTransport
from qwenbuild.storage.remote.transport import Transport
from tests.support.buckets import BUCKET, S3
from tests.support.caches import Cache

pytest_plugins = ("tests.support.buckets",)

BLOB, OTHER = f"cas/{'0' * 64}", f"cas/{'1' * 64}"


@pytest.fixture(params=["http", "s3"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    """A transport to an empty remote."""
    if request.param == "http":
        with Cache().running() as cache:
            yield HttpTransport(cache.url, {}, "r")
    else:
        s3: S3 = request.getfixturevalue("s3")
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        yield Bucket(f"s3://{BUCKET}", s3.environment())


def test_bytes_are_stored_by_name(transport: Transport) -> None:
    """A name that does not exist gives None; a second `put` replaces the bytes; too many bytes are an error."""

    async def use() -> list[object]:
        found: list[object] = [await transport.get(BLOB, 6), await transport.has(BLOB)]
        for content in (b"first", b"second"):
            await transport.put(BLOB, content)
            found += [await transport.get(BLOB, 6), await transport.has(BLOB)]
        found.append(await transport.has(OTHER))
        with pytest.raises(RemoteError):
            await transport.get(BLOB, 5)
        await transport.aclose()
        return found

    assert asyncio.run(use()) == [None, False, b"first", True, b"second", True, False]
