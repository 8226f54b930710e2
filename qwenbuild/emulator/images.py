"""The emulator's image bytes: an installed provider draws them when they are downloaded, and faults spoil them.

Only requests are kept, never a library of images: a provider whose renders are deterministic draws
the same bytes at each download. What was drawn last is remembered within a limit.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from qwenbuild.catalogue import Catalogue
from qwenbuild.errors import UsageError
from qwenbuild.provider import Settings
from qwenbuild.providers.registry import create
from qwenbuild.request import Request, Size

REMEMBERED_BYTES = 64 * 2**20


class _NoJournal:
    """The journal of renders that cost nothing."""

    async def intend(self, context: Mapping[str, Any]) -> None:
        """Forget it."""

    async def accepted(self, handle: str) -> None:
        """Forget it."""

    async def refused(self) -> None:
        """Forget it."""


class Renderer:
    """Draws images through the provider `name`; entered before the first image and left after the last."""

    def __init__(self, name: str, catalogue: Catalogue) -> None:
        """Raises UsageError where no provider of that name can be loaded, or where its renders cost money."""
        self._provider = create(name, Settings(table={}, catalogue=catalogue, environ={}))
        self.family = self._provider.family
        model = next(iter(catalogue.models.values()))
        if self._provider.price(model.name):
            raise UsageError(
                f'the emulator can not draw with "{name}"',
                facts=["its renders cost money"],
                hint='use "draft" or "null"',
            )
        self._turns = asyncio.Semaphore(self._provider.concurrency)
        self._remembered: OrderedDict[Request, bytes] = OrderedDict()
        self._bytes = 0
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._provider.session())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def png(self, request: Request) -> bytes:
        """Return the PNG of `request`; raises ProviderError."""
        known = self._remembered.get(request)
        if known is not None:
            self._remembered.move_to_end(request)
            return known
        async with self._turns:
            png = (await self._provider.render(request, _NoJournal())).png
        if request not in self._remembered:
            self._bytes += len(png)
            self._remembered[request] = png
        while self._bytes > REMEMBERED_BYTES:
            self._bytes -= len(self._remembered.popitem(last=False)[1])
        return png


def other_size(request: Request) -> Request:
    """Return the request with a size that was not asked for: a third less in both directions."""
    return request._replace(size=Size(max(8, request.size.width * 2 // 3), max(8, request.size.height * 2 // 3)))


def corrupted(png: bytes) -> bytes:
    """Return the bytes with 64 in their middle inverted."""
    middle = max(0, len(png) // 2 - 32)
    spoilt = bytes(byte ^ 0xFF for byte in png[middle : middle + 64])
    return png[:middle] + spoilt + png[middle + 64 :]
