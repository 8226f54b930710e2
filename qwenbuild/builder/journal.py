"""The journal of one request: writes what happens to the request into the project's state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from qwenbuild.errors import StateError
from qwenbuild.provider import Detached, Stopped
from qwenbuild.request import Request, Submission

from .commits import Commits
from .run import Run


class StateJournal:
    """`provider.Journal` in the project's state, for all submissions of one request.

    `handle` belongs to the open submission; empty if the service has not accepted it. `unbilled` is True
    while nothing that was sent can have been billed. If the render is cancelled during a write, the
    write is completed.
    """

    def __init__(
        self, run: Run, commits: Commits, key: str, request: Request, is_closed: Callable[[], bool], *,
        collected: Submission | None = None, start: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """`collected` is the earlier submission to collect, if any.

        `start` is called once, before the first request is sent. `is_closed` returns True once the
        build may send no more requests.
        """
        self._run, self._commits, self._key, self._request = run, commits, key, request
        self._is_closed, self._start = is_closed, start
        self._open = collected.id if collected else None
        self.handle = collected.handle if collected else ""
        self.unbilled = True

    async def intend(self, context: Mapping[str, Any]) -> None:
        """See `provider.Journal`."""
        if self._is_closed():
            raise Stopped
        if self._start:
            self._start()
            self._start = None
        name, forced = self._run.provider.name, self._run.options.force
        write = self._commits.enqueue(
            self._run.state.intend, self._key, self._request.as_dict(), name, context, forced=forced
        )
        try:
            self._open = await asyncio.shield(write)
        except asyncio.CancelledError:  # nothing was sent; an open submission would be reported as lost
            self._open = await write
            await self.settle("refused")
            raise
        self.unbilled = False

    @property
    def is_open(self) -> bool:
        """Whether a request was sent whose end is not known yet."""
        return self._open is not None

    async def accepted(self, handle: str) -> None:
        """See `provider.Journal`.

        If the state can't be written, the image is fetched nevertheless: it is paid for, and there may
        be no later chance.
        """
        self.handle = handle
        detach = self._run.options.detach
        try:
            await self._write(self._run.state.accepted, handle)
        except StateError:
            if detach:
                raise
        if detach:
            raise Detached

    async def refused(self) -> None:
        """See `provider.Journal`."""
        self.unbilled = True
        await self.settle("refused")

    async def lost(self) -> None:
        """Forget the handle, which can't be collected any more. The submission stays open."""
        if self._open is not None:
            self.handle = ""
            await self._write(self._run.state.accepted, "")

    async def settle(self, outcome: str) -> None:
        """Close the open submission, if there is one."""
        if self._open is not None:
            await self._write(self._run.state.settle, outcome)
            self._open, self.handle = None, ""

    async def _write(self, write: Callable[[int, str], None], value: str) -> None:
        """Call `write` with the open submission and a value; cancelling this call does not stop the write."""
        assert self._open is not None, "a provider reported on a request that it did not intend"
        await asyncio.shield(self._commits.enqueue(write, self._open, value))
