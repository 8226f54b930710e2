"""The interrupt: the first one lets running renders finish, the second one leaves at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator


class Interrupt:
    """Asks a build to stop. `count` is how often it was requested; any thread may request it."""

    def __init__(self) -> None:
        self.count = 0
        self._listeners: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []
        self._lock = threading.Lock()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the running event loop at each request; at once for each earlier request."""
        with self._lock:
            before = self.count
            self._listeners.append((asyncio.get_running_loop(), listener))
        for _ in range(before):
            listener()

    def request(self) -> None:
        """Ask the build to stop."""
        with self._lock:
            self.count += 1
            listeners = tuple(self._listeners)
        for loop, listener in listeners:
            with contextlib.suppress(RuntimeError):  # the loop is closed: that build has ended
                loop.call_soon_threadsafe(listener)

    def by_signals(self) -> contextlib.AbstractContextManager[None]:
        """Let SIGINT and SIGTERM request the interrupt inside this context. Needs a running event loop."""
        return on_signals((signal.SIGINT, signal.SIGTERM), self.request)


@contextlib.contextmanager
def on_signals(numbers: Iterable[int], act: Callable[[], None]) -> Iterator[None]:
    """Call `act` in the running event loop for each of these signals inside this context."""
    loop = asyncio.get_running_loop()
    added = []
    for number in numbers:
        # Only the main thread of a POSIX process can do this. Elsewhere KeyboardInterrupt ends the loop at once.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, act)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
