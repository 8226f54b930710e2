"""The remote cache: results are verified, failures are misses, and answers are remembered for a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from qwenbuild.digest import sha256
from qwenbuild.errors import RemoteError, RemoteUnreachable
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.remote.cache import MAX_IMAGE_BYTES, Remote
from qwenbuild.storage.remote.http import HttpTransport
from tests.support.caches import Cache
from tests.support.clocks import Clock

_T = TypeVar("_T")
KEY = sha256(b"a key")
ENTRY = Entry(KEY, sha256(b"image"), 5, sha256(b"{}"))


class Memory:
    """A transport that keeps files in memory; `errors` are raised first, one for each request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.errors: list[RemoteError] = []

    def _request(self, method: str, path: str) -> None:
        self.requests.append((method, path.partition("/")[0]))
        if self.errors:
            raise self.errors.pop(0)

    async def get(self, path: str, limit: int) -> bytes | None:
        self._request("get", path)
        return self.files.get(path)

    async def has(self, path: str) -> bool:
        self._request("has", path)
        return path in self.files

    async def put(self, path: str, content: bytes) -> None:
        self._request("put", path)
        self.files[path] = content

    async def aclose(self) -> None:
        self.requests.append(("close", ""))


@pytest.fixture
def memory() -> Memory:
    """An empty remote."""
    return Memory()


def remote(memory: Memory, *, secret: bytes = b"", writes: bool = True, clock: Clock | None = None) -> Remote:
    """Return the remote cache over `memory`."""
    return Remote(lambda: memory, name="r", writes=writes, secret=secret, clock=clock or Clock())


def use(cache: Remote, act: Callable[[Remote], Awaitable[_T]]) -> _T:
    """Return the result of `act`, called inside the cache's context."""

    async def run() -> _T:
        async with cache:
            return await act(cache)

    return asyncio.run(run())


def store(cache: Remote) -> bool:
    """Store the entry; return whether this succeeded."""
    return use(cache, lambda it: it.store(ENTRY, b"image", b"{}"))


def claims(cache: Remote) -> list[str]:
    """Return the claims of new warnings."""
    return [problem.claim for problem in cache.warnings()]


def test_a_stored_entry_is_found_by_key_and_by_digest(memory: Memory) -> None:
    """The blobs are stored before the action result that names them."""
    cache = remote(memory)
    assert store(cache)
    assert memory.requests == [("put", "cas"), ("put", "cas"), ("put", "ac"), ("close", "")]
    found = use(cache, lambda it: it.find({KEY, "0" * 64}, {ENTRY.image, "1" * 64}))
    assert found == {KEY: ENTRY, ENTRY.image: Entry("", ENTRY.image, 0, "")}
    assert use(cache, lambda it: it.blob(ENTRY.image, MAX_IMAGE_BYTES)) == b"image"
    assert cache.warnings() == []


def test_wrong_bytes_are_a_miss(memory: Memory) -> None:
    """Bytes that do not match their digest are not returned; the first such answer gives a warning."""
    cache = remote(memory)
    store(cache)
    memory.files[f"cas/{ENTRY.image}"] = b"IMAGE"
    assert use(cache, lambda it: it.blob(ENTRY.image, MAX_IMAGE_BYTES)) is None
    assert claims(cache) == [
        "the remote cache is not read: r sent bytes that do not match their digest; the answer is ignored"
    ]
    assert cache.warnings() == []


@pytest.mark.parametrize("content", [b"<!doctype html>", b"{}", b'{"outputFiles": []}'])
def test_an_answer_that_is_no_action_result_is_a_miss(memory: Memory, content: bytes) -> None:
    """A sign-in page and another tool's record are not entries."""
    memory.files[f"ac/{KEY}"] = content
    cache = remote(memory)
    assert use(cache, lambda it: it.entry(KEY)) is None
    assert claims(cache) == [
        "the remote cache is not read: r sent bytes that are not an action result; the answer is ignored"
    ]


def test_an_entry_needs_a_valid_signature(memory: Memory) -> None:
    """With a secret, an entry that is unsigned, or signed with another secret, is a miss."""
    refused = ["the remote cache is not read: r sent an entry without a valid signature; the answer is ignored"]
    for writer, expected in ((b"", None), (b"other", None), (b"secret", ENTRY)):
        store(remote(memory, secret=writer))
        cache = remote(memory, secret=b"secret")
        assert use(cache, lambda it: it.entry(KEY)) == expected
        assert claims(cache) == ([] if expected else refused)


def test_a_temporary_failure_is_not_a_miss(memory: Memory) -> None:
    """A failed request is repeated once."""
    cache = remote(memory)
    store(cache)
    memory.errors = [RemoteError("503")]
    assert use(cache, lambda it: it.entry(KEY)) == ENTRY
    assert cache.warnings() == []


def test_an_unreachable_remote_is_asked_once(memory: Memory) -> None:
    """For a minute the remote is neither read nor written, and there is one warning."""
    clock = Clock()
    cache = remote(memory, clock=clock)
    memory.errors = [RemoteUnreachable("down")]
    assert use(cache, lambda it: it.find({KEY}, ())) == {}
    assert (use(cache, lambda it: it.find({KEY}, ())), store(cache), cache.may_write) == ({}, False, False)
    assert [request for request in memory.requests if request[0] != "close"] == [("get", "ac")]
    assert claims(cache) == ["the remote cache is not read: down"]
    clock.now_s += 61
    assert store(cache)
    assert use(cache, lambda it: it.find({KEY}, ())) == {KEY: ENTRY}
    assert cache.warnings() == []


def test_answers_are_remembered_for_a_minute(memory: Memory) -> None:
    """A miss is remembered too, so another machine's entry is found only after the minute."""
    clock = Clock()
    cache = remote(memory, clock=clock)
    assert use(cache, lambda it: it.find({KEY}, ())) == {}
    store(remote(memory))
    clock.now_s += 59
    assert use(cache, lambda it: it.find({KEY}, ())) == {}
    clock.now_s += 2
    assert use(cache, lambda it: it.find({KEY}, ())) == {KEY: ENTRY}


def test_a_remote_that_is_read_only_stores_nothing(memory: Memory) -> None:
    """Without `writes` no request is sent."""
    cache = remote(memory, writes=False)
    assert (cache.may_write, store(cache), memory.files) == (False, False, {})


@pytest.mark.parametrize(
    ("act", "miss"),
    [
        (lambda it: it.entry(KEY), None),
        (lambda it: it.find((), [ENTRY.image]), {}),
        (lambda it: it.blob(ENTRY.image, MAX_IMAGE_BYTES), None),
        (lambda it: it.store(ENTRY, b"image", b"{}"), False),
    ],
    ids=["entry", "find", "blob", "store"],
)
def test_an_answer_in_single_bytes_is_a_miss(act: Callable[[Remote], Awaitable[object]], miss: object) -> None:
    """Each request has a deadline for the whole of it. If it passes, no request is sent for a minute."""

    def drip(handler: Any, path: str, content: bytes) -> bool:
        handler.close_connection = True
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not server.closing.wait(0.02):
                handler.wfile.write(b"x")
        except OSError:  # the client has left
            pass
        return True

    with Cache().running() as server:
        server.fault = drip
        whole_s = {"ac": 0.4, "cas": 0.4}
        cache = Remote(lambda: HttpTransport(server.url, {}, "r"), name="r", writes=True, whole_s=whole_s)
        assert use(cache, act) == use(cache, act) == miss
        assert sum(server.calls.values()) <= 1  # none, if a busy machine connects too late
    [claim] = claims(cache)
    assert claim.endswith(": r gave no complete answer within 0.4 s")
