"""Watching a project: real files changed as editors change them, real builds, waits bounded by what the watch tells."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from emulated import QUICK
from workspace import Workspace

from qwenbuild import engine as engines
from qwenbuild.emulator import Running, environment, running
from qwenbuild.errors import UsageError
from qwenbuild.events import Drafted, Event, Finished, ImageFinished, ImageStarted, Outcome, Replanned
from qwenbuild.plan import Plan, Verdict
from qwenbuild.watch import Watch

pytest_plugins = ("emulated",)

SPEC = """
[image.poster]
template = "poster.j2"
[image.poster.matrix]
colour = ["red", "blue"]
"""
FREE = {"qwenbuild.toml": 'provider = "null"\n', "specs/a.toml": SPEC, "templates/poster.j2": "a {{ colour }} ball"}
PAID = {**FREE, "qwenbuild.toml": '[providers.dashscope]\nsubmits = "1000/second"\n'}
PRICE = Decimal("0.2")


class Watched:
    """A watch under test, and all that it has told."""

    def __init__(self, root: Path, auto: bool, choices: dict[str, Any]) -> None:
        self.told: list[Event] = []
        self.watch = Watch(engines.load(root, **choices), self.told.append, auto=auto)
        self.live = self.watch.live
        self.root = root

    @property
    def plan(self) -> Plan:
        assert self.live.plan is not None
        return self.live.plan

    @property
    def prompts(self) -> list[str]:
        """The prompts that the plan asks for."""
        return [step.action.request.prompt for step in self.live.plan.steps] if self.live.plan else []

    @property
    def outputs(self) -> list[str]:
        """The files below `out/`."""
        return sorted(path.relative_to(self.root / "out").as_posix() for path in (self.root / "out").rglob("*.png"))

    def told_of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def is_done(self) -> bool:
        """Whether there is a plan, and nothing that a save asks for is left to do."""
        plan = self.live.plan
        return plan is not None and plan.count(Verdict.UP_TO_DATE) == len(plan.steps) and not self.live.building

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until the watch knows what makes it so."""
        revisions = self.live.subscribe()
        async with asyncio.timeout(60):
            while not is_so():
                await anext(revisions)

    async def until_prompts(self, *prompts: str) -> None:
        await self.until(lambda: self.prompts == list(prompts))


@asynccontextmanager
async def watching(workspace: Workspace, *, auto: bool = False, **choices: Any) -> AsyncIterator[Watched]:
    watched = Watched(workspace.root, auto, choices)
    run = asyncio.create_task(watched.watch.run())
    waiting = asyncio.create_task(watched.until(lambda: bool(watched.live.revision)))
    try:
        await asyncio.wait({run, waiting}, return_when=asyncio.FIRST_COMPLETED)
        yield watched
    finally:
        waiting.cancel()
        watched.watch.leave()
        async with asyncio.timeout(60):
            await run


def test_a_save_builds_what_is_free(project: Workspace) -> None:
    """What costs nothing is made as soon as it is saved."""
    project.write(FREE)

    async def use() -> None:
        async with watching(project) as it:
            await it.until(it.is_done)
            first = it.outputs
            project.write({"templates/poster.j2": "one {{ colour }} ball"})
            await it.until_prompts("one red ball", "one blue ball")
            await it.until(it.is_done)
            assert first == it.outputs == ["a/poster-blue.png", "a/poster-red.png"]
            assert [event.rendered for event in it.told_of(Finished)] == [2, 2]
            assert it.told_of(Replanned)[-1].changed == ["templates/poster.j2"]

    asyncio.run(use())
