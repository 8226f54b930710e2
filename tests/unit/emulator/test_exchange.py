from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from qwenbuild.emulator.exchange import Exchange
from tests.support.orders import NOON_S


def exchange(content: bytes = b"", authorization: str = "Bearer sk-canary") -> Exchange:
    """Return the exchange of one POST."""
    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/a b", "raw_path": b"/a%20b", "query_string": b"page_no=2",
        "headers": [(b"host", b"localhost"), (b"authorization", authorization.encode())],
    }  # fmt: skip
    return Exchange.of(Request(scope), "create", content, NOON_S)


def test_a_call_is_recorded_as_it_was_sent() -> None:
    """Path and query stay encoded; the body is parsed; there is no answer yet."""
    assert exchange(b'{"model": "m"}').as_json() == {
        "at": "2025-09-09 12:00:00.000", "operation": "create", "method": "POST", "path": "/a%20b",
        "query": "page_no=2", "headers": {"host": "localhost", "authorization": "Bearer ***"},
        "body": {"model": "m"}, "fault": "", "status": 0, "answered": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "recorded"), [("Bearer sk-canary", "Bearer ***"), ("sk-canary", "***"), ("Bearer sk canary", "Bearer ***")]
)
def test_the_key_is_masked(sent: str, recorded: str) -> None:
    """Only the scheme of the Authorization header is kept."""
    assert exchange(authorization=sent).headers["authorization"] == recorded


@pytest.mark.parametrize(
    ("content", "body"),
    [(b"", None), (b"{", "{"), (b"\xff{", "\ufffd{"), (b"x" * 5000, "x" * 1000), (b"[" * 100_000, "[" * 1000)],
    ids=["empty", "cut", "not UTF-8", "long", "deep"],
)
def test_a_body_that_is_not_json_is_recorded_as_text(content: bytes, body: str | None) -> None:
    """At most 1,000 bytes of the body are kept."""
    assert exchange(content).body == body
