"""The drafts of a watch: free stand-ins for images that cost money. They are only in the store.

A draft is the same image that `build --provider draft` makes of the cell. Other processes draw the drafts,
because drawing in this process would slow down plans and the page.
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
from qwenbuild.providers.registry import create_drafter
from qwenbuild.specs.action import Action
from qwenbuild.storage.store import Store

_Cell = tuple[str, str]  # output path and key


class Drafts:
    """Makes the drafts that are wanted now, within one event loop.

    `made` is called with an action and the digest of its draft. `failed` is called with the error that ended drafting.
    """

    def __init__(
        self, store: Store, made: Callable[[Action, str], None], failed: Callable[[QwenbuildError], None]
    ) -> None:
        self._store, self._made, self._failed = store, made, failed
        self._count = max(1, (os.cpu_count() or 1) - 1)  # one processor stays free for plans
        self._provider = create_drafter(Settings({}, builtin(), {}, self._count))
        self._session: AsyncExitStack | None = None  # entered with the first draft
        self._known: dict[_Cell, str] = {}  # digests
        self._waiting: deque[Action] = deque()
        self._in_progress: set[_Cell] = set()
        self._workers: set[asyncio.Task[None]] = set()

    @property
    def left(self) -> int:
        """The number of wanted drafts that do not exist yet."""
        return len(self._waiting) + len(self._in_progress)

    def want(self, actions: Iterable[Action]) -> dict[str, str]:
        """Make the drafts of these actions, and begin no others. Return the digests of existing drafts, by path."""
        wanted = {(action.output, action.key): action for action in actions}
        self._known = {cell: digest for cell, digest in self._known.items() if cell in wanted}
        self._waiting = deque(
            action for cell, action in wanted.items() if cell not in self._known and cell not in self._in_progress
        )
        running = sum(not worker.done() for worker in self._workers)  # one that has just ended is still in the set
        for _ in range(min(len(self._waiting), self._count - running)):
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return {cell[0]: digest for cell, digest in self._known.items()}

    def pause(self) -> None:
        """Begin no more drafts until `want` is called again."""
        self._waiting.clear()

    async def close(self) -> None:
        """Begin no more drafts, and wait for those in progress."""
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
            self._in_progress.add(cell)
            try:
                digest = await self._draft(action)
            except QwenbuildError as error:
                self.pause()
                self._failed(error)
            else:
                self._known[cell] = digest
                self._made(action, digest)
            finally:
                self._in_progress.discard(cell)

    async def _draft(self, action: Action) -> str:
        """Return the digest of the action's draft. Make the draft if the store does not have it."""
        request = action.request._replace(family=self._provider.family, label=action.name)
        if entry := await asyncio.to_thread(self._store.lookup, request.key):
            return entry.image
        rendered = Rendered(await self._provider.png(request), verified=True)
        made, _ = await asyncio.to_thread(keep, self._store, self._provider.name, request.key, request, rendered)
        return made.image
