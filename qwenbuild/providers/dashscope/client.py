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
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Final, Self

import httpx

from qwenbuild import proxies
from qwenbuild.emulation import HEADER
from qwenbuild.errors import AnswerLost, ProviderError, ServiceFault, Unreachable, UsageError
from qwenbuild.version import __version__

from . import error_codes, wire
from .credentials import ApiKey
from .endpoint import Endpoint
from .masking import Mask

CONNECT_S: Final = 15.0
_SHORT_S: Final = 60.0  # the service creates or shows a task within a second
_LATE_S: Final = 1.0  # a timer that fires later than this shows that the process was stopped
_GRACE_S: Final = 5.0  # to read what arrived while the process was stopped
_MAX_ANSWER_BYTES: Final = 8 * 2**20
_LONGEST_RETRY_AFTER_S: Final = 900.0  # a longer Retry-After is shortened to this

# Raised before the first byte of a request is written. After any other error, the service may have the request.
_UNSENT: Final = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol,
    httpx.LocalProtocolError, httpx.InvalidURL,
)  # fmt: skip

TRANSPORT_FAULTS: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, OverflowError)
"""What an exchange may raise. TimeoutError is an OSError; the last two come from names and ports that can't exist."""

_LOGGERS: Final = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
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
        wrong = None
        if not self.endpoint.is_local:
            proxies.check_proxies(os.environ)
        try:
            verify = httpx.create_ssl_context()
            clients = [self._client(verify, limits) for limits in (fresh, kept, kept)]
        except OSError:  # includes ssl.SSLError
            wrong = UsageError(
                "the CA bundle can't be read", hint="check SSL_CERT_FILE and SSL_CERT_DIR", name="ca-bundle"
            )
        except (ImportError, ValueError, httpx.InvalidURL):
            wrong = UsageError(proxies.CLAIM, hint=proxies.HINT, name="proxy")
        if wrong:
            raise wrong  # outside the handlers: a chained error could show the password in a proxy's URL
        self._submits, self._queries, self.downloads = [
            await self._exits.enter_async_context(client) for client in clients
        ]
        for client in (self._submits, self._queries):  # not `downloads`: it talks to other hosts
            client.headers.update(wire.headers(self._key.reveal(), self.endpoint.workspace, __version__))
        for logger in map(logging.getLogger, _LOGGERS):
            logger.addFilter(self._hide_secrets)
            self._exits.callback(logger.removeFilter, self._hide_secrets)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    def _client(self, verify: ssl.SSLContext, limits: httpx.Limits) -> httpx.AsyncClient:
        """Return a client without redirects and cookies. It uses the environment's proxies."""
        return httpx.AsyncClient(
            verify=verify,
            limits=limits,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=not self.endpoint.is_local,  # a proxy can't reach this machine's loopback
        )

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
            timeout=_waits(whole_s),
        )
        return self._success(await self._exchange(self._submits, request, whole_s, sent))

    async def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *, may_miss: bool = False
    ) -> wire.Answer:
        """Send a request that is free and may be repeated. Raises ProviderError, but never AnswerLost.

        With `may_miss`, an answer with status 404 is returned like a success.
        """
        url = self.endpoint.base_url + path
        request = self._queries.build_request(method, url, params=query or None, timeout=_waits(self.short_s))
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
            async with _within(whole_s) as deadline:
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
            how = self.mask.text(_words(error))
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
        date_s = _http_date_s(response.headers.get("Date"))
        return wire.parse(
            response.status_code,
            bytes(content),
            mask=self.mask,
            retry_after_s=_retry_after_s(response.headers.get("Retry-After"), date_s or now_s),
            ahead_s=None if date_s is None else date_s - now_s,
            is_emulated=HEADER in response.headers,
        )

    def _hide_secrets(self, record: logging.LogRecord) -> bool:
        """Mask the key in what httpx logs, and remove the query from URLs: it may give access to an image."""
        record.msg = self.mask.text(str(record.msg))
        if isinstance(record.args, tuple):
            urls = (arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg for arg in record.args)
            record.args = tuple(self.mask.text(arg) if isinstance(arg, str) else arg for arg in urls)
        return True

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


def _waits(whole_s: float) -> httpx.Timeout:
    """Return httpx's own limits for an exchange of `whole_s` seconds: the same for TCP and TLS, none for the rest."""
    return httpx.Timeout(None, connect=min(CONNECT_S, whole_s / 2))


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


@asynccontextmanager
async def _within(whole_s: float) -> AsyncIterator[asyncio.Timeout]:
    """Cancel what takes longer than `whole_s` seconds; raises TimeoutError then.

    Time in which the process was stopped (Ctrl-Z, a paused container) does not lose an answer: what arrived
    meanwhile can still be read.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + whole_s
    async with asyncio.timeout_at(until_s) as deadline:

        def extend() -> None:
            if loop.time() > until_s + _LATE_S and deadline.when() is not None:
                deadline.reschedule(loop.time() + _GRACE_S)

        timer = loop.call_at(until_s - 0.001, extend)  # before the deadline, which fires in the same round
        try:
            yield deadline
        finally:
            timer.cancel()


def _transport_fault(error: Exception, how: str, host: str, whole_s: float, *, is_unsent: bool) -> ProviderError:
    """Return the error of a failed exchange. It takes only the type from `error`; `how` is its masked text."""
    is_late = isinstance(error, TimeoutError)
    if not isinstance(error, _UNSENT) and not is_unsent:
        how = f"no complete answer within {whole_s:g} s" if is_late else how
        return AnswerLost(error_codes.LOST.claim, facts=[f"{host}: {how}"], hint=error_codes.LOST.hint)
    words = f"no connection within {whole_s:g} s" if is_late else how
    if "CERTIFICATE_VERIFY_FAILED" in words or "SSL" in words:
        return Unreachable(
            f"no secure connection to {host}",
            facts=[f"TLS: {words}"],
            hint="is this machine's clock right? For a proxy's own certificate, set SSL_CERT_FILE to its CA bundle",
            code="TLS",
            name="tls-failed",
        )
    return Unreachable(
        f"can't reach {host}",
        facts=[f"nothing was sent: {words}"],
        hint="is the network up, and the base URL right? Build again later: finished images are kept",
    )


def _words(error: Exception) -> str:
    """Return the error's type and text. Texts of httpx hold no header and no URL."""
    said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _retry_after_s(value: str | None, now_s: float) -> float | None:
    """Return the wait that a Retry-After header asks for: a number of seconds, or a date compared with `now_s`."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return min(float(value), _LONGEST_RETRY_AFTER_S)
    at_s = _http_date_s(value)
    return None if at_s is None else min(max(0.0, at_s - now_s), _LONGEST_RETRY_AFTER_S)


def _http_date_s(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, OverflowError):
        return None
