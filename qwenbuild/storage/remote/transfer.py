"""Transfers of images between the store and the remote cache. A failing remote never stops a build."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from qwenbuild.digest import canonical_json
from qwenbuild.errors import BadImage, QwenbuildError
from qwenbuild.files import png
from qwenbuild.files.provenance import read_provenance
from qwenbuild.problems import Problem
from qwenbuild.request import Request

from ..action_result import Entry
from ..belonging import is_image_of
from ..store import Store, second_key
from .cache import MAX_IMAGE_BYTES, MAX_PROVENANCE_BYTES, Remote

_PARALLEL = 4
_LAST_PUSHES_S = 60.0  # after the build's last image


class Pushing:
    """The pushes of one build. Only entries are queued; an image is read when it is pushed."""

    def __init__(self, remote: Remote, store: Store) -> None:
        self._remote, self._store = remote, store
        self._waiting: asyncio.Queue[Entry] = asyncio.Queue()
        self._hurry = asyncio.Event()
        self.warnings: list[Problem] = []

    def hurry(self) -> None:
        """End the context without waiting for the remaining pushes."""
        self._hurry.set()

    def add(self, entry: Entry) -> None:
        """Queue an entry of the store for a push."""
        if self._remote.may_write:
            self._waiting.put_nowait(entry)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Push while the context lasts. At its end, continue for at most a minute, or until `hurry` is called."""
        workers: list[asyncio.Task[Any]] = [asyncio.create_task(self._work()) for _ in range(_PARALLEL)]
        try:
            yield
            ends = asyncio.create_task(self._waiting.join()), asyncio.create_task(self._hurry.wait())
            await asyncio.wait(ends, timeout=_LAST_PUSHES_S, return_when=asyncio.FIRST_COMPLETED)
            workers += ends
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            if (left := self._waiting.qsize()) and self._remote.may_write:
                hint = "`qwenbuild cache push` stores them there"
                self.warnings.append(
                    Problem(f"{left:,} images are not in the remote cache yet", hint=hint, name="remote-incomplete")
                )

    async def _work(self) -> None:
        while True:
            entry = await self._waiting.get()
            try:
                await push(self._remote, self._store, entry)
            finally:
                self._waiting.task_done()


async def push(remote: Remote, store: Store, entry: Entry) -> bool:
    """Push one entry of the store; return whether the remote has it now. Never raises."""
    try:
        image = await asyncio.to_thread(store.read, entry)
        provenance = await asyncio.to_thread(store.blob, entry.provenance, MAX_PROVENANCE_BYTES)
    except QwenbuildError:  # the next build will report the store's error
        return False
    if image is None or provenance is None:
        return False
    return await remote.store(entry, image, provenance)


async def pull(remote: Remote, store: Store, request: Request, key: str, found: Entry) -> tuple[Entry, bytes] | None:
    """Fetch an image that `Remote.find` found into the store; return its entry there and its bytes.

    `key` is the action key of `request`. If `found` has no key, the image is pinned by the lock, and its
    provenance is read from the image. Returns None if the remote does not return the bytes, or if they
    are not an image of the request. Raises StoreError.
    """
    image = await remote.blob(found.image, MAX_IMAGE_BYTES)
    provenance = await remote.blob(found.provenance, MAX_PROVENANCE_BYTES) if found.key and image else b""
    if image is None or provenance is None:
        return None
    return await asyncio.to_thread(_verify_and_put, store, request, key, image, provenance, is_pinned=not found.key)


def _verify_and_put(
    store: Store, request: Request, key: str, image: bytes, provenance: bytes, *, is_pinned: bool
) -> tuple[Entry, bytes] | None:
    """Put an image and its provenance into the store if the image was made for `key`. Runs in a thread.

    An image of another size than asked for counts only if the lock pins it.
    """
    try:
        size = png.size_of(image)
    except BadImage:
        return None
    other_size = size if size != request.size else None
    if (other_size and not is_pinned) or not is_image_of(image, key, size, decode=True):
        return None
    carried = read_provenance(image) or {}
    return store.put_beside(key, image, provenance or canonical_json(carried), other_size=other_size), image


def shareable(entry: Entry) -> Entry:
    """Return the entry under the key by which a remote cache may have it.

    An image of another size than asked for is not stored under the request's key: only who pins its digest gets it.
    """
    return replace(entry, key=second_key(entry.key, entry.image)) if entry.other_size else entry
