"""A page's server on this machine: who may speak to it, and what its answers let a browser do.

Invariants: bound to loopback; a request whose `Host` or `Origin` is not this server's own is refused,
so that no other site's page can speak to it, by a name that it points here (DNS rebinding) or by
the address; every answer has headers that keep the page to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwenbuild.errors import UsageError

_STOP_S = 1  # for calls in flight when the server stops

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every answer."""


async def serve(application: ASGIApp, port: int, started: Callable[[str], None], stopping: Callable[[], None]) -> None:
    """Serve until this task is cancelled; port 0 takes any free one.

    `started` gets the address, such as `http://127.0.0.1:8000`, as soon as it answers; `stopping` is
    called before the calls in flight are waited for. Raises UsageError for a port that is taken.
    """
    listener = bind(port)
    address = "http://{}:{}".format(*listener.getsockname()[:2])
    server = _Server(
        uvicorn.Config(
            guarded(application, address), log_config=None, log_level="critical", access_log=False,
            lifespan="off", ws="none", proxy_headers=False, server_header=False, date_header=False,
            timeout_graceful_shutdown=_STOP_S,
        )
    )  # fmt: skip
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.ready.wait()
        started(address)
        await asyncio.Event().wait()
    finally:
        stopping()
        server.should_exit = True
        await serving


def guarded(application: ASGIApp, address: str) -> ASGIApp:
    """Return the application behind checks of who asks, every answer with the headers that keep its page to itself."""
    own = address.removeprefix("http://")
    hosts = {own, f"localhost:{own.rpartition(':')[2]}"}
    origins = {None, *(f"http://{host}" for host in hosts)}
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
        if request.headers.get("host", "") not in hosts or request.headers.get("origin") not in origins:
            await PlainTextResponse("not for other hosts or pages\n", 403)(scope, receive, kept)
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


def bind(port: int) -> socket.socket:
    """Return a socket that listens at a port of this machine; raises UsageError where it can't."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UsageError(f"can't listen at port {port}: {reason}", hint="--port 0 takes any free port") from None
