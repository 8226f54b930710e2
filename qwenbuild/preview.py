"""The preview: what a watch knows right now, as a page on this machine that changes as it does.

Invariants:
- Bound to loopback; a request whose `Host` or `Origin` is not this server's own is refused.
- What spends money needs the token, which only the address given to `started` holds.
- Images are served by digest, those of the project's own cells alone.
- The event loop never reads the disk: files, state and store are reached through threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import Problem, QwenbuildError, UsageError
from .events import ImageStarted
from .gallery import Activity, Curator, Gallery, amounts, frames
from .plan import Plan
from .project import Project
from .report import STATIC, WEB
from .state import State
from .store import Store, is_digest
from .thumbnails import Thumbnails, read

_STOP_S = 1  # for calls in flight when the server stops
_KEPT_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_MOST_BYTES = 1_000_000  # of a call's body
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every answer."""


class Live(Protocol):
    """What the preview asks of a watch; it changes in the event loop's thread alone.

    `plan` is the last good one, `problems` what is wrong in the files now; `revision` grows with
    every change. `drafts` are digests by output path, `events` the last event of each cell by
    name, `wishes` what was asked for and has not begun. Money is by currency, `cost_left` in CNY.
    """

    @property
    def project(self) -> Project: ...
    @property
    def store(self) -> Store: ...
    @property
    def plan(self) -> Plan | None: ...
    @property
    def problems(self) -> Sequence[Problem]: ...
    @property
    def revision(self) -> int: ...
    @property
    def drafts(self) -> Mapping[str, str]: ...
    @property
    def building(self) -> bool: ...
    @property
    def spent(self) -> Mapping[str, Decimal]: ...
    @property
    def cost_left(self) -> Decimal | None: ...
    @property
    def events(self) -> Mapping[str, Activity]: ...
    @property
    def wishes(self) -> Mapping[str, object]: ...

    def subscribe(self) -> AsyncIterator[int]:
        """Give the revision whenever it has grown."""

    async def render(self, names: Collection[str], *, force: bool = False) -> None:
        """Queue real renders of these cells."""

    def price(self, names: Collection[str], *, force: bool = True) -> Mapping[str, Decimal]:
        """Return what rendering these cells costs: each of them anew, or with no `force` what is missing."""


async def serve(live: Live, port: int, started: Callable[[str], None]) -> None:
    """Show what `live` knows until this task is cancelled; port 0 takes any free one.

    `started` gets the page's address, token included, as soon as it answers. Raises UsageError
    for a port that is taken.
    """
    listener = _bind(port)
    address = "http://{}:{}".format(*listener.getsockname()[:2])
    token = secrets.token_urlsafe(24)
    page = Preview(live, token)
    server = _Server(
        uvicorn.Config(
            guarded(page.application, address), log_config=None, access_log=False, lifespan="off", ws="none",
            proxy_headers=False, server_header=False, date_header=False, timeout_graceful_shutdown=_STOP_S,
        )
    )  # fmt: skip
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.ready.wait()
        started(f"{address}/#token={token}")
        await asyncio.Event().wait()
    finally:
        page.close()
        server.should_exit = True
        await serving


class Preview:
    """One preview's ASGI application, and what it remembers between calls; `close` ends its streams and threads."""

    def __init__(self, live: Live, token: str) -> None:
        self._live, self._token = live, token
        self._curator = Curator(live.project, live.store)
        self._thumbnails = Thumbnails(live.project.state_dir / "thumbnails")
        self._gallery = Gallery({"cells": []}, {})
        self._made = (-1, -1)  # the revision that the gallery shows, and the number of the gallery
        self._past: dict[str, Sequence[Path]] = {}  # images of cells' histories that were shown
        self._versions: dict[str, tuple[int, str]] = {}  # of each cell: since which gallery it is so, and how
        self._shape: tuple[int, str] = (0, "")  # since which gallery the axes and the order of cells are these
        self._making = asyncio.Lock()
        self._closing = asyncio.Event()
        self.application = Starlette(routes=[
            Route("/", self._static), Route("/data.js", self._marker), Route("/model.json", self._model),
            Route("/details.json", self._details), Route("/events", self._events),
            Route("/thumbnails/{digest}.webp", self._thumbnail), Route("/images/{digest}.png", self._image),
            Route("/price", self._price, methods=["POST"]), Route("/render", self._render, methods=["POST"]),
            Route("/{name}", self._static),
        ])  # fmt: skip

    def close(self) -> None:
        """End the streams of events, and the threads."""
        self._closing.set()
        self._thumbnails.close()

    # --- the page ---

    async def _static(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in STATIC:
            return _refusal(404, "no such file")
        content = await asyncio.to_thread((WEB / name).read_bytes)
        return Response(content, media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": "no-cache"})

    async def _marker(self, request: Request) -> Response:
        """Where a report has its data, say that this page asks for it."""
        return Response("var qwenbuildData = { live: true };\n", media_type="text/javascript")

    async def _model(self, request: Request) -> Response:
        """Return the model; with `since`, the number of an earlier one, only the cells that differ from that."""
        since = request.query_params.get("since", "")
        async with self._making:
            await self._refresh()
        revision, number = self._made
        model = dict(self._gallery.model)
        if since.isdecimal() and self._shape[0] <= int(since) <= number:
            cells = model.pop("cells")
            model["changed"] = [
                [at, cell] for at, cell in enumerate(cells) if self._versions[cell["path"]][0] > int(since)
            ]
            del model["axes"], model["literals"]
        return _json({**model, **self._status(), "number": number, "revision": revision})

    def _status(self) -> dict[str, Any]:
        live = self._live
        return {
            "queued": len(live.wishes) + sum(isinstance(event, ImageStarted) for event in live.events.values()),
            "problems": frames(live.problems),
            "planned": live.plan is not None,
            "building": live.building,
            "spent": amounts(live.spent),
            "cost_left": None if live.cost_left is None else str(live.cost_left),
        }

    async def _refresh(self) -> None:
        """Make the gallery of what is known now, unless it is made."""
        live = self._live
        plan, revision, number = live.plan, live.revision, self._made[1]
        if revision == self._made[0] or plan is None:
            return
        drafts, events = dict(live.drafts), dict(live.events)

        def make() -> Gallery:
            with contextlib.closing(self._state()) as state:
                return self._curator.gallery(plan, state, drafts, events)

        self._gallery = await asyncio.to_thread(make)
        self._made = (revision, number + 1)
        await asyncio.to_thread(self._note_changes, number + 1)

    def _note_changes(self, number: int) -> None:
        model = self._gallery.model
        shape = json.dumps([model["axes"], [cell["path"] for cell in model["cells"]]])
        if shape != self._shape[1]:
            self._shape = (number, shape)
        versions: dict[str, tuple[int, str]] = {}
        for cell in model["cells"]:
            text, before = json.dumps(cell), self._versions.get(cell["path"])
            versions[cell["path"]] = before if before and before[1] == text else (number, text)
        self._versions = versions

    async def _details(self, request: Request) -> Response:
        """Return what a cell's own page shows."""
        plan, path = self._live.plan, request.query_params.get("path", "")
        step = next((step for step in plan.steps if step.action.output == path), None) if plan else None
        if step is None:
            return _refusal(404, "no such cell")

        def make() -> tuple[dict[str, Any], dict[str, Sequence[Path]]]:
            with contextlib.closing(self._state()) as state:
                details, past = self._curator.details([step], state, {})
                return details[path], past

        try:
            detail, past = await asyncio.to_thread(make)
        except QwenbuildError as error:
            return _refusal(409, str(error))
        self._past.update(past)
        return _json({**detail, "price": amounts(self._live.price([step.action.name]))})

    def _state(self) -> State:
        return State(self._live.project.state_dir / "state.sqlite3", create=False)

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
        """Give the revision now, and whenever it has grown, until the server stops."""
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

    # --- what costs money ---

    async def _price(self, request: Request) -> Response:
        """Return what rendering cells anew costs."""
        names, force = await _wanted(request)
        return _json({"price": amounts(self._live.price(names, force=force))})

    async def _render(self, request: Request) -> Response:
        """Queue real renders of cells; needs the token."""
        given = request.headers.get("x-qwenbuild-token", "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return _refusal(403, "this page was opened without its token; use the address that the terminal shows")
        names, force = await _wanted(request)
        plan = self._live.plan
        known = {step.action.name for step in plan.steps} if plan else set()
        if not names or not set(names) <= known:
            return _refusal(409, "these cells are declared no more")
        try:
            await self._live.render(names, force=force)
        except QwenbuildError as error:
            return _refusal(409, str(error))
        return _json({"queued": len(names)}, 202)


def guarded(application: ASGIApp, address: str) -> ASGIApp:
    """Return the application behind checks of who asks, every answer with the headers that keep its page to itself."""
    own = address.removeprefix("http://")
    hosts = {own, f"localhost:{own.rpartition(':')[2]}"}
    headers = [
        (b"content-security-policy", POLICY.encode()), (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]  # fmt: skip

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        request = Request(scope)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host not in hosts or (origin is not None and origin.removeprefix("http://") not in hosts):
            await _refusal(403, "not for other hosts or pages")(scope, receive, kept)
            return
        await application(scope, receive, kept)

    return guard


class _Server(uvicorn.Server):
    """A server that leaves signals to its owner and says when its port answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _bind(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except (OSError, OverflowError) as error:
        raise UsageError(f"can't listen at port {port}: {error}", hint="--port 0 takes any free port") from None


async def _wanted(request: Request) -> tuple[list[str], bool]:
    """Return the names of cells that a call is about, none where it makes no sense, and whether to force."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MOST_BYTES:
            return [], False
    try:
        body = json.loads(content)
        names, force = body["names"], body.get("force", False)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [], False
    sound = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return (names, force is True) if sound else ([], False)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(value, status, headers={"Cache-Control": "no-store"})


def _image(content: bytes | None, media_type: str) -> Response:
    if content is None:
        return _refusal(404, "no such image")
    return Response(content, media_type=media_type, headers=_KEPT_FOREVER)


def _refusal(status: int, reason: str) -> Response:
    return Response(f"{reason}\n", status, media_type="text/plain")
