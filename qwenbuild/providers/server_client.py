"""The client of a user's own server: sends one request, and reads the answer, or says why none came.

Invariants:
- Nothing that is sent here costs money, so each request may be sent again.
- Each exchange has one deadline and a limit of bytes. No redirect is followed.
- The token is sent to the server's own host only. Answers, errors and logs are masked.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import httpx

from qwenbuild.errors import ProviderError, ServiceFault
from qwenbuild.version import __version__

from .addresses import Address
from .exchange import (
    TRANSPORT_FAULTS,
    UNSENT,
    hidden_in_logs,
    opened,
    retry_after_s,
    timeouts,
    unreachable,
    within,
    words,
)
from .masking import Mask

_SHOWN: Final = 200  # characters of an answer
_KEPT_S: Final = 5.0  # how long an idle connection is kept


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, whatever its status. `body` is its JSON, None if it is none; whoever quotes it masks it.

    `excerpt` is its beginning as a text in one line, masked. `retry_after_s` is the wait that the server asks for.
    """

    status: int
    body: Any = field(repr=False)
    excerpt: str
    is_page: bool = False  # a web page
    location: str = ""  # where a redirect leads
    retry_after_s: float | None = None
    content: bytes = field(default=b"", repr=False)


class ServerClient:
    """Connections to one server; an async context manager. `hint` says what to do if the server can't be reached."""

    def __init__(self, address: Address, *, token: str = "", hint: str = "") -> None:
        self.address, self._token, self._hint = address, token, hint
        self.hide = Mask(token).text if token else str
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises UsageError if the environment names an unusable proxy or CA bundle."""
        limits = httpx.Limits(max_connections=None, keepalive_expiry=_KEPT_S)
        [client] = opened([limits], is_local=self.address.is_local)
        self._http = await self._exits.enter_async_context(client)
        bearer = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        # A compressed answer of a few bytes could expand to gigabytes.
        client.headers.update({"User-Agent": f"qwenbuild/{__version__}", "Accept-Encoding": "identity", **bearer})
        self._exits.enter_context(hidden_in_logs(self.hide))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def send(
        self, method: str, url: str, body: Mapping[str, Any] | None = None, *, whole_s: float, most_bytes: int
    ) -> Answer:
        """Send a request once, and return the complete answer within `whole_s` seconds.

        Raises Unreachable if nothing was sent, ServiceFault if no complete answer came.
        """
        host = self.address.origin
        fault: ProviderError
        try:
            request = self._http.build_request(
                method, url, timeout=timeouts(whole_s),
                content=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
                headers={"Content-Type": "application/json"} if body is not None else None,
            )  # fmt: skip
            async with within(whole_s) as deadline:
                response = await self._http.send(request, stream=True)
                try:
                    answer = await self._read(response, most_bytes)
                    deadline.reschedule(None)  # while the connection is closed, the answer can't be lost any more
                    return answer
                finally:
                    await response.aclose()
        except TimeoutError:
            fault = ServiceFault(f"{host} did not answer", facts=[f"no complete answer within {whole_s:g} s"])
        except UNSENT as error:
            fault = unreachable(host, self.hide(words(error)), self._hint or None)
        except TRANSPORT_FAULTS as error:
            fault = ServiceFault(f"{host} did not answer", facts=[self.hide(words(error))])
        # Raised outside the handlers, so that httpx's error is not attached as context.
        raise fault

    async def _read(self, response: httpx.Response, most_bytes: int) -> Answer:
        content = bytearray()
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > most_bytes:
                claim = f"{self.address.origin} sent more than an answer can be"
                raise ServiceFault(claim, facts=[f"more than {most_bytes:,} bytes"])
        kind = response.headers.get("Content-Type", "")
        body = await asyncio.to_thread(_parsed, content) if "html" not in kind else None
        start = " ".join(bytes(content[: 4 * _SHOWN]).decode("utf-8", "replace").split())
        return Answer(
            response.status_code,
            body,
            self.hide(start)[:_SHOWN],
            is_page="html" in kind or start[:1] == "<",
            location=self.hide(response.headers.get("Location", ""))[:_SHOWN],
            retry_after_s=retry_after_s(response.headers.get("Retry-After"), time.time()),
            content=bytes(content),
        )


def _parsed(content: bytearray) -> Any:
    """Return JSON, decoded; None if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
