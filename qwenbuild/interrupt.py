"""Ctrl-C in two stages: the first lets a build finish what is under way, the second makes it leave at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


class Interrupt:
    """Asks a build to stop: `request` once to finish what is under way, twice to leave at once."""

    def __init__(self) -> None:
        self.count = 0
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` at each request, and now for those that were made before."""
        self._listeners.append(listener)
        for _ in range(self.count):
            listener()

    def request(self) -> None:
        """Ask the build to stop."""
        self.count += 1
        for listener in self._listeners:
            listener()

    @contextlib.contextmanager
    def by_signals(self) -> Iterator[None]:
        """Have SIGINT and SIGTERM request it while the context lasts, within a running event loop."""
        loop = asyncio.get_running_loop()
        added = []
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread of a POSIX process can; elsewhere KeyboardInterrupt ends the build at once.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.request)
                added.append(number)
        try:
            yield
        finally:
            for number in added:
                loop.remove_signal_handler(number)
