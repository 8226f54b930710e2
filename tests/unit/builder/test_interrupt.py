"""The interrupt: requested by a call or by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from qwenbuild.builder.interrupt import Interrupt, Threads, is_left_behind

NAMES = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]


def test_every_listener_hears_every_request() -> None:
    """Each listener is called in its event loop for every request, earlier ones included."""

    async def run() -> tuple[int, int, int]:
        interrupt = Interrupt()
        early: list[int] = []
        late: list[int] = []
        interrupt.listen(lambda: early.append(threading.get_ident()))
        await asyncio.to_thread(interrupt.request)
        await asyncio.sleep(0)
        interrupt.listen(lambda: late.append(threading.get_ident()))
        interrupt.request()
        await asyncio.sleep(0)
        here = threading.get_ident()
        return interrupt.count, early.count(here), late.count(here)

    assert asyncio.run(run()) == (2, 2, 2)


def test_an_ended_loop_is_not_asked() -> None:
    """A request after the end of the build is only counted."""
    interrupt = Interrupt()

    async def listen() -> None:
        interrupt.listen(lambda: None)

    asyncio.run(listen())
    interrupt.request()
    assert interrupt.count == 1


@pytest.fixture(autouse=True)
def _old_handlers() -> Iterator[None]:
    """Restore the handlers of all signals."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def interrupted(*names: str, requested: int = 0) -> tuple[int, int]:
    """Return count and signal of an interrupt that gets these signals after `requested` calls of `request`."""

    async def run() -> tuple[int, int]:
        interrupt = Interrupt()
        with interrupt.by_signals():
            for _ in range(requested):
                interrupt.request()
            for name in names:
                os.kill(os.getpid(), getattr(signal, name))
                await asyncio.sleep(0.01)
        return interrupt.count, interrupt.signal

    return asyncio.run(run())


@pytest.mark.parametrize("name", NAMES)
def test_signals(name: str) -> None:
    """Each signal requests the interrupt inside the context, and has its old handler after it."""
    number = getattr(signal, name)
    if name != "SIGINT":
        signal.signal(number, lambda number, frame: None)
    before = signal.getsignal(number)
    assert interrupted(name) == (1, number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("names", "count"),
    [
        ("SIGINT SIGINT", 2),
        ("SIGQUIT SIGQUIT", 2),
        ("SIGTERM SIGTERM", 2),
        ("SIGHUP SIGHUP SIGHUP", 1),
        ("SIGINT SIGHUP", 1),
        ("SIGINT SIGHUP SIGINT", 2),
        ("SIGHUP SIGINT", 2),
        ("SIGHUP SIGQUIT", 2),
        ("SIGHUP SIGTERM", 1),
        ("SIGHUP SIGHUP SIGTERM", 1),
        ("SIGHUP SIGTERM SIGHUP", 1),
        ("SIGHUP SIGTERM SIGTERM", 2),
        ("SIGHUP SIGINT SIGTERM", 3),
        ("SIGTERM SIGHUP", 1),
        ("SIGTERM SIGHUP SIGTERM", 2),
    ],
)
def test_a_closing_terminal_counts_once(names: str, count: int) -> None:
    """SIGHUP is never a second request, and the SIGTERM of the same logout is none."""
    assert interrupted(*names.split()) == (count, getattr(signal, names.split()[0]))


def test_the_first_signal_after_a_request_of_the_program() -> None:
    """The user may not know that the build stops already, so the first signal is not the second request."""
    assert interrupted("SIGINT", requested=1) == (1, signal.SIGINT)
    assert interrupted("SIGINT", "SIGINT", requested=1) == (2, signal.SIGINT)


@pytest.mark.parametrize("name", NAMES)
def test_an_ignored_signal_stays_ignored(name: str) -> None:
    """`nohup` and scripts ignore signals so that the build goes on."""
    signal.signal(getattr(signal, name), signal.SIG_IGN)
    assert interrupted(name) == (0, 0)
    assert signal.getsignal(getattr(signal, name)) is signal.SIG_IGN


def test_a_repeated_sighup_does_not_kill_what_follows() -> None:
    """After a SIGHUP the process is ending: the next one must not kill it while it writes the lock."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert interrupted("SIGINT") == (1, signal.SIGINT)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert interrupted("SIGHUP") == (1, signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_another_thread_gets_no_signals() -> None:
    """In a thread, which gets no signals, the context does nothing."""

    def run() -> int:
        async def wait() -> int:
            interrupt = Interrupt()
            with interrupt.by_signals():
                await asyncio.sleep(0)
            return interrupt.count

        return asyncio.run(wait())

    async def elsewhere() -> int:
        return await asyncio.to_thread(run)

    assert asyncio.run(elsewhere()) == 0


def test_nobody_waits_for_hanging_threads_after_the_second_request() -> None:
    """A loop with such threads ends although one of them hangs; without the second request it would wait."""
    hanging = threading.Event()

    async def run() -> None:
        interrupt = Interrupt()
        interrupt.request()
        interrupt.request()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Threads(interrupt))
        loop.run_in_executor(None, hanging.wait)

    asyncio.run(run())
    left = [thread for thread in threading.enumerate() if is_left_behind(thread)]
    hanging.set()
    for thread in left:
        thread.join()
    assert len(left) == 1
