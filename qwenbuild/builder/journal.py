"""One request's journal over the project's state: what was sent, and by which handle its image can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from qwenbuild.errors import StateError
from qwenbuild.provider import Detached, Stopped
from qwenbuild.request import Request, Submission
from qwenbuild.storage.state import State

from .commits import Commits


class StateJournal:
    """`provider.Journal` over the state, for the submissions of one request.

    `collected` is the one whose image is collected, where that is what is done. `force` says that
    they are to replace an image that is there, `detach` to leave once one is accepted; `start` is
    called before the first of them is sent. What is being written when the render is cancelled is
    written nevertheless.
    """

    def __init__(
        self, state: State, commits: Commits, provider: str, key: str, request: Request, is_stopped: Callable[[], bool],
        *, collected: Submission | None = None, force: bool = False, detach: bool = False,
        start: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._state, self._commits = state, commits
        self._provider, self._key, self._request = provider, key, request
        self._is_stopped, self._force, self._detach, self._start = is_stopped, force, detach, start
        self._open = collected.id if collected else None
        self.handle = collected.handle if collected else ""
        self.unbilled = True  # whether nothing that was sent can have been billed

    async def intend(self, context: Mapping[str, Any]) -> None:
        """See `provider.Journal`."""
        if self._is_stopped():
            raise Stopped
        if self._start:
            self._start()
            self._start = None
        key, request = self._key, self._request.as_dict()
        write = self._commits.soon(self._state.intend, key, request, self._provider, context, forced=self._force)
        try:
            self._open = await asyncio.shield(write)
        except asyncio.CancelledError:  # nothing was sent: left open, it would be reported as lost
            self._open = await write
            await self.settle("refused")
            raise
        self.unbilled = False

    @property
    def is_open(self) -> bool:
        """Whether something that was sent waits for its end."""
        return self._open is not None

    async def accepted(self, handle: str) -> None:
        """See `provider.Journal`.

        Where the state can't be written the image is fetched all the same: it is paid for, and this
        may be the last chance to have it.
        """
        self.handle = handle
        try:
            await self._write(self._state.accepted, handle)
        except StateError:
            if self._detach:
                raise
        if self._detach:
            raise Detached

    async def refused(self) -> None:
        """See `provider.Journal`."""
        self.unbilled = True
        await self.settle("refused")

    async def lost(self) -> None:
        """Forget the handle: nothing can be collected by it any more."""
        if self._open is not None:
            self.handle = ""
            await self._write(self._state.accepted, "")

    async def settle(self, outcome: str) -> None:
        """Close the open submission, if there is one."""
        if self._open is not None:
            await self._write(self._state.settle, outcome)
            self._open, self.handle = None, ""

    async def _write(self, write: Callable[[int, str], None], told: str) -> None:
        """Have `write` called for the open submission; it is, also where this is cancelled."""
        assert self._open is not None, "a provider told of a request that it did not intend"
        await asyncio.shield(self._commits.soon(write, self._open, told))
