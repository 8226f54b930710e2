"""A watch for tests of the preview: it plans and builds a real project when the test says so."""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx

from qwenbuild.engine import engine
from qwenbuild.errors import ProjectError
from qwenbuild.events import Delayed, Event, ImageFinished, ImageStarted
from qwenbuild.pages.preview import serve
from qwenbuild.plan.plan import Plan
from qwenbuild.problems import Problem
from qwenbuild.provider import Price
from qwenbuild.watch import choosing
from qwenbuild.watch.live_state import UnderWay
from tests.support.workspace import Workspace


def until(page: Any, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, while the page goes on. The test's timeout is the limit."""
    while not condition():
        page.wait_for_timeout(20)


def built(workspace: Workspace, **choices: Any) -> None:
    """Build in another thread, because Playwright occupies the event loop of the main thread."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: engine.load(workspace.root, **choices).build()).result()


class Watched:
    """What the preview reads of a watch. `refresh` reads the files again; each image costs `price_cny`."""

    def __init__(self, workspace: Workspace, price_cny: str = "") -> None:
        self._root, self._price = workspace.root, price_cny
        self.project = workspace.project
        loaded = engine.load(workspace.root)
        self.store, self.routes = loaded.store, loaded.routes
        self.engine, self.picks = loaded, loaded.picks()
        self.wishes: dict[str, object] = {}
        self.plan: Plan | None = None
        self.problems: Sequence[Problem] = ()
        self.revision = 0
        self.drafts: dict[str, str] = {}
        self.under_way: UnderWay | None = None
        self.spent: dict[str, Decimal] = {}
        self.cost_left: Decimal | None = None
        self.events: dict[str, ImageStarted | ImageFinished] = {}
        self.delayed: dict[str, Delayed] = {}
        self.rendered: list[tuple[list[str], bool]] = []
        self.address = ""
        self._grown = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def subscribe(self) -> AsyncIterator[int]:
        seen = self.revision
        while True:
            async with self._grown:
                while self.revision == seen:
                    await self._grown.wait()
                seen = self.revision
            yield seen

    async def grow(self) -> None:
        self.revision += 1
        async with self._grown:
            self._grown.notify_all()

    async def refresh(self) -> None:
        """Plan again. If the files have an error, the last good plan stays."""
        try:
            self.plan = await asyncio.to_thread(lambda: engine.load(self._root).plan())
            self.picks = self.engine.picks()
            self.problems = ()
        except ProjectError as error:
            self.problems = error.problems
        await self.grow()

    async def render(self, names: Collection[str], *, force: bool = False) -> None:
        self.rendered.append((list(names), force))
        task = asyncio.create_task(self._build(list(names), force))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _build(self, names: list[str], force: bool) -> None:
        loop = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            if isinstance(event, ImageStarted | ImageFinished):
                loop.call_soon_threadsafe(self.events.__setitem__, event.name, event)

        steps = {step.action.output: step for step in self.plan.steps if step.action.name in names} if self.plan else {}
        self.under_way = UnderWay(steps, set(), len(steps), time.monotonic())
        await self.grow()
        await asyncio.to_thread(lambda: engine.load(self._root, select=names, force=force).build(emit))
        self.under_way = None
        prices = [Price(amount, currency) for currency, amount in self.price(names).items()]
        self.spent = Price.by_currency(prices, self.spent)
        await self.refresh()

    async def pick(self, names: Collection[str], *, drop: bool = False, note: str | None = None) -> None:
        steps = [step for step in self.plan.steps if step.action.name in names] if self.plan else []
        if drop:
            self.picks = choosing.unstar(self.engine, names)
        elif note is not None:
            self.picks = choosing.annotate(self.engine, names, note)
        elif self.plan:
            self.picks = choosing.star(self.engine, steps, self.plan)
        await self.grow()

    async def keep(self, names: Collection[str], shown: str = "") -> Mapping[str, Any]:
        found = await asyncio.to_thread(choosing.keep, self.engine, names, shown)
        if shown:
            await self.refresh()
        return found

    def price(self, names: Collection[str], *, force: bool = True) -> Mapping[str, Decimal]:
        return {"CNY": Decimal(self._price) * len(names)} if self._price else {}


class Running:
    """A preview that runs in another thread; `within` runs a coroutine in its event loop, `stop` ends it."""

    def __init__(self, watched: Watched, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        self.watched, self._loop, self.stop = watched, loop, stop
        self.address = watched.address

    @property
    def origin(self) -> str:
        return self.address.partition("/#")[0]

    def act(self, name: str, body: object, key: str | None = None) -> httpx.Response:
        """Act as a page with the key does; `key` is by default that of the address."""
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"X-Qwenbuild-Proof": self.proof(name, content, key)}
        return httpx.post(f"{self.origin}/{name}", content=content, headers=headers)

    def proof(self, name: str, content: bytes, key: str | None = None) -> str:
        """Return the proof that a page with the key sends with an act."""
        challenge = httpx.get(f"{self.origin}/model.json", timeout=60).json()["challenge"]
        secret = self.address.partition("token=")[2] if key is None else key
        return hmac.digest(secret.encode(), f"{challenge}\n/{name}\n".encode() + content, "sha256").hex()

    def within(self, act: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(timeout=60)

    def refresh(self) -> None:
        self.within(self.watched.refresh)


@contextmanager
def previewing(workspace: Workspace, price_cny: str = "", port: int = 0) -> Iterator[Running]:
    """Serve a preview of the project while the context lasts, by default on any free port."""
    ready: Future[tuple[Watched, asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def run() -> None:
        watched = Watched(workspace, price_cny)
        await watched.refresh()
        started = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(watched, port, started.set_result))
        watched.address = await started
        ready.set_result((watched, asyncio.get_running_loop(), serving))
        try:
            await serving
        except asyncio.CancelledError:
            return

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="preview-under-test", daemon=True)
    thread.start()
    watched, loop, serving = ready.result(timeout=60)

    def stop() -> None:
        if thread.is_alive():
            loop.call_soon_threadsafe(serving.cancel)
            thread.join(timeout=30)

    try:
        yield Running(watched, loop, stop)
    finally:
        stop()
