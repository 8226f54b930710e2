"""Rendering: has a server make an image, and tries again, at the same server or at another one.

A render costs nothing. So an answer that was lost is simply asked for again.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from qwenbuild.errors import BadImage, ProviderError, Throttled, Unreachable
from qwenbuild.provider import Journal, Rendered
from qwenbuild.request import Request

from ..retrying import retrying
from ..same_images import SameImages
from . import jobs
from .dialects import Dialect
from .pictures import Picture, picture
from .servers import Server, Servers

FIRST_WAIT_S: Final = 1.0

_SAME: Final = "does the server take the seed, and is the dialect right? An image that was cached looks the same"

# Attempts in total. A server that loads its model needs minutes.
_BUSY: Final = 25
_UNREACHABLE: Final = 6
_FAULT: Final = 4
_BAD_IMAGE: Final = 3


class Renderer:
    """Renders at the servers of one session."""

    def __init__(self, dialect: Dialect, servers: Servers, accepted: str, timeout_s: float) -> None:
        """`accepted` is "png" or "jpeg". `timeout_s` is the longest time for one attempt, until the last byte."""
        self._dialect, self._servers, self._accepted, self._timeout_s = dialect, servers, accepted, timeout_s
        self._same_images = SameImages(dialect.title, _SAME)

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the verified image, of whatever size. Raises ProviderError."""
        async for attempt in retrying(self._attempts, FIRST_WAIT_S, tell=journal.delayed):
            with attempt:
                async with self._servers.seat() as server:
                    found = await self._once(request, server)
        facts = {**await server.facts(), **found.facts}
        return Rendered(found.png, facts, verified=True, warnings=self._same_images.warnings(request, found.pixels))

    async def _once(self, request: Request, server: Server) -> Picture:
        if self._dialect.ignores_model:
            await server.check_model(request.model)
        body = self._dialect.body(request, json.loads(request.parameters) if request.parameters else {})
        if self._dialect.has_jobs:
            text = await jobs.image(server, body, request.model, self._timeout_s)
        else:
            answer = await server.ask("POST", f"{server.base}/images/generations", body, whole_s=self._timeout_s)
            text = server.reader.image(answer, request.model)
        return await asyncio.to_thread(picture, text, self._accepted, server.origin)

    def _attempts(self, error: BaseException | None) -> int:
        """Return how many attempts in total a request gets if its last attempt ended with `error`."""
        if not isinstance(error, ProviderError) or not error.retryable:
            return 1
        if isinstance(error, Unreachable):  # a code names a lasting fault: only another server may help
            servers = len(self._servers.every)
            return servers if error.code else max(servers, _UNREACHABLE)
        if isinstance(error, Throttled):
            return _BUSY
        return _BAD_IMAGE if isinstance(error, BadImage) else _FAULT
