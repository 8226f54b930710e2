"""One request's journal over the project's state: what was sent, and by which handle its image can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from .errors import StateError
from .provider import Detached, Stopped
from .request import Request, Submission
from .state import State


class StateJournal:
    """`provider.Journal` over the state, for the submissions of one request.

    `collected` is the one whose image is collected, where that is what is done. `force` says that
    they are to replace an image that is there, `detach` to leave once one is accepted. What is
    being written when the render is cancelled is written nevertheless.
    """

    def __init__(
        self, state: State, provider: str, key: str, request: Request, is_stopped: Callable[[], bool],
        *, collected: Submission | None = None, force: bool = False, detach: bool = False,
    ) -> None:  # fmt: skip
        self._state, self._provider, self._key, self._request = state, provider, key, request
        self._is_stopped, self._force, self._detach = is_stopped, force, detach
        self._open = collected.id if collected else None
        self.handle = collected.handle if collected else ""
        self.unbilled = True  # whether nothing that was sent can have been billed

    async def intend(self, context: Mapping[str, Any]) -> None:
        """See `provider.Journal`."""
        if self._is_stopped():
            raise Stopped
        key, request = self._key, self._request.as_dict()
        write = asyncio.ensure_future(
            asyncio.to_thread(self._state.intend, key, request, self._provider, context, forced=self._force)
        )
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
        assert self._open is not None, "a provider accepted a request that it did not intend"
        self.handle = handle
        try:
            await _to_its_end(self._state.accepted, self._open, handle)
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
            await _to_its_end(self._state.accepted, self._open, "")

    async def settle(self, outcome: str) -> None:
        """Close the open submission, if there is one."""
        if self._open is not None:
            await _to_its_end(self._state.settle, self._open, outcome)
            self._open, self.handle = None, ""


async def _to_its_end(write: Callable[..., None], *arguments: object) -> None:
    """Run `write` in a thread; where this is cancelled, it is still carried out before the event loop closes.

    A plain `to_thread` would drop a call that still waits for a free thread.
    """
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, write, *arguments))
