"""The local server: a socket, uvicorn without signal handlers, and the guard.

Invariants: the server prints nothing and logs nothing. Its owner handles signals. The guard refuses pages of other
sites.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Scope

from qwenbuild.errors import UsageError
from qwenbuild.trust import is_loopback

from .guard import LOOPBACK_NAMES, guarded

_STOP_S = 1  # how long calls in flight may go on when the server stops
_KEEP_ALIVE_S = 75  # longer than clients keep a connection, so no client sends on a connection that is being closed
_BACKLOG = 2048
_NEXT = 20  # how many ports are tried before any free one is taken


class LocalServer:
    """A server for one ASGI application, at `host` and `port` (0 takes any free port).

    With `or_next`, a port that is in use is no error: one of the next ports is taken, or else any free port.
    With `any_port`, `Host` may have another port than the server, because a container or a tunnel may map ports.
    `headers` are added to every answer.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        or_next: bool = False,
        any_port: bool = False,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._host, self._port, self._or_next = host, port, or_next
        self._any_port, self._headers = any_port, headers
        self._server: _Server | None = None

    @contextlib.asynccontextmanager
    async def serving(self, application: ASGIApp, stopping: Callable[[], None]) -> AsyncIterator[str]:
        """Serve while the context lasts; yields the origin, such as `http://127.0.0.1:8000`, once the port answers.

        `stopping` is called first when the context ends; then calls in flight get a second to finish.
        Raises UsageError for an unknown host and for a port that is in use or out of range.
        """
        listener = _bind_one(self._host, self._port) if self._or_next else _bind(self._host, self._port)
        host, port = listener.getsockname()[:2]
        names = {*LOOPBACK_NAMES, self._host.lower()} if is_loopback(self._host) else None
        guard = guarded(application, names, None if self._any_port else port, self._headers)
        self._server = _Server(
            uvicorn.Config(
                guard, log_config=None, log_level="critical", access_log=False, lifespan="off", ws="none",
                proxy_headers=False, server_header=False, date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=_STOP_S,
            )
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(partial(_quiet, before or asyncio.AbstractEventLoop.default_exception_handler))
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        try:
            await self._server.ready.wait()
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            stopping()
            self._server.should_exit = True
            await serving
            loop.set_exception_handler(before)

    def connection(self, scope: Scope) -> asyncio.Transport | None:
        """Return the connection of the call with this `scope`; None if it is closed or being closed."""
        for protocol in self._server.server_state.connections if self._server else ():
            if getattr(protocol, "client", None) == scope["client"]:
                transport: asyncio.Transport = protocol.transport
                return None if transport.is_closing() else transport
        return None


class _Server(uvicorn.Server):
    """A server that does not handle signals, and sets `ready` when its port answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _quiet(
    before: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object],
    loop: asyncio.AbstractEventLoop,
    context: dict[str, Any],
) -> None:
    """Call the handler that was set `before`, except for bytes that uvicorn does not expect.

    uvicorn raises an error if bytes follow a HEAD request while its answer is sent. asyncio closes the connection, and
    would print a traceback.
    """
    if not type(context.get("protocol")).__module__.startswith("uvicorn."):
        before(loop, context)


def _bind_one(host: str, port: int) -> socket.socket:
    for candidate in range(port, port + _NEXT):
        with contextlib.suppress(UsageError):
            return _bind(host, candidate)
    return _bind(host, 0)


def _bind(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio disables Nagle's algorithm only if the socket's protocol is IPPROTO_TCP.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"can't listen at {host}, port {port}: {reason}", hint="--port 0 takes any free port", name="port-taken"
        ) from None
    return listener
