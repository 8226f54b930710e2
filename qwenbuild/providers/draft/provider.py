"""The draft provider: typesets what a prompt is about, so that layout can be judged before paying.

A draft shows the prompt's quoted texts in reading order, colours that follow its colour words and
its seed, an abstract picture where the picture will be, the cell's name, and that it is a draft.
Deterministic: the same request gives the same bytes, in every thread and process with this Pillow.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from qwenbuild.finding import Finding, Level
from qwenbuild.provider import Journal, Price, Rendered, Settings, reject_unknown
from qwenbuild.request import Request

if TYPE_CHECKING:
    from .workers import Drafters

FAMILY = "draft-3"
"""Part of every action key of a draft: it changes with whatever changes the pixels of any draft."""

_WORTH_PROCESSES = 32  # drafts of a session; a process starts in the time that ten of them take


class DraftProvider:
    """Renders drafts; free, offline, several at once."""

    name = "draft"
    family = FAMILY
    command_line_options = ()
    labelled = True

    def __init__(self, settings: Settings, *, apart: bool = False) -> None:
        """`apart`: draw in other processes from the first draft on, so that this one stays quick meanwhile."""
        reject_unknown(settings.table, (), self.name)
        self.concurrency = settings.jobs or os.cpu_count() or 1
        self._drafters: Drafters
        self._in_thread = 0 if apart else _WORTH_PROCESSES if self.concurrency > 1 else math.inf

    def check(self, model: str) -> str | None:
        """Return None: every model's images can be drafted."""
        return None

    def price(self, model: str) -> Price | None:
        """Return None: drafts are free."""
        return None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        """Return 0: no limit but the machine's."""
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Hold what draws."""
        from .workers import Drafters  # here, for plans need a provider and nothing that draws

        async with Drafters(self.concurrency, self._in_thread).running() as self._drafters:
            yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the draft of a request."""
        return Rendered(await self.png(request), verified=True)

    async def diagnose(self, project_provider: str | None) -> Sequence[Finding]:
        """Return whether the fonts of drafts can be used; they come with qwenbuild, so broken ones always fail."""
        from . import fonts

        broken = fonts.broken_fonts()
        if broken:
            hint = f"{sys.executable} -m pip install --force-reinstall justmytype-intl-cjk"
            return [Finding("fonts", Level.FAIL, "the fonts of drafts can't be used", tuple(broken), hint)]
        return [Finding("fonts", Level.OK, "the fonts of drafts are installed")]

    async def png(self, request: Request) -> bytes:
        """Return the draft's bytes; within a session."""
        return await self._drafters.png(request)
