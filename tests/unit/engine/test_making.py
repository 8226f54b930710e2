"""Making: what a worker does for an order."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from decimal import Decimal

import pytest

from qwenbuild.builder.away import Delivery, Order, Recipe, Shared
from qwenbuild.engine import making
from qwenbuild.engine.making import Workshop, close, make
from qwenbuild.errors import ExecutorError, ProviderError, UsageError
from qwenbuild.files.provenance import read_provenance
from qwenbuild.provider import Price, Provider, Settings
from qwenbuild.providers.null import plain
from qwenbuild.providers.registry import create
from qwenbuild.request import Request, Size
from tests.support.caches import Cache

REQUEST = Request("null-1", "qwen-image", "a cat", "", Size(64, 32), 7, False, False)
IMAGE = plain(REQUEST.size, bytes.fromhex(REQUEST.key[:6]))
SECRET = "QWENBUILD_REMOTE_SECRET"


def order(shared: Shared | None = None, provider: str = "null", **table: object) -> Order:
    return Order(Recipe(provider, table, {}), REQUEST.as_dict(), REQUEST.key, {"vars": ["a=1"]}, shared)


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache().running() as running:
        yield running


@pytest.fixture
def shops() -> Iterator[Callable[[], Workshop]]:
    """Makes the workshops of other processes."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(Workshop()))


@pytest.fixture
def shop(shops: Callable[[], Workshop]) -> Workshop:
    """The workshop of another process."""
    return shops()


@pytest.fixture
def closing() -> Iterator[None]:
    """Closes what this process has opened."""
    yield
    close()


@pytest.mark.usefixtures("closing")
def test_without_a_cache_the_answer_is_the_image() -> None:
    """It is as the provider made it: the builder adds the provenance. What was opened for it can be closed."""
    before = {*threading.enumerate()}
    for _ in range(2):
        found = make(order())
        assert found.rendered is not None
        assert (found.entry, found.rendered.png) == (None, IMAGE)
        close()
        close()
        assert {*threading.enumerate()} <= before


@pytest.mark.usefixtures("closing")
def test_several_threads_share_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their first orders come at once. Each provider is opened once, so its limits hold for all of them."""
    gate, created = threading.Barrier(8), list[str]()

    def note(name: str, settings: Settings) -> Provider:
        created.append(name)
        return create(name, settings)

    def start(number: int) -> Delivery:
        gate.wait()
        return make(order(latency_s=number % 2 / 100))

    monkeypatch.setattr(making, "create", note)
    with ThreadPoolExecutor(8) as pool:
        assert all(found.rendered for found in pool.map(start, range(8)))
    assert created == ["null", "null"]  # one for each latency


@pytest.mark.usefixtures("closing")
def test_what_is_being_made_is_cancelled() -> None:
    """Whoever waits for it is not left alone."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make, order(latency_s=60))
        while not any(it.name == "qwenbuild-making" for it in threading.enumerate()):
            time.sleep(0.01)
        time.sleep(0.05)
        close()
        with pytest.raises(CancelledError):
            waiting.result()


def test_the_cache_gets_the_image_with_its_provenance(
    shop: Workshop, shops: Callable[[], Workshop], cache: Cache
) -> None:
    """The answer is the entry. Another worker finds it, and makes nothing."""
    entry = shop.make(order(Shared(cache.url))).entry
    assert entry is not None
    provenance = read_provenance(cache.files[f"cas/{entry.image}"]) or {}
    assert (provenance["action_key"], provenance["vars"]) == (REQUEST.key, ["a=1"])
    puts = cache.calls["PUT"]
    assert shops().make(order(Shared(cache.url))).entry == entry
    assert (cache.calls["PUT"], puts) == (3, 3)


def test_a_cache_that_can_not_be_written(shop: Workshop, cache: Cache) -> None:
    """Without the token of the cache, the answer is the image."""
    found = shop.make(order(Shared(cache.url, token_env="QWENBUILD_REMOTE_TOKEN")))
    assert found.rendered is not None
    assert (found.entry, found.rendered.png, cache.calls["PUT"]) == (None, IMAGE, 0)


def test_a_worker_without_the_secret_does_not_use_the_cache(
    cache: Cache, shops: Callable[[], Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not tell whose entries those are."""
    shops().make(order(Shared(cache.url)))  # an entry without a signature
    calls = cache.calls.total()
    found = shops().make(order(Shared(cache.url, secret_env=SECRET)))
    assert (found.entry, cache.calls.total()) == (None, calls)
    monkeypatch.setenv(SECRET, "s")
    assert shops().make(order(Shared(cache.url, secret_env=SECRET))).entry is not None
    assert cache.calls["PUT"] == 7  # the signature is a file of its own


def test_a_cache_that_is_gone_keeps_nothing_from_being_made(shop: Workshop) -> None:
    """The answer is the image."""
    assert shop.make(order(Shared("http://127.0.0.1:9"))).rendered is not None


def test_settings_are_those_of_the_order(shop: Workshop) -> None:
    """Wrong ones are told as on any machine; so is a provider that is not installed."""
    with pytest.raises(UsageError, match="latency_s = -1 is not a number of seconds"):
        shop.make(order(latency_s=-1))
    with pytest.raises(UsageError, match='unknown provider "nulll"'):
        shop.make(order(provider="nulll"))


def test_a_worker_with_another_provider_makes_nothing(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version of a plugin may make other images under the same key, or cost money."""
    monkeypatch.setattr("qwenbuild.providers.null.NullProvider.family", "null-2")
    with pytest.raises(ExecutorError) as caught:
        shop.make(order())
    assert caught.value.facts == ("family: null-1 here, null-2 there",)
    monkeypatch.setattr("qwenbuild.providers.null.NullProvider.price", lambda *_: Price(Decimal(1)))
    with pytest.raises(ExecutorError, match="a worker made nothing: its provider null costs money there"):
        shop.make(order())


def test_a_provider_that_breaks(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the provider. A full disk stays what it is: the executor tells which machine's it is."""

    def fail(error: Exception) -> None:
        async def render(*_: object) -> None:
            raise error

        monkeypatch.setattr("qwenbuild.providers.null.NullProvider.render", render)

    fail(KeyError("x"))
    with pytest.raises(ProviderError, match='the provider "null" broke: KeyError'):
        shop.make(order())
    fail(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        shop.make(order())


def test_a_free_request_leaves_no_records() -> None:
    """A provider may call its journal as it does at home."""
    from qwenbuild.engine.making import FreeJournal

    async def call() -> None:
        journal = FreeJournal()
        await journal.intend({})
        await journal.accepted("handle")
        await journal.refused()
        journal.delayed(ProviderError("slow"), 1.0)

    asyncio.run(call())
