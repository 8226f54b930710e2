"""Acts: what a page may do besides looking: render, star cells, keep cells, and open a file in the user's editor.

Each act needs a proof that the page has the key (see `access`). A page names cells, never files.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from qwenbuild.errors import QwenbuildError, UsageError

from . import editor
from .access import PROOF, Access
from .gallery import amounts, places
from .live import Live

MOST_BYTES = 4_000_000
"""The most bytes of a request's body: the names of 10,000 cells take 1 MB."""

_Body = Mapping[str, Any]


class Acts:
    """The acts of one preview, as routes."""

    def __init__(self, live: Live, access: Access) -> None:
        self._live, self._access = live, access
        acts = {"render": self._render, "pick": self._pick, "keep": self._keep, "edit": self._edit}
        self.routes = [
            Route("/session", self._session, methods=["POST"]), Route("/price", self._price, methods=["POST"]),
            *(Route(f"/{name}", self._proven(act), methods=["POST"]) for name, act in acts.items()),
        ]  # fmt: skip

    async def _session(self, request: Request) -> Response:
        """Say whether the page has the key."""
        return as_json({"may": self._is_proven(request, await _content(request))})

    async def _price(self, request: Request) -> Response:
        """Return what rendering cells costs. Needs no proof."""
        body = _parsed(await _content(request))
        return as_json({"price": amounts(self._live.price(_names(body), force=body.get("force") is True))})

    def _is_proven(self, request: Request, content: bytes) -> bool:
        return self._access.allows(request.headers.get(PROOF, ""), request.url.path, content)

    def _proven(self, act: Callable[[_Body], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            content = await _content(request)
            if not self._is_proven(request, content):
                return refusal(403, "this page may only look; to act, open the address that the terminal shows")
            try:
                return await act(_parsed(content))
            except QwenbuildError as error:
                return refusal(409, str(error).removeprefix("error: "))

        return answer

    async def _render(self, body: _Body) -> Response:
        """Queue renders of cells."""
        names = self._known(body)
        await self._live.render(names, force=body.get("force") is True)
        return as_json({"queued": len(names)}, 202)

    async def _pick(self, body: _Body) -> Response:
        """Star cells, take their stars away, or write a note on them."""
        note = body.get("note")
        names = self._known(body)
        await self._live.pick(names, drop=body.get("drop") is True, note=note if isinstance(note, str) else None)
        return as_json({})

    async def _keep(self, body: _Body) -> Response:
        """Return what keeping only these cells would write. With `shown`, the digest of that text, write it."""
        names, shown = self._known(body), body.get("shown")
        return as_json(await self._live.keep(names, shown if isinstance(shown, str) else ""))

    async def _edit(self, body: _Body) -> Response:
        """Open the spec or the template of a cell in the editor; `started` is False if there is none to start."""
        [name] = self._known(body)[:1]
        plan = self._live.plan
        actions = [step.action for step in plan.steps if step.action.name == name] if plan else []
        found = [it for action in actions for it in await asyncio.to_thread(places, self._live.project, action)]
        place = next((it for it in found if it["what"] == body.get("what")), None)
        if place is None:
            raise UsageError("this cell has no such file", name="changed-meanwhile")
        root = self._live.project.root
        words = editor.command(root / place["file"], place["line"], os.environ)
        if words:
            await asyncio.to_thread(editor.start, words, root)
        return as_json({"started": bool(words), "place": f"{place['file']}:{place['line']}"})

    def _known(self, body: _Body) -> Sequence[str]:
        """Return the names of the cells. Raises UsageError if there are none, or if a name is of no cell."""
        names, plan = _names(body), self._live.plan
        known = {step.action.name for step in plan.steps} if plan else set[str]()
        if not names or not set(names) <= known:
            raise UsageError("these cells are not declared any more", name="changed-meanwhile")
        return names


def as_json(value: Mapping[str, Any], status: int = 200) -> Response:
    """Return an answer that no browser keeps."""
    return JSONResponse(value, status, headers={"Cache-Control": "no-store"})


def refusal(status: int, reason: str) -> Response:
    """Return an answer with a reason for people."""
    return PlainTextResponse(f"{reason}\n", status)


async def _content(request: Request) -> bytes:
    """Return the body of a request; empty if it is too long."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            return b""
    return content


def _parsed(content: bytes) -> _Body:
    """Return the table in a body; empty if there is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _names(body: _Body) -> Sequence[str]:
    names = body.get("names")
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
