"""A provider whose renders wait until the test opens a gate: no test depends on the machine's speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.support import plugins

_SOURCE = """
import asyncio
from decimal import Decimal
from pathlib import Path

from qwenbuild.provider import Price, Settings
from qwenbuild.providers.null import NullProvider


class Provider(NullProvider):
    name, family = "gated", "gated-1"

    def __init__(self, settings):
        super().__init__(Settings({}, settings.catalogue, settings.environ, settings.jobs))
        self._folder = Path(settings.table["folder"])

    def price(self, model):
        return Price(Decimal("0.20"))

    async def render(self, request, journal):
        await journal.intend({})
        (self._folder / request.key).touch()
        while not (self._folder / "open").exists():
            await asyncio.sleep(0.01)
        return await super().render(request, journal)
"""


@dataclass(frozen=True)
class Gate:
    """The gate of the provider `gated`, whose images cost 0.20 CNY. `folder` records the requests that were sent."""

    folder: Path

    @classmethod
    def install(cls, site: Path) -> Gate:
        """Install the provider into `site`, a folder of Python modules; its gate is shut."""
        plugins.install(site, "gated", _SOURCE)
        folder = site / "gate"
        folder.mkdir()
        return cls(folder)

    @property
    def config(self) -> str:
        """The config of a project that renders with this provider."""
        return f"provider = 'gated'\nproviders.gated.folder = '{self.folder}'\n"

    @property
    def sent(self) -> int:
        """How many requests have been sent."""
        return sum(path.name != "open" for path in self.folder.iterdir())

    def wait_for_sent(self, count: int, longest_s: float = 60) -> None:
        """Wait until that many requests have been sent."""
        deadline = time.monotonic() + longest_s
        while self.sent < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def open(self) -> None:
        """Let all renders end."""
        (self.folder / "open").touch()
