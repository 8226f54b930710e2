"""The HTTP client: sends each request once, and says whether it was answered, refused or lost.

Invariants:
- AnswerLost means that a request may have been billed. Any other error of a submit means that it was not.
- Each exchange has one deadline, from connecting to the last byte. `_exchange` holds it, and decides what a passed
  deadline means: the answer is lost, unless the request certainly was not sent yet.
- Each submit opens its own connection. A server may close a kept connection just as a submit is sent on it.
- The key is sent to the base URL's host only. No error holds the key or an error of httpx, because errors of
  httpx carry the request with its headers. A server may echo the key: answers, errors and logs are masked.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import httpx

from qwenbuild.emulation import HEADER
from qwenbuild.errors import AnswerLost, ProviderError, ServiceFault
from qwenbuild.version import __version__

from ..exchange import (
    TRANSPORT_FAULTS,
    UNSENT,
    hidden_in_logs,
    http_date_s,
    opened,
    retry_after_s,
    timeouts,
    unreachable,
    within,
    words,
)
from ..masking import Mask
from . import error_codes, wire
from .credentials import ApiKey
from .endpoint import Endpoint

_SHORT_S: Final = 60.0  # the service creates or shows a task within a second
_MAX_ANSWER_BYTES: Final = 8 * 2**20
_BEFORE_SENDING: Final = ("connection", "proxy", "socks")  # the parts of httpcore that connect


class Unsent(asyncio.CancelledError):
    """The exchange was cancelled before the request was sent: it can't have been billed."""


class Client:
    """Connections to the service for one account; an async context manager."""

    def __init__(self, endpoint: Endpoint, key: ApiKey, timeout_s: float) -> None:
        """`timeout_s` is the longest time for a sync call, from connecting to the last byte of the answer.

        A download also gets `timeout_s`, any other request `short_s`, which is at most 60 seconds.
        """
        self.endpoint = endpoint
        self.account = key.fingerprint
        self._is_plan = key.is_plan
        self._key = key
        self.mask = Mask(key.reveal())
        self._facts = (
            f"region: {endpoint.region}, at {endpoint.host}",
            f"key: from {key.origin}; keys of other regions don't work here",
        )
        self.timeout_s = timeout_s
        self.short_s = min(timeout_s, _SHORT_S)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises UsageError if the environment names an unusable CA bundle or proxy."""
        fresh = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        kept = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=5.0)
        clients = opened((fresh, kept, kept), is_local=self.endpoint.is_local)
        self._submits, self._queries, self.downloads = [
            await self._exits.enter_async_context(client) for client in clients
        ]
        for client in (self._submits, self._queries):  # not `downloads`: it talks to other hosts
            client.headers.update(wire.headers(self._key.reveal(), self.endpoint.workspace, __version__))
        self._exits.enter_context(hidden_in_logs(self.mask.text))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def submit_sync(self, body: Mapping[str, Any], sent: Callable[[], None]) -> wire.Answer:
        """Submit a sync request and wait for the answer. `sent` is called once the request is sent.

        Raises AnswerLost if the request may have been billed, else another ProviderError.
        """
        return await self._submit(wire.SYNC_PATH, body, {}, self.timeout_s, sent)

    async def submit_async(self, body: Mapping[str, Any], sent: Callable[[], None]) -> wire.Answer:
        """Create a task. `sent` is called once the request is sent.

        Raises AnswerLost if the task may exist, else another ProviderError.
        """
        return await self._submit(wire.ASYNC_PATH, body, wire.ASYNC_HEADERS, self.short_s, sent)

    async def _submit(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], whole_s: float,
        sent: Callable[[], None],
    ) -> wire.Answer:  # fmt: skip
        request = self._submits.build_request(
            "POST",
            self.endpoint.base_url + path,
            content=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json; charset=utf-8", **headers},
            timeout=timeouts(whole_s),
        )
        return self._success(await self._exchange(self._submits, request, whole_s, sent))

    async def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *, may_miss: bool = False
    ) -> wire.Answer:
        """Send a request that is free and may be repeated. Raises ProviderError, but never AnswerLost.

        With `may_miss`, an answer with status 404 is returned like a success.
        """
        url = self.endpoint.base_url + path
        request = self._queries.build_request(method, url, params=query or None, timeout=timeouts(self.short_s))
        try:
            answer = await self._exchange(self._queries, request, self.short_s)
            return answer if may_miss and answer.status == 404 else self._success(answer)
        except Unsent:  # `asyncio.timeout` takes only CancelledError itself for its own, no class below it
            raise asyncio.CancelledError from None
        except AnswerLost as lost:
            error = lost
        raise ServiceFault("the service did not answer", facts=error.facts, code=error.code)

    async def _exchange(
        self, client: httpx.AsyncClient, request: httpx.Request, whole_s: float, sent: Callable[[], None] = lambda: None
    ) -> wire.Answer:
        """Send `request` and return the answer, also an error answer. Raises ProviderError if no answer came.

        The exchange takes at most `whole_s` seconds. `sent` is called once the request is sent.
        """
        progress = _Progress(sent)
        request.extensions["trace"] = progress.trace
        fault: ProviderError
        try:
            async with within(whole_s) as deadline:
                response = await client.send(request, stream=True)
                try:
                    answer = await self._read(response)
                    deadline.reschedule(None)  # while the connection is closed, the answer can't be lost any more
                    return answer
                finally:
                    await response.aclose()
        except asyncio.CancelledError:
            if progress.is_unsent:
                raise Unsent from None
            raise
        except TRANSPORT_FAULTS as error:
            how = self.mask.text(words(error))
            fault = _transport_fault(error, how, self.endpoint.host, whole_s, is_unsent=progress.is_unsent)
        # Raised outside the handler, so that httpx's error is not attached as context.
        raise fault

    async def _read(self, response: httpx.Response) -> wire.Answer:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > _MAX_ANSWER_BYTES:
                break
        now_s = time.time()
        date_s = http_date_s(response.headers.get("Date"))
        return wire.parse(
            response.status_code,
            bytes(content),
            mask=self.mask,
            retry_after_s=retry_after_s(response.headers.get("Retry-After"), date_s or now_s),
            ahead_s=None if date_s is None else date_s - now_s,
            is_emulated=HEADER in response.headers,
        )

    def _success(self, answer: wire.Answer) -> wire.Answer:
        """Return `answer` if it is a success or holds an image, else raise the ProviderError that it means."""
        if answer.link:
            return answer
        if answer.code:
            raise error_codes.answered(
                answer.code, answer.message, status=answer.status, request_id=answer.request_id,
                retry_after_s=answer.retry_after_s, account=self._facts, is_plan=self._is_plan,
            )  # fmt: skip
        if not 200 <= answer.status < 300 or not answer.body:
            raise error_codes.unexplained(
                answer.status, answer.message or answer.excerpt, self.endpoint.host,
                retry_after_s=answer.retry_after_s, account=self._facts,
            )  # fmt: skip
        return answer


class _Progress:
    """How far an exchange has come, as httpcore's trace tells.

    `is_unsent` is True while the request certainly has not been sent: the last event was one of connecting. If
    httpcore's events change one day, it stays False, and the request counts as sent.
    """

    def __init__(self, sent: Callable[[], None]) -> None:
        self.is_unsent = False
        self._sent = sent
        self._is_tunnel = False  # a CONNECT to a proxy is under way, not the request itself

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        part, _, step = event.partition(".")
        if (request := info.get("request")) is not None:
            self._is_tunnel = request.method == b"CONNECT"
        self.is_unsent = part in _BEFORE_SENDING or self._is_tunnel
        if step == "send_request_body.complete" and not self.is_unsent:
            self._sent()


def _transport_fault(error: Exception, how: str, host: str, whole_s: float, *, is_unsent: bool) -> ProviderError:
    """Return the error of a failed exchange. It takes only the type from `error`; `how` is its masked text."""
    is_late = isinstance(error, TimeoutError)
    if not isinstance(error, UNSENT) and not is_unsent:
        how = f"no complete answer within {whole_s:g} s" if is_late else how
        return AnswerLost(error_codes.LOST.claim, facts=[f"{host}: {how}"], hint=error_codes.LOST.hint)
    hint = "is the network up, and the base URL right? Build again later: finished images are kept"
    return unreachable(host, f"no connection within {whole_s:g} s" if is_late else how, hint)
