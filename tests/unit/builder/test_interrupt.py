"""The interrupt: requested by a call or by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

from qwenbuild.builder.interrupt import Interrupt


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


def test_signals() -> None:
    """SIGINT and SIGTERM request the interrupt inside the context, and have their old handlers after it."""

    async def run() -> int:
        interrupt = Interrupt()
        with interrupt.by_signals():
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.01)
        return interrupt.count

    before = signal.getsignal(signal.SIGTERM)
    assert asyncio.run(run()) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == before


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
