"""The draft provider: typesets what a prompt is about, so that layout can be judged before paying.

A draft shows the prompt's quoted texts in reading order, colours that follow its colour words and
its seed, an abstract picture where the picture will be, the cell's name, and that it is a draft.
Deterministic: the same request gives the same bytes, in every thread and process with this Pillow.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

from .provider import Journal, Price, Rendered, Settings, reject_unknown
from .request import Request

FAMILY = "draft-2"
"""Part of every action key of a draft: it changes with whatever changes the pixels of any draft."""


class DraftProvider:
    """Renders drafts; free, offline, several at once."""

    name = "draft"
    family = FAMILY
    labelled = True

    def __init__(self, settings: Settings) -> None:
        reject_unknown(settings.table, (), self.name)
        self.concurrency = settings.jobs or os.cpu_count() or 1
        self._pool: Executor | None = None

    def check(self, request: Request) -> str | None:
        """Return None: every request can be drafted."""
        return None

    def price(self, request: Request) -> Price | None:
        """Return None: drafts are free."""
        return None

    def shortest_s(self, requests: Sequence[Request]) -> float:
        """Return 0: no limit but the machine's."""
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Hold the threads that draw."""
        with ThreadPoolExecutor(self.concurrency, "qwenbuild-draft") as self._pool:
            yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the draft of a request."""
        loop = asyncio.get_running_loop()
        return Rendered(await loop.run_in_executor(self._pool, png, request), verified=True)


def png(request: Request) -> bytes:
    """Return the draft of a request as PNG, exactly of its size."""
    from .artwork import image  # here, for plans need a provider and no fonts

    out = io.BytesIO()
    # Level 1: drafts are flat, higher levels cost three times as long for a tenth less.
    image(request).save(out, "PNG", compress_level=1)
    return out.getvalue()
