"""The emulator's images: a free provider draws each one when it is downloaded.

The emulator keeps requests, not images. The providers `draft` and `null` are deterministic, so
every download of an image gives the same bytes. The images drawn last are cached in memory.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from qwenbuild.catalogue import Catalogue
from qwenbuild.emulation import MARK
from qwenbuild.errors import ProviderError, UsageError
from qwenbuild.provider import Settings
from qwenbuild.providers.registry import create
from qwenbuild.request import Request

CACHED_BYTES = 64 * 2**20
"""The most PNG bytes that are cached."""


class _NoJournal:
    """The journal for free renders: it records nothing."""

    async def intend(self, context: Mapping[str, Any]) -> None:
        """Record nothing."""

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        """Record nothing."""

    async def refused(self) -> None:
        """Record nothing."""

    def delayed(self, error: ProviderError, wait_s: float) -> None:
        """Show nothing."""


class Renderer:
    """Draws images with one provider. It is an async context manager: `png` works only inside the context."""

    def __init__(self, name: str, catalogue: Catalogue) -> None:
        """`name` is the provider's. Raises UsageError if it can't be loaded, or if its renders cost money."""
        self._provider = create(name, Settings(table={}, catalogue=catalogue, environ={}))
        self.family = self._provider.family
        model = next(iter(catalogue.models.values()))
        if self._provider.price(model.name):
            raise UsageError(
                f'the emulator can\'t draw with "{name}"',
                facts=["its renders cost money"],
                hint='use "draft" or "null"',
                name="emulator-draws-for-money",
            )
        self._slots = asyncio.Semaphore(self._provider.concurrency)
        self._cached: OrderedDict[Request, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._provider.session())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def png(self, request: Request) -> bytes:
        """Return the PNG of `request`, with the mark of an emulator; raises ProviderError."""
        known = self._cached.get(request)
        if known is not None:
            self._cached.move_to_end(request)
            return known
        async with self._slots:
            png = (await self._provider.render(request._replace(label=MARK), _NoJournal())).png
        if request not in self._cached:
            self._cached_bytes += len(png)
            self._cached[request] = png
        while self._cached_bytes > CACHED_BYTES:
            self._cached_bytes -= len(self._cached.popitem(last=False)[1])
        return png
