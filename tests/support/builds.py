"""A build whose provider does what a test says, and the events of the build."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from qwenbuild import Engine, load
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.errors import AnswerLost
from qwenbuild.events import Event, Finished, ImageFinished, ImageStarted, Outcome, Stopping
from qwenbuild.provider import Journal, Price, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Submission
from tests.support.routes import routes_of
from tests.support.workspace import Workspace

Act = Callable[[Request, Journal], Awaitable[Rendered | None]]


class ScriptedProvider:
    """A provider that calls `act` for each request, and draws a plain image if `act` returns None."""

    name, family, labelled = "scripted", "scripted-1", False

    def __init__(self, act: Act | None = None, *, concurrency: int = 3, price: str = "") -> None:
        self.concurrency = concurrency
        self._act, self._price = act, price
        self.prompts: list[str] = []
        self.under_way = self.most = 0

    def check(self, model: str) -> str | None:
        return None

    def price(self, model: str) -> Price | None:
        return Price(Decimal(self._price)) if self._price else None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        self.prompts.append(request.prompt)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.001)
            rendered = await self._act(request, journal) if self._act else None
        finally:
            self.under_way -= 1
        return rendered or Rendered(plain(request.size, b"rgb"), {"note": "drawn"})


NOTHING = Search(700.0, 800.0, is_whole=True)  # read too early to prove anything
NOT_BILLED = Search(700.0, 660.0, is_whole=True)
ITS_TASK = Candidate("task:7", "7", "SUCCEEDED", 1.0, "one", Likeness.SAME)


class Service(ScriptedProvider):
    """A provider whose images a later build can collect, and whose list of tasks says what a test wants."""

    def __init__(self, act: Act | None = None, **named: Any) -> None:
        super().__init__(act, **named)
        self.colour = b"rgb"
        self.collected: list[str] = []
        self.collecting: Act | None = None
        self.found: Search | Exception = NOTHING

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        self.collected.append(submission.handle)
        rendered = await self.collecting(submission.request, journal) if self.collecting else None
        return rendered or Rendered(plain(submission.request.size, self.colour), {"note": "collected"})

    def price(self, model: str) -> Price | None:
        assert model.startswith("qwen-image")
        return super().price(model)

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
    ) -> dict[int, Search]:
        if isinstance(self.found, Exception):
            raise self.found
        return {it.id: self.found for it in lost}


async def accept(request: Request, journal: Journal) -> None:
    """Get the request accepted as a task that is named for its prompt."""
    await journal.intend({})
    await journal.accepted(f"task:{request.prompt}")


async def lose(request: Request, journal: Journal) -> None:
    """Send the request; the answer never comes."""
    await journal.intend({})
    raise AnswerLost("gone")


class Build:
    """A project whose images have one prompt each, its provider, and the events of its last build."""

    def __init__(self, place: Workspace) -> None:
        self.root = place.root
        self.place = place
        self.provider = ScriptedProvider()
        self.events: list[Event] = []
        place.write({"qwenbuild.toml": 'provider = "null"\n'})

    def prompts(self, *texts: str) -> None:
        """Declare an image for each prompt."""
        images = (f'[image.i{at}]\nprompt = "{text}"\nseed = 1\nsize = "1:1"\n' for at, text in enumerate(texts))
        self.place.write({"specs/s.toml": "".join(images)})

    def engine(self, **choices: Any) -> Engine:
        engine = load(self.root, **choices)
        engine.routes = routes_of(self.provider)
        return engine

    def run(self, emit: Callable[[Event], None] | None = None, interrupt: Interrupt | None = None,
            **choices: Any) -> Finished:  # fmt: skip
        """Build once, and check that every output ended exactly once, and took no longer than the build."""
        self.events = []

        def take(event: Event) -> None:
            self.events.append(event)
            if emit:
                emit(event)

        engine = self.engine(**choices)
        finished = engine.build(take, interrupt)
        ended = [event for event in self.events if isinstance(event, ImageFinished)]
        assert sorted(event.path for event in ended) == sorted(step.action.output for step in engine.plan().steps)
        assert all(0.0 <= event.seconds <= finished.seconds for event in ended)
        assert self.events[0].event == "started"
        assert self.events[-1] is finished
        return finished

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Outcome by image."""
        ended = [event for event in self.events if isinstance(event, ImageFinished)]
        return {event.name.removeprefix("s/"): event.outcome for event in ended}

    @property
    def started(self) -> list[tuple[str, str]]:
        """Image and reason of each image that the provider began, in order."""
        begun = [event for event in self.events if isinstance(event, ImageStarted)]
        return [(event.name.removeprefix("s/"), event.reason) for event in begun]

    @property
    def stopped(self) -> list[str]:
        """Why the build stopped: each reason, in order."""
        return [event.reason for event in self.events if isinstance(event, Stopping)]

    def ledger(self) -> list[tuple[str, str]]:
        """Cell and outcome of each submission in the ledger, in order; the outcome is empty while it is open."""
        with contextlib.closing(sqlite3.connect(self.engine().store.root / "ledger" / "ledger.sqlite3")) as db:
            return [(cell, outcome or "") for cell, outcome in db.execute("SELECT cell, outcome FROM submissions")]

    def stores(self) -> int:
        """Return how many results the store has."""
        return len(list((self.engine().store.root / "ac").rglob("*/*")))
