"""Priority: downloads wait until no request is being sent.

A free place at the service is wasted until the next request arrives, but a finished image can wait. Without
this priority, 50 answers that arrive together are all downloaded before the next 50 requests are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_LONGEST_S: Final = 0.25


class Priority:
    """Counts the requests that are being sent, within one event loop."""

    def __init__(self, longest_s: float = _LONGEST_S) -> None:
        """`longest_s` is the longest wait of a download, so that downloads begin even if requests never stop."""
        self._longest_s = longest_s
        self._count = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @contextmanager
    def sending(self) -> Iterator[Callable[[], None]]:
        """Count one request as being sent while the context lasts; yields a function that ends this early.

        The caller calls the function once the request is sent, however long the answer takes. Calling
        it again changes nothing.
        """
        is_sent = False

        def sent() -> None:
            nonlocal is_sent
            if not is_sent:
                is_sent = True
                self._count -= 1
                if not self._count:
                    self._is_idle.set()

        self._count += 1
        self._is_idle.clear()
        try:
            yield sent
        finally:
            sent()

    async def give_way(self) -> None:
        """Wait until nothing is being sent, at most `longest_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._longest_s):
                await self._is_idle.wait()
