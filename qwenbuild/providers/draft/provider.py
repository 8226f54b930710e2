"""The draft provider: free images to judge a prompt's texts, colours and layout before paying.

A draft shows the prompt's quoted texts in reading order, an abstract picture, the cell's name, and
the word DRAFT. Its colours follow the prompt's colour words and the seed.

Invariant: the same request gives the same bytes, in every thread and process with the same Pillow.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from qwenbuild.finding import Finding, Level
from qwenbuild.problems import Problem
from qwenbuild.provider import Journal, Price, Rendered, Settings, reject_unknown
from qwenbuild.request import Request

if TYPE_CHECKING:
    from .workers import WorkerPool

FAMILY = "draft-4"
"""Part of every action key of a draft. It must change whenever the pixels of any draft change."""

_WORTH_PROCESSES = 32  # drafts of a session before processes start; starting one takes as long as ten drafts


class DraftProvider:
    """Renders drafts: free, offline, several at once."""

    name = "draft"
    family = FAMILY
    command_line_options = ()
    labelled = True
    makes_drafts = True

    def __init__(self, settings: Settings, *, only_processes: bool = False) -> None:
        """With `only_processes`, even the first drafts are drawn in other processes, so this process stays quick."""
        reject_unknown(settings.table, (), self.name)
        self.concurrency = settings.jobs or os.cpu_count() or 1
        self._pool: WorkerPool
        self._told: set[str] = set()  # the scripts that this session has warned of
        self._in_thread = 0 if only_processes else _WORTH_PROCESSES if self.concurrency > 1 else math.inf

    def check(self, model: str) -> str | None:
        """Return None: drafts exist for every model."""
        return None

    def price(self, model: str) -> Price | None:
        """Return None: drafts are free."""
        return None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return 0: only the machine limits the speed."""
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Keep the drawing workers while the context lasts."""
        from .workers import WorkerPool  # imported late: plans need a provider, but no workers

        self._told.clear()
        async with WorkerPool(self.concurrency, self._in_thread).running() as self._pool:
            yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the draft of a request."""
        made = await self._pool.draft(request)
        new = [script for script in made.missing if script not in self._told]
        self._told.update(new)
        return Rendered(made.png, verified=True, warnings=[_no_font(script) for script in new])

    async def diagnose(self, project_provider: str | None) -> Sequence[Finding]:
        """Return whether the fonts of drafts can be used; they come with qwenbuild, so broken ones always fail."""
        from . import fonts

        broken = fonts.broken_fonts()
        if broken:
            packages = " ".join(sorted({package for _, package in broken}))
            hint = f"{sys.executable} -m pip install --force-reinstall {packages}"
            facts = tuple(message for message, _ in broken)
            return [Finding("fonts", Level.FAIL, "the fonts of drafts can't be used", facts, hint, name="no-glyphs")]
        return [Finding("fonts", Level.OK, "the fonts of drafts are installed")]

    async def png(self, request: Request) -> bytes:
        """Return the draft of a request as PNG. Must be called inside a session."""
        return (await self._pool.draft(request)).png


def _no_font(script: str) -> Problem:
    """Return the warning that no font has the characters of a script; symbols and emoji count as scripts."""
    what = f"some {script}" if script in ("emoji", "symbols") else f"{script} letters"
    facts = (f"no font of qwenbuild has {'them' if what.startswith('some') else 'this script'}",)
    return Problem(
        f"drafts show bars instead of {what}", facts=facts, hint="real images are not affected", name="no-glyphs"
    )
