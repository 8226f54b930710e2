"""Exchanges: deadlines, faults and waits. The clients of the providers test the rest with real servers."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

from qwenbuild.providers.exchange import LOGGERS, hidden_in_logs, retry_after_s, timeouts, unreachable, within, words
from qwenbuild.providers.masking import Mask


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [(None, None), ("7", 7.0), ("99999", 900.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:20 GMT", 10.0)],
)
def test_the_wait_that_a_server_asks_for(value: str | None, wait_s: float | None) -> None:
    """A number of seconds or a date, 15 minutes at most."""
    assert retry_after_s(value, 10.0) == wait_s


def test_what_takes_too_long_is_cancelled() -> None:
    """The deadline is one for all that happens within."""

    async def slow() -> None:
        async with within(0.01):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(slow())


def test_how_long_connecting_may_take() -> None:
    """15 seconds, or half of a shorter time."""
    assert [timeouts(whole_s).connect for whole_s in (600, 10)] == [15.0, 5.0]


def test_a_fault_of_tls_is_no_missing_network() -> None:
    """It lasts, so it has a code, and another hint."""
    plain, tls = unreachable("gpu", "ConnectError: refused", "is it up?"), unreachable("gpu", "SSL: no", "is it up?")
    assert (plain.claim, plain.code, plain.hint) == ("can't reach gpu", "", "is it up?")
    assert (tls.claim, tls.code, tls.name) == ("no secure connection to gpu", "TLS", "tls-failed")
    assert [words(it) for it in (OSError("no"), OSError())] == ["OSError: no", "OSError"]


def test_the_signature_of_a_link_and_an_echoed_key_are_never_logged() -> None:
    """While the client is open; also if the record has other arguments than httpx's."""
    key, logger = "sk-canary0123456789", logging.getLogger(LOGGERS[0])
    url = httpx.URL("https://example.test/1.png?Signature=secret")
    record = logging.makeLogRecord({"msg": "%s %s %s %d", "args": ("GET", url, f"reason {key}", 7)})
    other = logging.makeLogRecord({"msg": f"%(a)s [(b'X-Echo', b'{key}')]", "args": ({"a": 1},)})
    other.args = {"a": 1}
    before = [*logger.filters]  # of clients that another test's threads keep open
    with hidden_in_logs(Mask(key).text):
        assert logger.filter(record)
        assert logger.filter(other)
    assert record.getMessage() == "GET https://example.test/1.png reason *** 7"
    assert other.getMessage() == "1 [(b'X-Echo', b'***')]"
    assert logger.filters == before
