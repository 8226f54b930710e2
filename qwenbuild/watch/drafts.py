"""Drafts of cells whose real images cost money: made as soon as they are wanted, kept in the store, never in `out/`.

A draft here is the very image that `build --provider draft` makes of the cell. Drawing holds the
interpreter's lock, so that it is left to other processes: plans and the page stay quick.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from qwenbuild.builder.keep import keep
from qwenbuild.catalogue import builtin
from qwenbuild.errors import QwenbuildError
from qwenbuild.provider import Rendered, Settings
from qwenbuild.providers.draft.provider import DraftProvider
from qwenbuild.specs.action import Action
from qwenbuild.storage.store import Store

_Cell = tuple[str, str]  # output and key


class Drafting:
    """Makes the drafts that are wanted now; what is wanted no more is not begun. For one event loop.

    `made` gets an action and its draft's digest, `failed` the error for which drafting ended.
    """

    def __init__(
        self, store: Store, made: Callable[[Action, str], None], failed: Callable[[QwenbuildError], None]
    ) -> None:
        self._store, self._made, self._failed = store, made, failed
        self._count = max(1, (os.cpu_count() or 1) - 1)  # one processor is left for plans
        self._provider = DraftProvider(Settings({}, builtin(), {}, self._count), only_processes=True)
        self._session: AsyncExitStack | None = None  # entered with the first draft
        self._known: dict[_Cell, str] = {}
        self._waiting: deque[Action] = deque()
        self._drawn: set[_Cell] = set()  # being drawn now
        self._workers: set[asyncio.Task[None]] = set()

    @property
    def left(self) -> int:
        """How many drafts are still to come."""
        return len(self._waiting) + len(self._drawn)

    def want(self, actions: Iterable[Action]) -> dict[str, str]:
        """Make the drafts of these, and no others; return the digests of those that are there, by output path."""
        wanted = {(action.output, action.key): action for action in actions}
        self._known = {cell: digest for cell, digest in self._known.items() if cell in wanted}
        self._waiting = deque(
            action for cell, action in wanted.items() if cell not in self._known and cell not in self._drawn
        )
        for _ in range(min(len(self._waiting), self._count - len(self._workers))):
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return {cell[0]: digest for cell, digest in self._known.items()}

    def pause(self) -> None:
        """Begin no more drafts until some are wanted again."""
        self._waiting.clear()

    async def close(self) -> None:
        """Begin no more drafts, and wait for those that are being drawn."""
        self.pause()
        await asyncio.gather(*self._workers)
        if self._session:
            await self._session.aclose()

    async def _work(self) -> None:
        if self._session is None:
            self._session = AsyncExitStack()
            await self._session.enter_async_context(self._provider.session())
        while self._waiting:
            action = self._waiting.popleft()
            cell = (action.output, action.key)
            self._drawn.add(cell)
            try:
                digest = await self._draft(action)
            except QwenbuildError as error:
                self.pause()
                self._failed(error)
            else:
                self._known[cell] = digest
                self._made(action, digest)
            finally:
                self._drawn.discard(cell)

    async def _draft(self, action: Action) -> str:
        """Return the digest of the action's draft, which is in the store then."""
        request = action.request._replace(family=self._provider.family, label=action.name)
        if entry := await asyncio.to_thread(self._store.lookup, request.key):
            return entry.image
        rendered = Rendered(await self._provider.png(request), verified=True)
        made, _ = await asyncio.to_thread(keep, self._store, self._provider.name, request.key, request, rendered)
        return made.image
