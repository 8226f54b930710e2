"""What is on its way to the service goes first: downloads give way to it.

Until it has the next request, a place at the service stands empty, while an image that is ready
there can wait. Otherwise, of fifty answers that come at once, all fifty images are downloaded
before the next fifty requests are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

_LONGEST_S: Final = 0.25  # that a download gives way: where requests never cease, images come all the same


class Outgoing:
    """The requests that are on their way out, within one event loop."""

    def __init__(self, longest_s: float = _LONGEST_S) -> None:
        """`longest_s` is how long a download gives way at most."""
        self._longest_s = longest_s
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def request(self) -> Iterator[Callable[[], None]]:
        """Count a request as on its way while the context lasts, or until what it gives is called, once it is sent."""
        is_sent = False

        def sent() -> None:
            nonlocal is_sent
            if not is_sent:
                is_sent = True
                self._count -= 1
                if not self._count:
                    self._none.set()

        self._count += 1
        self._none.clear()
        try:
            yield sent
        finally:
            sent()

    async def give_way(self) -> None:
        """Return once no request is on its way, or soon all the same."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_s):
                await self._none.wait()
