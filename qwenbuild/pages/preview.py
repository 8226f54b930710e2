"""The preview: serves the page that shows a running watch and follows its changes.

Invariants:
- The local server refuses other machines and other sites' pages. What changes something also needs a proof of the key,
  which is only in the address that `started` gets (see `access`).
- Images are served by digest, and only those of the project's own cells.
- The event loop never reads the disk: files, state and store are read in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from qwenbuild.errors import QwenbuildError
from qwenbuild.local_server.guard import PAGE_HEADERS
from qwenbuild.local_server.ports import port_of
from qwenbuild.local_server.server import LocalServer
from qwenbuild.storage.action_result import is_digest
from qwenbuild.storage.state import State

from .access import Access
from .acts import Acts, as_json, refusal
from .gallery import Gallery, GalleryMaker, amounts, frames
from .live import Live, UnderWay
from .report import STATIC, WEB
from .thumbnails import Thumbnails, read

_PAUSE = 4  # the pause after a gallery, in multiples of its making: leaves processor time to rendering
_KEPT_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_MOST_DIGITS = 20  # of the number of a gallery; Python refuses to read one of more than 4,300
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


async def serve(live: Live, port: int | None, started: Callable[[str], None]) -> None:
    """Serve the page of a watch until this task is cancelled.

    The port is by default the project's own, or the next free one (see `ports`); 0 means any free port. `started` is
    called with the page's address, which holds the key, once the server answers. Raises UsageError if the port is used.
    """
    root = live.project.root
    server = LocalServer(port=port_of(root) if port is None else port, or_next=port is None, headers=PAGE_HEADERS)
    access = await asyncio.to_thread(Access, root)
    page = Preview(live, access)
    async with server.serving(page.application, page.close) as origin:
        access.port = int(origin.rpartition(":")[2])
        started(f"{origin}/#token={access.key}")
        await asyncio.Event().wait()


class Preview:
    """One preview: its ASGI application, and the state between requests. Call `close` at the end."""

    def __init__(self, live: Live, access: Access) -> None:
        self._live, self._access = live, access
        self._galleries = GalleryMaker(live.project, live.store)
        self._thumbnails = Thumbnails()
        self._gallery = Gallery({"cells": []}, {})
        self._revision = -1  # of the watch, when the gallery was made
        # A page that was opened before a restart has a smaller number, so that it gets the whole gallery.
        self._number = int(time.time() * 1000)
        self._past: dict[str, Sequence[Path]] = {}  # earlier images of cells, and images of earlier galleries
        self._next_at = 0.0  # when the next gallery may be made, by the loop's clock
        # For each cell, by path: the number of the gallery in which it changed last, and the cell.
        self._versions: dict[str, tuple[int, dict[str, Any]]] = {}
        # The same for what the cells share: the axes, and the cells' order.
        self._shape: tuple[int, Any] = (0, None)
        self._making = asyncio.Lock()
        self._closing = asyncio.Event()
        self.application = Starlette(routes=[
            Route("/", self._static), Route("/data.js", self._marker), Route("/model.json", self._model),
            Route("/details.json", self._details), Route("/events", self._events),
            Route("/thumbnails/{digest}.webp", self._thumbnail), Route("/images/{digest}.png", self._image),
            *Acts(live, access).routes, Route("/{name}", self._static),
        ])  # fmt: skip

    def close(self) -> None:
        """End the event streams and the threads."""
        self._closing.set()
        self._thumbnails.close()

    # --- the page ---

    async def _static(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in STATIC:
            return refusal(404, "no such file")
        content = await asyncio.to_thread((WEB / name).read_bytes)
        return Response(content, media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": "no-cache"})

    async def _marker(self, request: Request) -> Response:
        """Return a script that says the page is live. A report has its data in the file of that name."""
        return Response("var qwenbuildData = { live: true };\n", media_type="text/javascript")

    async def _model(self, request: Request) -> Response:
        """Return the gallery and the status. `since` is the number of an earlier gallery: then only changed cells."""
        since = request.query_params.get("since", "")
        async with self._making:
            await self._refresh()
        number = self._number
        model = dict(self._gallery.model)
        known = int(since) if since.isdecimal() and len(since) <= _MOST_DIGITS else -1
        if self._shape[0] <= known <= number:
            cells = model.pop("cells")
            model["changed"] = [[at, cell] for at, cell in enumerate(cells) if self._versions[cell["path"]][0] > known]
            model.pop("axes", None)  # without a plan there are none
        return as_json({**model, **self._status(), "number": number, "revision": self._revision})

    def _status(self) -> dict[str, Any]:
        live = self._live
        return {
            "challenge": self._access.challenge,
            "identity": self._access.identity,
            "problems": frames(live.problems),
            "planned": live.plan is not None,
            "progress": _progress(live.under_way) if live.under_way else None,
            "spent": amounts(live.spent),
            "cost_left": None if live.cost_left is None else str(live.cost_left),
        }

    async def _refresh(self) -> None:
        """Make the gallery of the current plan, if the watch has changed since the last one."""
        live, clock = self._live, asyncio.get_running_loop().time
        if live.revision == self._revision:
            return
        await asyncio.sleep(self._next_at - clock())
        plan, revision, number, begun = live.plan, live.revision, self._number + 1, clock()
        if plan is None:
            return
        routes, drafts, picks = live.routes, dict(live.drafts), live.picks
        activities = {**live.events, **dict.fromkeys(_queued(live)), **live.delayed}

        def make() -> Gallery:
            with contextlib.closing(self._state()) as state:
                gallery = self._galleries.gallery(plan, state, routes, drafts, activities, picks)
            self._note_changes(gallery.model, number)
            return gallery

        before, self._gallery = self._gallery.files, await asyncio.to_thread(make)
        self._past = {**self._past, **before}  # pages still show the earlier gallery
        self._revision, self._number = revision, number
        self._next_at = clock() + _PAUSE * (clock() - begun)

    def _note_changes(self, model: Mapping[str, Any], number: int) -> None:
        shape = [model["axes"], [cell["path"] for cell in model["cells"]]]
        if shape != self._shape[1]:
            self._shape = (number, shape)
        versions: dict[str, tuple[int, dict[str, Any]]] = {}
        for cell in model["cells"]:
            before = self._versions.get(cell["path"])
            versions[cell["path"]] = before if before and before[1] == cell else (number, cell)
        self._versions = versions

    async def _details(self, request: Request) -> Response:
        """Return the details of one cell."""
        plan, path = self._live.plan, request.query_params.get("path", "")
        step = next((step for step in plan.steps if step.action.output == path), None) if plan else None
        if step is None:
            return refusal(404, "no such cell")

        def make() -> tuple[dict[str, Any], dict[str, Sequence[Path]]]:
            with contextlib.closing(self._state()) as state:
                details, past = self._galleries.details([step], state, {})
                return details[path], past

        try:
            detail, past = await asyncio.to_thread(make)
        except QwenbuildError as error:
            return refusal(409, str(error))
        self._past.update(past)
        return as_json({**detail, "price": amounts(self._live.price([step.action.name]))})

    def _state(self) -> State:
        return State.of(self._live.project.root, create=False)

    # --- images ---

    def _places(self, request: Request) -> tuple[str, Sequence[Path]]:
        digest = request.path_params["digest"]
        if not is_digest(digest):
            return digest, ()
        return digest, self._gallery.files.get(digest) or self._past.get(digest, ())

    async def _thumbnail(self, request: Request) -> Response:
        digest, places = self._places(request)
        content = await self._thumbnails.get(digest, places) if places else None
        return _image(content, "image/webp")

    async def _image(self, request: Request) -> Response:
        digest, places = self._places(request)
        content = await asyncio.to_thread(read, digest, places) if places else None
        return _image(content, "image/png")

    # --- what happens ---

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _stream(self) -> AsyncIterator[str]:
        """Yield the revision now, and each time it has grown, until the server stops."""
        closing = asyncio.create_task(self._closing.wait())
        revisions = aiter(self._live.subscribe())
        following = asyncio.ensure_future(anext(revisions))
        try:
            yield f"retry: 1000\ndata: {self._live.revision}\n\n"
            while True:
                await asyncio.wait({closing, following}, return_when=asyncio.FIRST_COMPLETED)
                if closing.done():
                    return
                yield f"data: {following.result()}\n\n"
                following = asyncio.ensure_future(anext(revisions))
        finally:
            closing.cancel()
            following.cancel()


def _queued(live: Live) -> Iterator[str]:
    """Yield the names of the cells that wait for a render."""
    yield from live.wishes
    if build := live.under_way:
        yield from (step.action.name for path, step in build.left.items() if path not in build.begun)


def _progress(build: UnderWay) -> dict[str, Any]:
    running = sum(path in build.left for path in build.begun)
    seconds = round(time.monotonic() - build.since_s, 1)
    return {"done": build.total - len(build.left), "total": build.total, "running": running, "seconds": seconds}


def _image(content: bytes | None, media_type: str) -> Response:
    if content is None:
        return refusal(404, "no such image")
    return Response(content, media_type=media_type, headers=_KEPT_FOREVER)
