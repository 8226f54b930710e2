"""The key is sent only to the service, and appears nowhere else, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from dataclasses import replace
from typing import Any

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.provider import Settings
from qwenbuild.providers.dashscope.credentials import ApiKey
from tests.support.scripted import CANARY, PNG, Journal, Reply, Scripted, fails, request_of, says

SECRET = CANARY.removeprefix("sk-")
ECHO = f"you sent Authorization: Bearer {CANARY}"

# route and replies: every call in which a render can fail
FAULTS: list[tuple[str, list[Reply]]] = [
    ("none", []),
    ("submit", [fails(401, "InvalidApiKey", ECHO)]),
    ("submit", [fails(400, ECHO, ECHO)]),
    ("submit", [fails(429, "Throttling"), fails(500, "InternalError", ECHO)]),
    ("submit", [Reply(502, f"<html>{ECHO}".encode())]),
    ("submit", [Reply(404, f"<html>{ECHO}".encode())]),
    ("submit", [Reply(302, b"", {"Location": "http://elsewhere.test/"})]),
    ("submit", [Reply(fault="drop")]),
    ("submit", [Reply(fault="hang")]),
    ("submit", [Reply(200, b"{" * 1000, fault="cut")]),
    ("submit", [says(200, {CANARY: CANARY})]),
    ("submit", [Reply(200, b"{}", {"Content-Encoding": "gzip"})]),
    ("submit", [Reply(200, b"{}", {"Set-Cookie": "session=1; Path=/", "Bad Header": "x"})]),
    ("task", [fails(403, "AccessDenied", ECHO)]),
    ("task", [says(200, {"output": {"task_id": "task-0", "task_status": "FAILED", "code": "X", "message": ECHO}})] * 9),
    ("task", [says(200, {"output": {"task_id": "task-0", "task_status": "UNKNOWN"}})] * 3),
    ("result", [Reply(200, PNG, fault="cut")] * 5),
    ("result", [Reply(302, b"", {"Location": "http://elsewhere.test/"})] * 5),
    ("result", [Reply(403, b"Request has expired")] * 10),
]


def shown(error: BaseException | None) -> list[str]:
    """Return everything that an error can show: texts, causes, and the traceback with local variables."""
    if error is None:
        return []
    seen = [repr(error), str(error), repr(vars(error)), repr(error.__cause__), repr(error.__context__)]
    seen += traceback.format_exception(error)
    stack = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    return seen + [repr(frame.locals) for frame in stack if frame.filename != __file__]


@pytest.mark.parametrize("interface", ["sync", "async"])
@pytest.mark.parametrize(("route", "replies"), FAULTS, ids=range(len(FAULTS)))
def test_the_key_appears_nowhere_else(
    interface: str,
    route: str,
    replies: list[Reply],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Errors, tracebacks, journal, facts, logs, output and requests to download hosts do not hold the key."""
    caplog.set_level(logging.DEBUG)
    journal = Journal()
    texts: list[str] = []

    async def main() -> tuple[Any, Scripted]:
        async with Scripted() as server:
            name = {"submit": {"sync": "sync", "async": "create"}[interface]}.get(route, route)
            server.script[name].extend(replies)
            provider = server.provider(interface=interface, timeout_s=0.3)
            try:
                async with provider.session():
                    texts.extend([repr(provider), repr(provider.endpoint), repr(vars(provider))])
                    rendered = await provider.render(request_of(), journal)
                    texts.extend([repr(rendered), json.dumps(dict(rendered.facts))])
            except Exception as error:
                texts.extend(shown(error))
                assert error.__context__ is None or not type(error.__context__).__module__.startswith("http")
            return provider, server

    _, server = asyncio.run(main())
    texts.append(json.dumps(journal.log))
    texts += [record.getMessage() + repr(record.args) for record in caplog.records]
    texts += capfd.readouterr()
    assert [text for text in texts if SECRET in text] == []
    for seen in server.seen:
        is_download = seen.path.startswith("/result/")
        assert (CANARY in repr(seen)) is not is_download
        assert "cookie" not in seen.headers


def test_settings_and_keys_do_not_show_the_key() -> None:
    """The `repr` of the objects that hold the key hides it."""
    key = ApiKey(CANARY, "DASHSCOPE_API_KEY")
    settings = Settings({}, builtin(), {"DASHSCOPE_API_KEY": CANARY})
    assert SECRET not in repr(key) + str(key) + f"{key}" + repr(settings) + repr(replace(settings))
