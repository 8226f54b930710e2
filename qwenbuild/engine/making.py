"""Making: what a worker of an executor does: it looks for an image in the shared cache, else makes and stores it.

A process keeps its providers and its connections to caches as long as it lives: opening them takes as long as a draft.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import tempfile
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwenbuild.builder.away import Delivery, Order, Recipe, Shared
from qwenbuild.builder.keep import verified
from qwenbuild.catalogue import builtin
from qwenbuild.digest import canonical_json, sha256
from qwenbuild.errors import ExecutorError, ProviderError, QwenbuildError
from qwenbuild.executor import SLOTS
from qwenbuild.pages.thumbnails import shrink
from qwenbuild.provider import Journal, Provider, Rendered, Settings, broken, price_of
from qwenbuild.providers.registry import create
from qwenbuild.request import Request
from qwenbuild.storage.remote.cache import MAX_IMAGE_BYTES, Remote
from qwenbuild.storage.remote.settings import make_remote
from qwenbuild.trust import Trust

_CLOSING_S = 5.0

_opening = threading.Lock()  # several threads of a worker may get their first orders at once
_opened: list[Workshop] = []  # of this process: one at most


def make(order: Order) -> Delivery:
    """Return the image of an order, or the entry by which the shared cache has it. Raises QwenbuildError, OSError."""
    return _workshop().make(order)


def thumbnail(shared: Shared, digest: str) -> bytes | None:
    """Return the thumbnail of an image of the shared cache; None if the cache lacks it, or if it is not an image."""
    return _workshop().thumbnail(shared, digest)


@atexit.register
def close() -> None:
    """Leave the sessions of this process's providers, and close its connections; also done when the process ends."""
    with _opening:
        while _opened:
            _opened.pop().close()


class FreeJournal:
    """The journal of requests that cost nothing: there is nothing to record, because they may be sent again.

    `is_forced`: see `own_servers.is_forced`.
    """

    def __init__(self, *, is_forced: bool = False) -> None:
        self.is_forced = is_forced

    async def intend(self, context: Mapping[str, Any]) -> None:
        """See `Journal.intend`."""

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        """See `Journal.accepted`."""

    async def refused(self) -> None:
        """See `Journal.refused`."""

    def delayed(self, error: ProviderError, wait_s: float) -> None:
        """See `Journal.delayed`."""


class Workshop:
    """An event loop in a thread of its own, with the providers and caches of this process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._providers: dict[bytes, Provider] = {}
        self._remotes: dict[bytes, Remote | None] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="qwenbuild-making", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel what is being made, leave the providers' sessions and close the connections."""
        try:
            asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(_CLOSING_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _leave(self) -> None:
        making = asyncio.all_tasks() - {asyncio.current_task()}
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        await self._stack.aclose()

    def make(self, order: Order) -> Delivery:
        """See `make`."""
        return asyncio.run_coroutine_threadsafe(self._make(order, SLOTS.get()), self._loop).result()

    def thumbnail(self, shared: Shared, digest: str) -> bytes | None:
        """See `thumbnail`."""
        return asyncio.run_coroutine_threadsafe(self._thumbnail(shared, digest), self._loop).result()

    async def _thumbnail(self, shared: Shared, digest: str) -> bytes | None:
        remote = await self._remote(shared)
        image = await remote.blob(digest, MAX_IMAGE_BYTES) if remote else None
        return await asyncio.to_thread(shrink, image) if image else None

    async def _make(self, order: Order, slots: int) -> Delivery:
        remote = await self._remote(order.shared) if order.shared else None
        if remote and (entry := await remote.entry(order.key)):
            return Delivery(entry)
        provider, request = await self._provider(order.recipe, slots), Request.from_dict(order.request)
        _check(provider, request)
        rendered = await _rendered(provider, request, FreeJournal(is_forced=order.is_forced))
        if remote and remote.may_write and not rendered.emulated_by:
            with_facts = replace(rendered, facts={**rendered.facts, **order.facts})
            image = await asyncio.to_thread(verified, provider.name, order.key, request, with_facts)
            new = image.new
            if not image.other_size and await remote.store(new.entry, new.image, new.provenance):
                return Delivery(new.entry, warnings=rendered.warnings)
        return Delivery(None, replace(rendered, warnings=()), rendered.warnings)

    async def _provider(self, recipe: Recipe, slots: int) -> Provider:
        """Return the provider of a recipe in its session. Raises QwenbuildError.

        The machine that gave the order has asked for the user's approval.
        """
        digests = {path: sha256(content) for path, content in recipe.files.items()}
        at = canonical_json([recipe.provider, dict(recipe.table), digests])
        async with self._lock:
            if at not in self._providers:
                root = self._written(recipe.files)
                settings = Settings(
                    recipe.table, builtin(), os.environ, slots or None, Trust(allow_all=True), root=root
                )
                provider = create(recipe.provider, settings)
                await self._stack.enter_async_context(provider.session())
                self._providers[at] = provider
            return self._providers[at]

    def _written(self, files: Mapping[str, bytes]) -> Path | None:
        """Write files of a project into a folder of their own, and return it; None if there are none."""
        if not files:
            return None
        root = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qwenbuild-")))
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return root

    async def _remote(self, shared: Shared) -> Remote | None:
        """Return the shared cache; None if this worker has no secret to verify its entries, or can't connect."""
        at = repr(shared).encode()
        async with self._lock:
            if at not in self._remotes:
                is_verified = not shared.secret_env or os.environ.get(shared.secret_env)
                self._remotes[at] = make_remote(shared, None, os.environ) if is_verified else None
                if remote := self._remotes[at]:
                    await self._stack.enter_async_context(remote)
            return self._remotes[at]


def _check(provider: Provider, request: Request) -> None:
    """Raise ExecutorError if the provider of this machine is not the one that the order is about."""
    if price_of(provider, request.model, request.size) is not None:  # another version may cost money
        claim = f"a worker made nothing: its provider {provider.name} costs money there"
        raise ExecutorError(claim, facts=[f"model: {request.model}"], name="executor-paid-work")
    if provider.family != request.family:
        raise ExecutorError(
            f"the provider {provider.name} of a worker may make other images than this machine's",
            facts=[f"family: {request.family} here, {provider.family} there"],
            hint="install the same version of the provider's package on both machines", name="worker-differs",
        )  # fmt: skip


async def _rendered(provider: Provider, request: Request, journal: Journal) -> Rendered:
    try:
        return await provider.render(request, journal)
    except (QwenbuildError, OSError):
        raise
    except Exception as error:
        raise broken(provider.name, error) from error


def _workshop() -> Workshop:
    with _opening:
        if not _opened:
            _opened.append(Workshop())
        return _opened[0]
