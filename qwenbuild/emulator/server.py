"""Starts and stops the emulator's server, in the caller's event loop or in its own thread."""

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
from .dashscope import Terms
from .emulation import Emulation
from .faults import FAULT_HELP, Fault, FaultPlan
from .images import Renderer
from .wire_format import API_PATH

__all__ = ["FAULT_HELP", "EmulatorOptions", "Running", "environment", "running", "serve"]

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions(Terms):
    """The options of one emulator, beside those of `Terms`.

    The emulator listens at `host` and `port` (0: any free port). `images` names the provider that
    draws the images ("draft" or "null"). `faults` are injected from the start, in the notation of
    `FAULT_HELP`. The same `seed` makes them fire at the same calls again.
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

    `started` gets the base URL as soon as the port answers; `stopped` gets the final bill. Raises
    UsageError for a wrong fault, an unknown image provider, or a port that is in use.
    """
    async with _server(options) as (base_url, emulation):
        try:
            started(base_url)
            await asyncio.Event().wait()
        finally:
            stopped(emulation.bill())


class Running:
    """An emulator that runs in its own thread.

    `base_url` is the URL of the vendor's API, for clients. `origin` is the same URL without a path.
    """

    def __init__(self, base_url: str, emulation: Emulation, loop: asyncio.AbstractEventLoop) -> None:
        self.base_url = base_url
        self.origin = base_url.removesuffix(API_PATH)
        self._emulation = emulation
        self._loop = loop

    def environment(self, key: str = "sk-emulator") -> dict[str, str]:
        """Return the variables that point a client at this emulator."""
        return environment(self.base_url, key)

    def bill(self) -> dict[str, Any]:
        """Return the bill as of now, like `GET /_emulator/bill`."""
        return self._within(self._emulation.bill)

    def requests(self) -> list[dict[str, Any]]:
        """Return the recorded calls, oldest first, like `GET /_emulator/requests`."""
        return self._within(lambda: [exchange.as_json() for exchange in self._emulation.calls])

    def reset(self) -> None:
        """Clear the bill, the calls, tasks, links, limits and faults, and set the clock to the real time."""
        self._within(self._emulation.reset)

    def inject(self, *faults: Fault | str, seed: int = 0) -> None:
        """Replace the faults; raises UsageError for a wrong one."""
        plan = FaultPlan(faults, seed)

        def replace() -> None:
            self._emulation.faults = plan

        self._within(replace)

    def fired(self) -> dict[str, int]:
        """Return how often each fault has fired."""
        return self._within(lambda: dict(self._emulation.faults.fired()))

    def advance(self, seconds: float) -> None:
        """Move the emulated clock. Tasks and links age with it."""
        self._within(lambda: self._emulation.advance(seconds))

    def _within(self, act: Callable[[], _T]) -> _T:
        """Run `act` in the emulator's thread, so that no call changes the state meanwhile, and return its result."""

        async def run() -> _T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=30)


@contextmanager
def running(options: EmulatorOptions | None = None) -> Iterator[Running]:
    """Run an emulator in a thread while the context lasts; raises the same errors as `serve`."""
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
    """Run the server while the context lasts; yields the base URL and the emulator's state."""
    emulation = Emulation(options, FaultPlan(options.faults, options.seed))
    async with Renderer(options.images, options.catalogue) as renderer:
        server = LocalServer(options.host, options.port, any_port=True)
        application = Application(emulation, renderer, server.connection)
        async with server.serving(application, application.closing.set) as origin:
            yield f"{origin}{API_PATH}", emulation
