"""Exchanges: what the HTTP clients of providers share: how they are opened, deadlines, faults, and masked log lines.

Invariant: no error of httpx leaves a client, because errors of httpx carry the request with its headers.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from qwenbuild import proxies
from qwenbuild.errors import Unreachable, UsageError

CONNECT_S: Final = 15.0
_LATE_S: Final = 1.0  # a timer that fires later than this shows that the process was stopped
_GRACE_S: Final = 5.0  # to read what arrived while the process was stopped
_LONGEST_RETRY_AFTER_S: Final = 900.0  # a longer Retry-After is shortened to this

UNSENT: Final = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol,
    httpx.LocalProtocolError, httpx.InvalidURL,
)  # fmt: skip
"""Raised before the first byte of a request is written. After any other error, the server may have the request."""

TRANSPORT_FAULTS: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, OverflowError)
"""What an exchange may raise. TimeoutError is an OSError; the last two come from names and ports that can't exist."""

LOGGERS: Final = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""The names of the loggers that see requests."""


def opened(limits: Sequence[httpx.Limits], *, is_local: bool) -> list[httpx.AsyncClient]:
    """Return a client for each of `limits`, without redirects and cookies.

    It uses the environment's proxies, unless the server `is_local`: a proxy can't reach this machine's loopback.
    Raises UsageError if the environment names an unusable CA bundle or proxy.
    """
    if not is_local:
        proxies.check_proxies(os.environ)
    try:
        verify = httpx.create_ssl_context()
        return [
            httpx.AsyncClient(
                verify=verify, limits=each, cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                follow_redirects=False, trust_env=not is_local,
            ) for each in limits
        ]  # fmt: skip
    except OSError:  # includes ssl.SSLError
        wrong = UsageError("the CA bundle can't be read", hint="check SSL_CERT_FILE and SSL_CERT_DIR", name="ca-bundle")
    except (ImportError, ValueError, httpx.InvalidURL):
        wrong = UsageError(proxies.CLAIM, hint=proxies.HINT, name="proxy")
    raise wrong  # outside the handlers: a chained error could show the password in a proxy's URL


def timeouts(whole_s: float) -> httpx.Timeout:
    """Return httpx's own limits for an exchange of `whole_s` seconds: the same for TCP and TLS, none for the rest."""
    return httpx.Timeout(None, connect=min(CONNECT_S, whole_s / 2))


@asynccontextmanager
async def within(whole_s: float) -> AsyncIterator[asyncio.Timeout]:
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


def words(error: Exception) -> str:
    """Return an error's type and text. Texts of httpx hold no header and no URL."""
    said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def unreachable(host: str, how: str, hint: str | None) -> Unreachable:
    """Return the error that no connection to a host was made; `how` it failed is masked already."""
    if "CERTIFICATE_VERIFY_FAILED" in how or "SSL" in how:
        hint = "is this machine's clock right? For a proxy's own certificate, set SSL_CERT_FILE to its CA bundle"
        return Unreachable(
            f"no secure connection to {host}", facts=[f"TLS: {how}"], hint=hint, code="TLS", name="tls-failed"
        )
    return Unreachable(f"can't reach {host}", facts=[f"nothing was sent: {how}"], hint=hint)


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Return the wait that a Retry-After header asks for: a number of seconds, or a date compared with `now_s`."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return min(float(value), _LONGEST_RETRY_AFTER_S)
    at_s = http_date_s(value)
    return None if at_s is None else min(max(0.0, at_s - now_s), _LONGEST_RETRY_AFTER_S)


def http_date_s(value: str | None) -> float | None:
    """Return the time of an HTTP date in seconds since the epoch; None if it is none."""
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, OverflowError):
        return None


@contextmanager
def hidden_in_logs(hide: Callable[[str], str]) -> Iterator[None]:
    """Change what httpx logs by `hide`, and remove the query from URLs: it may give access to an image."""

    def hidden(record: logging.LogRecord) -> bool:
        record.msg = hide(str(record.msg))
        if isinstance(record.args, tuple):
            urls = (arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg for arg in record.args)
            record.args = tuple(hide(arg) if isinstance(arg, str) else arg for arg in urls)
        return True

    loggers = [*map(logging.getLogger, LOGGERS)]
    for logger in loggers:
        logger.addFilter(hidden)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(hidden)
