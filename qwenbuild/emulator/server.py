"""The emulator as a server, in the caller's event loop or in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from qwenbuild.local_server.server import LocalServer

from .app import Application
from .control_endpoints import API, Emulation
from .dashscope import Terms
from .faults import FAULT_HELP, Fault, FaultPlan
from .images import Renderer

__all__ = ["FAULT_HELP", "EmulatorOptions", "Running", "environment", "running", "serve"]

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions(Terms):
    """What one emulator is made from; the service's own terms are those of `Terms`.

    `host` and `port` (0: any free one) are where it listens; `images` is the provider that draws
    ("draft", "null"); `faults` are injected from the start (`FAULT_HELP` has the notation), `seed`
    makes the same ones fire again.
    """

    host: str = "127.0.0.1"
    port: int = 0
    images: str = "draft"
    faults: tuple[str, ...] = ()
    seed: int = 0


def environment(base_url: str, key: str = "sk-emulator") -> dict[str, str]:
    """Return the variables that point qwenbuild and the vendor's SDK, v1 and v2, at `base_url`."""
    return {"DASHSCOPE_API_KEY": key, "DASHSCOPE_HTTP_BASE_URL": base_url, "DASHSCOPE_BASE_URL": base_url}


async def serve(
    options: EmulatorOptions,
    started: Callable[[str], None],
    stopped: Callable[[Mapping[str, Any]], None] = lambda bill: None,
) -> None:
    """Run an emulator until this task is cancelled.

    `started` gets the base URL as soon as the port answers, `stopped` the final bill. Raises
    UsageError for a fault that is none, an unknown provider of images, and a port that is taken.
    """
    async with _server(options) as (base_url, emulation):
        try:
            started(base_url)
            await asyncio.Event().wait()
        finally:
            stopped(emulation.bill())


class Running:
    """An emulator in a thread of its own. `base_url` is what clients are pointed at, `origin` its root."""

    def __init__(self, base_url: str, emulation: Emulation, loop: asyncio.AbstractEventLoop) -> None:
        self.base_url = base_url
        self.origin = base_url.removesuffix(API)
        self._emulation = emulation
        self._loop = loop

    def environment(self, key: str = "sk-emulator") -> dict[str, str]:
        """Return the variables that point a client at it."""
        return environment(self.base_url, key)

    def bill(self) -> dict[str, Any]:
        """Return the bill as of now, as `GET /_emulator/bill` does."""
        return self._within(self._emulation.bill)

    def requests(self) -> list[dict[str, Any]]:
        """Return the remembered calls, oldest first, as `GET /_emulator/requests` does."""
        return self._within(lambda: [exchange.as_json() for exchange in self._emulation.calls])

    def reset(self) -> None:
        """Forget everything: bill, calls, tasks, links, limits, faults; the clock is right again."""
        self._within(self._emulation.reset)

    def inject(self, *faults: Fault | str, seed: int = 0) -> None:
        """Replace the faults; raises UsageError for one that is none."""
        plan = FaultPlan(faults, seed)

        def act() -> None:
            self._emulation.faults = plan

        self._within(act)

    def fired(self) -> dict[str, int]:
        """Return how often each fault has fired."""
        return self._within(lambda: dict(self._emulation.faults.fired()))

    def advance(self, seconds: float) -> None:
        """Move the emulated clock, by which tasks and links age."""
        self._within(lambda: self._emulation.advance(seconds))

    def _within(self, act: Callable[[], _T]) -> _T:
        """Run `act` in the emulator's own thread, where its state is at rest."""

        async def run() -> _T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=30)


@contextmanager
def running(options: EmulatorOptions | None = None) -> Iterator[Running]:
    """Run an emulator in a thread while the context lasts; raises what `serve` raises."""
    ready: Future[tuple[Running, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        async with _server(options or EmulatorOptions()) as (base_url, emulation):
            ready.set_result((Running(base_url, emulation, asyncio.get_running_loop()), stop))
            await stop.wait()

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    worker = threading.Thread(target=thread, name="qwenbuild-emulator", daemon=True)
    worker.start()
    handle, stop = ready.result()
    try:
        yield handle
    finally:
        handle._loop.call_soon_threadsafe(stop.set)
        worker.join()


@asynccontextmanager
async def _server(options: EmulatorOptions) -> AsyncIterator[tuple[str, Emulation]]:
    """Run the server while the context lasts; yields the base URL and what the emulator knows."""
    emulation = Emulation(options, FaultPlan(options.faults, options.seed))
    async with Renderer(options.images, options.catalogue) as renderer:
        server = LocalServer(options.host, options.port, any_port=True)
        application = Application(emulation, renderer, server.connection)
        async with server.serving(application, application.closing.set) as origin:
            yield f"{origin}{API}", emulation
