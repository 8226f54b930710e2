"""The guard of a local server: refuses calls from pages of other sites.

A browser can send such a call in two ways:
- The other site's name resolves to this machine (DNS rebinding). Then `Host` is the other site's name.
- The other site's page calls the server's address. Then `Origin` is the other site.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""The host names that clients on this machine use for a loopback server."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A Content-Security-Policy: a page loads nothing from other sites, and runs no inline script."""

PAGE_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""Headers that prevent other sites from reading a page, its images and its token."""

_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]+))?")


def guarded(
    application: ASGIApp,
    names: Collection[str] | None,
    port: int | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> ASGIApp:
    """Return an application that answers 403 to foreign calls and passes the others to `application`.

    `Host` must be one of `names` (in lower case) with `port`; None allows every name or every port.
    `Origin`, if sent, must have the scheme, name and port of the call. `headers` are added to every answer.
    """

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        sent = Headers(scope=scope)
        host = sent.get("host", "").lower()
        own = _is_own(host, names, port) and sent.get("origin") in (None, f"{scope['scheme']}://{host}")
        answer = application if own else PlainTextResponse("foreign Host or Origin\n", 403)
        await answer(scope, receive, with_headers if headers else send)

    return guard


def _is_own(host: str, names: Collection[str] | None, port: int | None) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    return (names is None or match[1] in names) and (port is None or match[2] == str(port))
