"""The batches: free images that are stored, written and recorded together, so that they wait for the disk together.

A batch has the images that were made while the batch before it was made durable. So a single image never waits for
others, and the quicker images are made, the more of them share a wait. An image that costs money is never in a batch:
it is stored at once, by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from qwenbuild.errors import QwenbuildError, StoreError
from qwenbuild.events import Outcome
from qwenbuild.plan.plan import Step
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.batches import put_all

from .endings import Endings
from .keep import Verified, keep_verified
from .others import Kept
from .restore import MOST_BYTES, MOST_IMAGES
from .run import Run
from .writing import Ready

_AT_ONCE = 2  # while one batch waits for the disk, the next one is written

AllKept = Callable[[Sequence[tuple[Entry, Ready]]], Awaitable[None]]
"""Takes images that are in the store, each with its entry; it ends their steps."""


class _Made(NamedTuple):
    """An image that is not in the store yet; `begun_s` is `time.monotonic()` when its step began."""

    step: Step
    image: Verified
    begun_s: float


class Batches:
    """The batches of one build; used within one event loop."""

    def __init__(self, run: Run, endings: Endings, kept: Kept, all_kept: AllKept) -> None:
        """`kept` and `all_kept` are called for images that are in the store; they end the steps."""
        self._run, self._endings, self._kept, self._all_kept = run, endings, kept, all_kept
        self._waiting: list[_Made] = []
        self._bytes = 0  # of the images that wait
        self._room = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Accept images inside this context. If it is cancelled, the batch that waits is dropped."""
        try:
            yield
            await self.finish()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add(self, step: Step, image: Verified, begun_s: float) -> None:
        """Store an image soon, and end its step. Waits while a whole batch waits already.

        Raises what an earlier batch has raised.
        """
        while len(self._waiting) >= MOST_IMAGES or self._bytes >= MOST_BYTES:
            self._room.clear()
            await self._room.wait()
        self._forget_ended()
        self._waiting.append(_Made(step, image, begun_s))
        self._bytes += image.new.entry.size_bytes
        if len(self._tasks) < _AT_ONCE:
            self._tasks.add(asyncio.create_task(self._work()))

    async def finish(self) -> None:
        """Wait until all images are stored and their steps have ended. Raises what a batch has raised."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            self._forget_ended()

    def _forget_ended(self) -> None:
        """Forget the tasks that have ended. Raises what a batch has raised."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            task.result()

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting, self._bytes = self._waiting, [], 0
                self._room.set()
                await self._end(batch)
        finally:  # no batch follows one that has failed, and nobody may wait for it
            self._waiting, self._bytes = [], 0
            self._room.set()

    async def _end(self, batch: Sequence[_Made]) -> None:
        """Store the images of a batch, and end their steps."""
        together = [made for made in batch if not made.image.other_size]
        try:
            stored = await asyncio.to_thread(put_all, self._run.store, [made.image.new for made in together])
        except StoreError:  # one by one, only those fail that can't be stored
            stored = [False] * len(together)
        done = {id(made) for made, is_stored in zip(together, stored, strict=True) if is_stored}
        await self._all_kept([_ready(made) for made in batch if id(made) in done])
        for made in batch:
            if id(made) not in done:
                await self._end_alone(made)

    async def _end_alone(self, made: _Made) -> None:
        """Store an image by itself, and end its step."""
        step, image, begun_s = made
        accept_size = self._run.options.accept_size
        try:
            entry, content = await asyncio.to_thread(
                keep_verified, self._run.store, image, pinned=step.pinned, accept_size=accept_size, is_free=True
            )
        except QwenbuildError as error:
            self._endings.fail(step, error, begun_s)
        else:
            await self._kept(step, entry, content, Outcome.RENDERED, begun_s)


def _ready(made: _Made) -> tuple[Entry, Ready]:
    new = made.image.new
    return new.entry, Ready(made.step, new.entry.image, new.image, Outcome.RENDERED, made.begun_s)
