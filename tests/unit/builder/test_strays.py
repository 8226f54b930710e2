"""Strays: images that were accepted earlier, and that no spec asks for any more, are collected into the store."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from qwenbuild import Engine, load
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.emulation import emulated_key
from qwenbuild.errors import AnswerLost, Refused, ServiceFault
from qwenbuild.events import Event, ImageStarted, Stopping, Warned
from qwenbuild.provider import Journal, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import Request, Size
from qwenbuild.routes import Routes
from qwenbuild.storage.ledger import Ledger
from tests.support.builds import Build, ScriptedProvider, Service


def test_a_stray_that_an_emulator_made(build: Build, service: Service) -> None:
    """It does not take the place of the service's image of the same request."""

    async def emulate(request: Request, journal: Journal) -> Rendered:
        journal.delayed(ServiceFault("try later"), 9.0)  # a stray has no cell: nobody is told
        return Rendered(plain(request.size, b"rgb"), emulated_by="http://127.0.0.1:9")

    build.run(detach=True)
    [sent] = build.engine().in_flight()
    build.prompts("two")
    service.collecting = emulate
    assert build.run().strays == 1
    store = build.engine().store
    assert store.lookup(emulated_key(sent.key, "http://127.0.0.1:9"))
    assert store.lookup(sent.key) is None


def test_a_stray_of_another_size(build: Build, service: Service) -> None:
    """It is kept, and not collected again; the build warns."""

    async def small(request: Request, journal: Journal) -> Rendered:
        return Rendered(plain(Size(64, 32), b"rgb"))

    build.run(detach=True)
    build.prompts("two")
    service.collecting = small
    assert build.run().strays == 0
    assert [event.problems[0].claim for event in build.events if isinstance(event, Warned)] == [
        "the image was made in another size: 64x32, not 1328x1328"
    ]
    assert build.ledger() == [("s/i0", "done"), ("s/i0", "done")]


@pytest.mark.parametrize(
    ("error", "claim", "left"),
    [
        (AnswerLost("the task is gone"), "the task is gone", [""]),
        (ServiceFault("try later"), "try later", ["task:one"]),
        (KeyError("oops"), "the provider \"scripted\" broke: KeyError: 'oops'", ["task:one"]),
    ],
)
def test_a_stray_that_can_not_be_collected(
    build: Build, service: Service, error: Exception, claim: str, left: list[str]
) -> None:
    """The build warns and goes on. Unless the answer is lost for good, a later build tries again."""

    async def fail(request: Request, journal: Journal) -> None:
        raise error

    service.collecting = fail
    build.run(detach=True)
    build.prompts("two")
    finished = build.run()
    assert (finished.strays, finished.rendered) == (0, 1)
    warned = [problem.claim for event in build.events if isinstance(event, Warned) for problem in event.problems]
    assert warned == [claim]
    assert build.stopped == []
    assert [(it.handle, it.is_held) for it in build.engine().in_flight()] == [(handle, False) for handle in left]


def test_strays_of_a_provider_that_can_not_collect_stay(build: Build, service: Service) -> None:
    """Another version of a plugin may have left them."""
    build.run(detach=True)
    build.prompts("two")
    build.provider = ScriptedProvider(price="0.25")
    assert build.run().strays == 0
    assert [it.handle for it in build.engine().in_flight()] == ["task:one"]


def test_interrupted_while_a_stray_is_collected(build: Build, service: Service) -> None:
    """Its task goes on at the service, and a later build collects it."""

    async def hang(request: Request, journal: Journal) -> None:
        interrupt.request()
        interrupt.request()
        await asyncio.Event().wait()

    interrupt = Interrupt()
    build.run(detach=True)
    build.prompts("two")
    service.collecting = hang
    assert build.run(interrupt=interrupt).strays == 0
    service.collecting = None
    assert build.run().strays == 1


def test_an_interrupt_while_a_stray_is_collected(build: Build, service: Service) -> None:
    """One interrupt waits for it: its request was sent long ago."""

    async def collect(request: Request, journal: Journal) -> None:
        interrupt.request()
        await stopping.wait()

    interrupt, stopping = Interrupt(), asyncio.Event()
    build.run(detach=True)
    build.prompts("two")
    service.collecting = collect
    finished = build.run(lambda event: stopping.set() if isinstance(event, Stopping) else None, interrupt)
    assert (finished.strays, finished.interrupted) == (1, True)
    assert [event.in_flight for event in build.events if isinstance(event, Stopping)] == [1]


def test_a_stray_whose_task_failed(build: Build, service: Service) -> None:
    """It was not billed: the build warns, and nothing is in flight any more."""

    async def fail(request: Request, journal: Journal) -> None:
        await journal.refused()
        raise Refused("the task was cancelled")

    service.collecting = fail
    build.run(detach=True)
    build.prompts("two")
    assert build.run().strays == 0
    assert [event.problems[0].claim for event in build.events if isinstance(event, Warned)] == [
        "the task was cancelled"
    ]
    assert build.ledger() == [("s/i0", "refused"), ("s/i0", "done")]
    assert build.engine().in_flight() == []


def test_a_stray_that_another_build_has_collected(build: Build, service: Service) -> None:
    """It was settled after the plan was made: nothing happens."""
    build.run(detach=True)
    [sent] = build.engine().in_flight()
    build.prompts("two")

    def settle(event: Event) -> None:
        if isinstance(event, ImageStarted):
            with contextlib.closing(Ledger(build.engine().store.root / "ledger")) as ledger:
                ledger.settle(sent.uid, "done")

    assert (build.run(settle).strays, service.collected) == (0, [])


class Region(Service):
    """The scripted service in one region: only the account there can collect its images."""

    def __init__(self, region: str) -> None:
        super().__init__(self._accept, price="0.25")
        self._region = region

    def account(self) -> dict[str, str]:
        return {"host": f"{self._region}.example", "region": self._region, "account": "me"}

    def needs_account(self, handle: str) -> bool:
        return True

    async def _accept(self, request: Request, journal: Journal) -> None:
        await journal.intend(self.account())
        await journal.accepted(f"task:{request.prompt}")


def test_strays_of_two_regions(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is collected where it was sent, though both providers have the same name."""

    def engine(**choices: Any) -> Engine:
        engine = load(build.root, **choices)
        engine.routes = Routes(here, lambda choice: there)
        return engine

    here, there = Region("here"), Region("there")
    monkeypatch.setattr(build, "engine", engine)
    spec = '[image.a]\nprompt = "one"\n[image.b]\nprompt = "two"\nprovider = "draft"\n'
    build.place.write({"specs/s.toml": spec})
    assert build.run(detach=True).submitted == 2
    build.place.write({"specs/s.toml": spec.replace('"one"', '"three"').replace('"two"', '"four"')})
    assert ([*engine().plan().warnings], len(engine().plan().strays)) == ([], 2)
    assert build.run().strays == 2
    assert (here.collected, there.collected) == (["task:one"], ["task:two"])
