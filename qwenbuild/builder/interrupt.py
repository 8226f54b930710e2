"""The interrupt: the first one lets running renders finish, the second one leaves at once.

Four signals request it: SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal was closed) and SIGQUIT (Ctrl-\\).

Invariants:
- A signal that is ignored stays ignored. `nohup` ignores SIGHUP, and a shell script ignores SIGINT and SIGQUIT for
  what it starts with `&`: whoever does that wants the build to go on.
- Only somebody who decides to leave makes a request the second one. A closing terminal does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)  # Windows has only the first two
_SIGHUP: Final = getattr(signal, "SIGHUP", None)
_THREAD: Final = "qwenbuild-build"  # the names of a build's threads begin with this
_LAST_WRITES_S: Final = 2.0  # for writes to the disk that have begun when the user leaves at once


class Interrupt:
    """Asks a build to stop. `count` is how often it was requested; any thread may request it.

    `signal` is the number of the first signal that requested it, 0 if there was none.
    """

    def __init__(self) -> None:
        self.count = 0
        self.signal = 0
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
        """Let signals request the interrupt inside this context. Needs a running event loop."""
        return on_signals(self._signalled)

    def _signalled(self, number: int) -> None:
        is_first, self.signal = not self.signal, self.signal or number
        # If the program has requested it already, as after a closed pipe, the user may not know that.
        if not (is_first and self.count):
            self.request()


@contextlib.contextmanager
def on_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` in the running event loop with each signal that asks this process to end, inside this context."""
    loop, once = asyncio.get_running_loop(), _Hangup()
    before: dict[int, Any] = {}  # handlers by signal

    def received(number: int) -> None:
        if once.is_news(number):
            act(number)

    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if handler is signal.SIG_IGN:
            continue
        # Only the main thread of a POSIX process can do this. Elsewhere KeyboardInterrupt ends the loop at once.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, received, number)
            before[number] = handler
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if number == _SIGHUP and once.hung_up and handler is signal.SIG_DFL:
                # The next SIGHUP of the same closed terminal must not kill the process while it writes the lock.
                handler = signal.SIG_IGN
            if handler is not None:  # None: a handler that was not set by Python
                signal.signal(number, handler)


class _Hangup:
    """Counts the signals of a closing terminal once.

    A closed terminal sends SIGHUP several times: the kernel sends it to the foreground job, and a shell sends it to all
    its jobs when it ends. At a logout, systemd sends SIGTERM as well, before or after that. Nobody is there to decide
    that paid images are left behind. So SIGHUP is never a second request, and a SIGHUP and one SIGTERM are
    one request.
    """

    def __init__(self) -> None:
        self.hung_up = False  # a SIGHUP has come
        self._is_first = True
        self._may_repeat = False  # the next SIGTERM says the same as the SIGHUP that came first

    def is_news(self, number: int) -> bool:
        """Record a signal; return False if it only repeats that the terminal was closed."""
        is_first, self._is_first = self._is_first, False
        if number == _SIGHUP:
            self.hung_up = True
            self._may_repeat |= is_first
            return is_first
        repeats, self._may_repeat = self._may_repeat and number == signal.SIGTERM, False
        return not repeats


class Threads(ThreadPoolExecutor):
    """The threads of a build's event loop. After the second interrupt, nobody waits for them for long.

    The system's look-up of a host name can't be cancelled, and takes half a minute if no name server answers.
    """

    def __init__(self, interrupt: Interrupt) -> None:
        super().__init__(thread_name_prefix=_THREAD)
        self._interrupt = interrupt

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads. Waits for them, after the second interrupt for at most two seconds."""
        if self._interrupt.count < 2:
            super().shutdown(wait, cancel_futures=cancel_futures)
            return
        super().shutdown(wait=False, cancel_futures=True)
        until_s = time.monotonic() + _LAST_WRITES_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))


def is_left_behind(thread: threading.Thread) -> bool:
    """Return True if an ended build did not wait for this thread. The process may end without it, too."""
    return thread.name.startswith(_THREAD)
