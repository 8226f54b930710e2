"""Transfers: one store pushes, another pulls, and only images of the request are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from qwenbuild.digest import canonical_json, sha256
from qwenbuild.files.provenance import with_provenance
from qwenbuild.problems import Problem
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.remote.cache import Remote
from qwenbuild.storage.remote.http import HttpTransport
from qwenbuild.storage.remote.transfer import Pushing, pull, push, shareable
from qwenbuild.storage.store import Store, second_key
from tests.support.caches import Cache

_T = TypeVar("_T")
REQUEST = Request("null-1", "m", "a ball", "", Size(16, 16), 7, False, False)
KEY = REQUEST.key
FACTS = {"action_key": KEY}
IMAGE = with_provenance(plain(REQUEST.size, b"\1\2\3"), FACTS)
OTHER = with_provenance(plain(REQUEST.size, b"\4\5\6"), FACTS)


@pytest.fixture
def cache() -> Iterator[Cache]:
    """A running server."""
    with Cache().running() as running:
        yield running


@pytest.fixture
def first(tmp_path: Path) -> Store:
    """A store with the image of the request."""
    store = Store(tmp_path / "first")
    store.put(KEY, IMAGE, canonical_json({**FACTS, "source": "the provider"}))
    return store


@pytest.fixture
def second(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "second")


def use(cache: Cache, act: Callable[[Remote], Awaitable[_T]]) -> _T:
    """Return the result of `act`, called with a remote at the server."""

    async def run() -> _T:
        async with Remote(lambda: HttpTransport(cache.url, {}, "r"), name="r", writes=True) as remote:
            return await act(remote)

    return asyncio.run(run())


def pulled(cache: Cache, store: Store, found: Entry, request: Request = REQUEST) -> tuple[Entry, bytes] | None:
    """Return the result of a pull."""
    return use(cache, lambda remote: pull(remote, store, request, request.key, found))


def present(store: Store) -> Entry:
    """Return the store's entry of the request; fails if there is none."""
    entry = store.lookup(KEY)
    assert entry is not None
    return entry


def test_a_pushed_entry_is_pulled_into_another_store(cache: Cache, first: Store, second: Store) -> None:
    """Image and provenance are the same in both stores."""
    entry = present(first)
    assert use(cache, lambda remote: push(remote, first, entry))
    assert pulled(cache, second, entry) == (entry, IMAGE)
    assert (second.lookup(KEY), second.provenance(entry)) == (entry, first.provenance(entry))


def test_a_pinned_image_is_pulled_by_its_digest(cache: Cache, second: Store) -> None:
    """Its provenance is read from the image."""
    cache.files[f"cas/{sha256(IMAGE)}"] = IMAGE
    done = pulled(cache, second, Entry("", sha256(IMAGE), 0, ""))
    assert done == (present(second), IMAGE)
    assert second.provenance(present(second)) == FACTS


def test_a_pulled_image_stands_beside_another_of_its_key(cache: Cache, first: Store) -> None:
    """The store's earlier image stays under the key."""
    entry = present(first)
    cache.files[f"cas/{sha256(OTHER)}"] = OTHER
    done = pulled(cache, first, Entry("", sha256(OTHER), 0, ""))
    assert done == (first.lookup(second_key(KEY, sha256(OTHER))), OTHER)
    assert present(first) == entry


@pytest.mark.parametrize(
    "image",
    [
        b"no image",
        plain(REQUEST.size, b"\1\2\3"),
        with_provenance(plain(REQUEST.size, b"\1\2\3"), {"action_key": "0" * 64}),
    ],
    ids=["no PNG", "no provenance", "another request"],
)
def test_what_is_no_image_of_the_request_is_not_kept(cache: Cache, second: Store, image: bytes) -> None:
    """Even if the digest is right, an image of another request is refused."""
    cache.files[f"cas/{sha256(image)}"] = image
    assert pulled(cache, second, Entry("", sha256(image), 0, "")) is None
    assert not second.root.exists()


def test_an_image_of_another_size_is_pulled_only_if_it_is_pinned(cache: Cache, first: Store, second: Store) -> None:
    """Whoever took it has pinned it. Under the request's key it is no image of the request; it is pushed beside it."""
    image = with_provenance(plain(Size(8, 8), b"\1\2\3"), FACTS)
    pushed = shareable(first.put_beside(KEY, image, canonical_json(FACTS), other_size=Size(8, 8)))
    assert use(cache, lambda remote: push(remote, first, pushed))
    assert pulled(cache, second, Entry(KEY, sha256(image), len(image), pushed.provenance)) is None
    taken = pulled(cache, second, Entry("", sha256(image), 0, ""))
    assert taken == (second.lookup(KEY, any_size=True), image)
    assert (taken and taken[0].other_size, second.lookup(KEY)) == (Size(8, 8), None)


def test_what_the_remote_or_the_store_lost_is_not_moved(cache: Cache, first: Store, second: Store) -> None:
    """A pull without provenance returns None. A push of a missing image returns False."""
    entry = present(first)
    use(cache, lambda remote: push(remote, first, entry))
    del cache.files[f"cas/{entry.provenance}"]
    assert pulled(cache, second, entry) is None
    first.blob_path(entry.image).unlink()
    assert not use(cache, lambda remote: push(remote, first, entry))


def test_pushes_end_with_their_context(cache: Cache, first: Store) -> None:
    """All entries are in the remote when the context ends."""

    async def run(remote: Remote) -> list[Problem]:
        pushing = Pushing(remote, first)
        async with pushing.running():
            pushing.add(present(first))
        return pushing.warnings

    assert use(cache, run) == []
    assert cache.names("ac") == [KEY]


class Hanging:
    """A transport whose `put` never returns."""

    def __init__(self) -> None:
        self.puts = asyncio.Semaphore(0)

    async def get(self, path: str, limit: int) -> bytes | None:
        return None

    async def has(self, path: str) -> bool:
        return False

    async def put(self, path: str, content: bytes) -> None:
        self.puts.release()
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        return None


def test_a_hurried_end_warns_of_what_is_left(first: Store) -> None:
    """After `hurry` the context ends although the remote hangs; the warning counts the images that still wait."""

    async def run() -> list[Problem]:
        transport = Hanging()
        async with Remote(lambda: transport, name="r", writes=True) as remote:
            pushing = Pushing(remote, first)
            async with pushing.running():
                for _ in range(6):
                    pushing.add(present(first))
                for _ in range(4):
                    await transport.puts.acquire()
                pushing.hurry()
        return pushing.warnings

    begun_s = time.monotonic()
    assert [problem.claim for problem in asyncio.run(run())] == ["2 images are not in the remote cache yet"]
    assert time.monotonic() - begun_s < 30, "the context waits for a minute without `hurry`"
