"""The responses of the emulator: JSON and XML answers, images, and connections that break or hang.

Invariant: `Drop` and `Hang` send nothing. They really reset or close the TCP connection, and their
`status_code` is 0.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .vendor_errors import Refusal
from .wire_format import encode, new_id, oss_error

_CHUNK_BYTES = 64 * 1024

Connection = Callable[[Scope], asyncio.Transport | None]
"""Finds the TCP connection of a call. The result is None if the connection is closed or closing."""


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """Return a JSON answer."""
    return Response(encode(body), status, media_type="application/json")


def refused(refusal: Refusal, *, retry_after: str = "") -> Response:
    """Return an error answer. `retry_after` is the header's value in seconds; "" leaves the header out."""
    response = answer({"request_id": new_id(), "code": refusal.code, "message": refusal.message}, refusal.status)
    if retry_after:
        response.headers["Retry-After"] = retry_after
    return response


def oss_refused(refusal: Refusal, path: str) -> Response:
    """Return the XML answer of OSS to a failed download of `path`, which is `/results/BUCKET/…`."""
    document = oss_error(refusal.code, refusal.message, path.split("/")[2])
    return Response(document, refusal.status, media_type="application/xml")


class Drop(Response):
    """No answer: the connection is reset (TCP RST) or closed normally (TCP FIN)."""

    def __init__(self, connection: Connection, *, reset: bool) -> None:
        super().__init__(status_code=0)
        self._connection, self._reset = connection, reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _drop(self._connection(scope), reset=self._reset)
        await _disconnected(receive)


class Hang(Response):
    """No answer: the connection stays open until the client gives up or the server stops."""

    def __init__(self, connection: Connection, closing: asyncio.Event) -> None:
        super().__init__(status_code=0)
        self._connection, self._closing = connection, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ends = [asyncio.create_task(self._closing.wait()), asyncio.create_task(_disconnected(receive))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        _drop(self._connection(scope), reset=True)
        await _disconnected(receive)


class Delivery(Response):
    """A PNG. `delivered` is called once all of it was handed to a connection that is still open.

    With `cut`, only half of the PNG is sent, and then the connection is closed.
    """

    def __init__(self, png: bytes, connection: Connection, delivered: Callable[[], None], *, cut: bool = False) -> None:
        super().__init__(png, media_type="image/png")
        self._connection, self._delivered, self._cut = connection, delivered, cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        size = len(self.body) // 2 if self._cut else len(self.body)
        for first in range(0, size, _CHUNK_BYTES):
            if self._connection(scope) is None:
                await _disconnected(receive)
                return
            last = min(first + _CHUNK_BYTES, size)
            more = last < len(self.body)
            await send({"type": "http.response.body", "body": self.body[first:last], "more_body": more})
        if self._cut:
            _drop(self._connection(scope), reset=False)
            await _disconnected(receive)
        elif scope["method"] == "GET":
            self._delivered()


def _drop(transport: asyncio.Transport | None, *, reset: bool) -> None:
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    # A linger time of 0 makes the kernel send RST instead of FIN. On Windows the structure consists of shorts.
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
