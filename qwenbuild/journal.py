"""One request's journal over the project's state: what was sent, and by which handle its image can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from .plan import Step, Verdict
from .provider import Detached, Stopped
from .state import State


class StateJournal:
    """`provider.Journal` over the state, for the submissions of one step; `detach` leaves once one is accepted."""

    def __init__(self, state: State, provider: str, step: Step, detach: bool, is_stopped: Callable[[], bool]) -> None:
        self._state, self._provider, self._step, self._detach = state, provider, step, detach
        self._is_stopped = is_stopped
        reattached = step.submission if step.verdict is Verdict.REATTACH else None
        self._open = reattached.id if reattached else None
        self.unbilled = True  # whether nothing that was sent can have been billed

    async def intend(self, context: Mapping[str, Any]) -> None:
        """See `provider.Journal`."""
        if self._is_stopped():
            raise Stopped
        action, before = self._step.action, self._step.submission
        request = action.request.as_dict()
        write = asyncio.ensure_future(
            asyncio.to_thread(self._state.intend, action.key, request, self._provider, context)
        )
        try:
            self._open = await asyncio.shield(write)
        except asyncio.CancelledError:  # nothing was sent: left open, it would be reported as lost
            self._open = await write
            await self.settle("refused")
            raise
        self.unbilled = False
        if before and self._step.verdict is Verdict.RENDER:  # --resubmit gives the earlier one up
            await asyncio.to_thread(self._state.settle, before.id, "resubmitted")

    @property
    def is_open(self) -> bool:
        """Whether something that was sent waits for its end."""
        return self._open is not None

    async def accepted(self, handle: str) -> None:
        """See `provider.Journal`."""
        assert self._open is not None, "a provider accepted a request that it did not intend"
        await asyncio.to_thread(self._state.accepted, self._open, handle)
        if self._detach:
            raise Detached

    async def refused(self) -> None:
        """See `provider.Journal`."""
        self.unbilled = True
        await self.settle("refused")

    async def lost(self) -> None:
        """Forget the handle: nothing can be collected by it any more."""
        if self._open is not None:
            await asyncio.to_thread(self._state.accepted, self._open, "")

    async def settle(self, outcome: str) -> None:
        """Close the open submission, if there is one."""
        if self._open is not None:
            await asyncio.to_thread(self._state.settle, self._open, outcome)
            self._open = None
