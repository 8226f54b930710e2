"""The client: when a request counts as sent, failed connections, and answers that can't be read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from qwenbuild import proxies
from qwenbuild.catalogue import builtin
from qwenbuild.emulator.server import Running
from qwenbuild.errors import (
    AccountError,
    AnswerLost,
    ProviderError,
    ServiceFault,
    Throttled,
    Unreachable,
    UsageError,
)  # fmt: skip
from qwenbuild.provider import Settings
from qwenbuild.providers import exchange
from qwenbuild.providers.dashscope import error_codes, wire
from qwenbuild.providers.dashscope.client import Client, _Progress
from qwenbuild.providers.dashscope.credentials import ApiKey
from qwenbuild.providers.dashscope.endpoint import Endpoint
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.providers.masking import Mask
from qwenbuild.version import __version__
from tests.support.scripted import CANARY, PNG, TRUSTED, Journal, Reply, Scripted, attempt, fails, request_of, says

pytest_plugins = ("tests.support.emulated",)


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_a_request_is_sent_before_its_answer_comes(interface: str) -> None:
    """The client reports that a request was sent, although no answer ever comes."""

    async def main() -> bool:
        async with Scripted() as server, client_of(server) as client:
            server.script[{"sync": "sync", "async": "create"}[interface]].append(Reply(fault="hang"))
            sent = asyncio.Event()
            submit = {"sync": client.submit_sync, "async": client.submit_async}[interface]
            answer = asyncio.create_task(submit(wire.sync_body(request_of()), sent.set))
            await sent.wait()
            is_answered = answer.done()
            answer.cancel()
            await asyncio.wait([answer])
        return is_answered

    assert not asyncio.run(main())


def test_a_refused_connection_sends_nothing() -> None:
    """The client does not report a request as sent if nobody listens."""

    async def main() -> int:
        sent: list[None] = []
        async with Scripted() as server:
            client = client_of(server)
        async with client:
            with pytest.raises(Unreachable):
                await client.submit_sync(wire.sync_body(request_of()), lambda: sent.append(None))
        return len(sent)

    assert asyncio.run(main()) == 0


def test_an_unreachable_host_costs_nothing_and_stops_the_run() -> None:
    """Nothing was sent, so there are several attempts; every intent is withdrawn."""

    async def main() -> tuple[ProviderError, Journal]:
        async with Scripted() as server:
            pass
        journal, provider = Journal(), server.provider()
        async with provider.session():
            with pytest.raises(Unreachable) as caught:
                await provider.render(request_of(), journal)
        return caught.value, journal

    error, journal = asyncio.run(main())
    assert error.stops_run
    assert error.claim.startswith("can't reach 127.0.0.1:")
    assert error.facts == ("nothing was sent: ConnectError: All connection attempts failed",)
    assert error.hint == "is the network up, and the base URL right? Build again later: finished images are kept"
    assert journal.kinds == ["intend", "refused"] * 6


@pytest.mark.parametrize("kind", ["no TLS", "unknown certificate"])
def test_a_failed_tls_connection_is_final(kind: str, tmp_path: Path) -> None:
    """A server without TLS or with an unknown certificate gets no second attempt."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> tuple[ProviderError, Journal]:
        context = None if kind == "no TLS" else self_signed(tmp_path)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        base_url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
        settings = Settings({"base_url": base_url}, builtin(), {"DASHSCOPE_API_KEY": CANARY}, trust=TRUSTED)
        journal, provider = Journal(), DashScopeProvider(settings)
        async with server, provider.session():
            with pytest.raises(Unreachable) as caught:
                await provider.render(request_of(), journal)
        return caught.value, journal

    error, journal = asyncio.run(main())
    assert error.claim.startswith("no secure connection to 127.0.0.1:")
    assert error.code == "TLS"
    assert error.facts[0].startswith("TLS: ConnectError: [SSL: ")
    assert error.hint == (
        "is this machine's clock right? For a proxy's own certificate, set SSL_CERT_FILE to its CA bundle"
    )
    assert journal.kinds == ["intend", "refused"]


def test_a_ca_bundle_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy shows certificates of its own: SSL_CERT_FILE says which to trust."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + b'{"output": {}}')
        writer.close()

    async def main() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self_signed(tmp_path))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        endpoint = Endpoint(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1", "singapore")
        async with server, Client(endpoint, ApiKey(CANARY, "a test"), 60.0) as client:
            return (await client.ask("GET", "/tasks/t")).status

    assert asyncio.run(main()) == 200


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of a server with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    no_password = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


@pytest.mark.parametrize(
    ("variable", "value", "claim"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "the CA bundle can't be read"),
        ("ALL_PROXY", "socks5://user:hidden@localhost:1080", "the proxy set in the environment can't be used"),
        ("HTTPS_PROXY", "gopher://user:hidden@localhost", "the proxy set in the environment can't be used"),
        ("HTTPS_PROXY", "http://user:hidden@localhost:99999", "the proxy set in the environment can't be used"),
        ("HTTPS_PROXY", "http://[::1", "the proxy set in the environment can't be used"),
    ],
)
def test_an_unusable_proxy_or_ca_bundle_is_explained(
    variable: str, value: str, claim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable, and does not show a proxy's password."""
    monkeypatch.setenv(variable, value)

    async def main() -> None:
        async with DashScopeProvider(Settings({}, builtin(), {"DASHSCOPE_API_KEY": CANARY})).session():
            raise AssertionError

    with pytest.raises(UsageError) as caught:
        asyncio.run(main())
    assert caught.value.claim == claim
    assert caught.value.__context__ is None
    assert caught.value.hint == (proxies.HINT if "PROXY" in variable else "check SSL_CERT_FILE and SSL_CERT_DIR")


def test_a_refused_key_is_explained() -> None:
    """The error names region, address and origin of the key, because keys of other regions are the usual cause."""
    found, _, server = attempt("sync", fails(401, "InvalidApiKey", "Invalid API-key provided."))
    assert found.facts == (
        "service says: InvalidApiKey: Invalid API-key provided.",
        "request id: req-failed",
        f"region: singapore, at 127.0.0.1:{server.port}",
        "key: from DASHSCOPE_API_KEY; keys of other regions don't work here",
    )


def test_an_endless_answer_is_lost() -> None:
    """The client stops reading a body of many megabytes, and the answer counts as lost."""
    cut = {"Content-Length": str(10 * 2**20)}  # who read on would find the connection closed
    found, journal, server = attempt("sync", Reply(200, b"[" * (9 * 2**20), cut))
    assert type(found) is AnswerLost
    assert found.facts[0].startswith(f"127.0.0.1:{server.port} answered with status 200: [[[")
    assert journal.kinds == ["intend"]


DRIPS = [Reply(fault="drip"), Reply(fault="drip-head")]


@pytest.mark.parametrize("interface", ["sync", "async"])
@pytest.mark.parametrize("reply", DRIPS, ids=lambda reply: reply.fault)
def test_an_answer_in_single_bytes_is_lost_after_the_deadline(interface: str, reply: Reply) -> None:
    """`timeout_s` limits the whole exchange. The request may have been billed, so it is not sent again."""
    # On a busy machine, connecting may take a second; a request that was not sent would be sent again.
    found, journal, server = attempt(interface, reply, timeout_s=4)
    assert type(found) is AnswerLost
    assert found.facts == (f"127.0.0.1:{server.port}: no complete answer within 4 s",)
    bill = "look at the account's bill; `--resubmit` sends the request again"
    assert interface == "async" or (found.claim, found.hint) == (error_codes.LOST.claim, bill)
    assert journal.kinds == ["intend"]
    assert len(server.paths("POST")) == 1


@pytest.mark.parametrize("reply", DRIPS, ids=lambda reply: reply.fault)
def test_a_query_in_single_bytes_is_repeated(reply: Reply) -> None:
    """Queries are free: after the deadline a poll, a page of the list and a cancellation count as unanswered."""

    async def main() -> tuple[bytes, int, int]:
        async with Scripted() as server:
            provider = server.provider(interface="async", timeout_s=1.0)
            server.script["task"].append(reply)
            server.script["list"].append(reply)
            server.script["cancel"].append(reply)
            async with provider.session():
                rendered = await provider.render(request_of(), Journal())
                tasks = await provider.list_tasks()
                with pytest.raises(ServiceFault, match="the service did not answer"):
                    await provider.cancel_task(tasks[0].id)
        return rendered.png, len(tasks), server.bill

    assert asyncio.run(main()) == (PNG, 1, 1)


@pytest.mark.parametrize("interface", ["submit", "query"])
def test_a_handshake_that_never_ends_costs_nothing(interface: str) -> None:
    """A server that accepts the connection, and is silent in the TLS handshake, got no request."""

    async def main() -> ProviderError:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until the client gives up
            writer.close()
            ended.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        endpoint = Endpoint(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1", "singapore")
        async with server, Client(endpoint, ApiKey(CANARY, "a test"), 2.0) as client:
            with pytest.raises(Unreachable) as caught:
                if interface == "submit":
                    await client.submit_sync(wire.sync_body(request_of()), lambda: None)
                else:
                    await client.ask("GET", "/tasks/t")
            await ended.wait()
        return caught.value

    assert asyncio.run(main()).facts == ("nothing was sent: ConnectTimeout",)


def test_a_deadline_that_passes_while_a_query_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a TimeoutError, as at any other moment. Else the whole build would count as cancelled."""

    async def main() -> None:
        async with Scripted() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            proxy.script["other"].append(Reply(fault="hang"))
            async with Client(Endpoint("https://a.test/api/v1", "singapore"), ApiKey(CANARY, "a test"), 60.0) as client:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(60.0) as deadline:
                        now_s = asyncio.get_running_loop().time()
                        proxy.after = lambda seen: deadline.reschedule(now_s)  # a CONNECT has arrived
                        await client.ask("GET", "/tasks/t")

    asyncio.run(main())


@pytest.mark.parametrize(("route", "kinds"), [("other", ["intend", "refused"]), ("sync", ["intend"])])
def test_leaving_while_connecting_costs_nothing(route: str, kinds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A render that is cancelled while a proxy connects was not sent. One that is cancelled later may be billed."""

    async def main() -> Journal:
        async with Scripted() as server:
            journal, provider = Journal(), server.provider()
            if route == "other":  # a CONNECT to a proxy
                monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
                provider = DashScopeProvider(Settings({}, builtin(), {"DASHSCOPE_API_KEY": CANARY}))
            arrived = asyncio.Event()
            server.after = lambda seen: arrived.set()
            server.script[route].append(Reply(fault="hang"))
            async with provider.session():
                rendering = asyncio.create_task(provider.render(request_of(), journal))
                await arrived.wait()
                rendering.cancel()
                await asyncio.wait([rendering])
            assert rendering.cancelled()
        return journal

    assert asyncio.run(main()).kinds == kinds


@pytest.mark.parametrize("reply", [Reply(fault="drip-head"), Reply(502)], ids=["drip", "502"])
def test_a_proxy_that_does_not_connect_got_no_request(reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CONNECT to the proxy is not the request: it costs nothing, however slowly it is answered."""

    async def main() -> tuple[ProviderError, Journal, set[str]]:
        async with Scripted() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            proxy.script["other"].extend([reply] * 6)
            settings = {"timeout_s": 0.3, "submits": "1000/second", "retry_wait_s": 0.001}
            provider = DashScopeProvider(Settings(settings, builtin(), {"DASHSCOPE_API_KEY": CANARY}, trust=TRUSTED))
            journal = Journal()
            async with provider.session():
                with pytest.raises(Unreachable) as caught:
                    await provider.render(request_of(), journal)
            return caught.value, journal, {one.method for one in proxy.seen}

    error, journal, methods = asyncio.run(main())
    assert error.facts[0].startswith("nothing was sent: ")
    assert journal.kinds == ["intend", "refused"] * 6
    assert methods == {"CONNECT"}


def test_an_answer_that_came_while_the_process_was_stopped_is_read(emulator: Running) -> None:
    """After Ctrl-Z and `fg`, or in a paused container, all deadlines have passed; what arrived is not lost."""

    async def main() -> int:
        endpoint = Endpoint(emulator.base_url, "singapore")
        async with Client(endpoint, ApiKey(CANARY, "a test"), 0.6) as client:
            # The whole process sleeps from the moment when the request is sent.
            answer = await client.submit_sync(wire.sync_body(request_of()), lambda: time.sleep(2.0))
        return answer.status

    assert asyncio.run(main()) == 200


def client_of(server: Scripted) -> Client:
    """Return a client of the scripted service."""
    return Client(Endpoint(server.base_url, "cn-beijing"), ApiKey(CANARY, "a test"), 60.0)


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test"])
def test_a_host_that_can_not_exist_costs_nothing(host: str) -> None:
    """The name can't be looked up, so nothing was sent."""

    async def main() -> tuple[Unreachable, Journal]:
        journal = Journal()
        settings = Settings(
            {"retry_wait_s": 0.001},
            builtin(),
            {"DASHSCOPE_API_KEY": CANARY, "DASHSCOPE_HTTP_BASE_URL": f"https://{host}/api/v1"},
        )
        provider = DashScopeProvider(settings)
        async with provider.session():
            with pytest.raises(Unreachable) as caught:
                await provider.render(request_of(), journal)
        return caught.value, journal

    error, journal = asyncio.run(main())
    assert error.claim == f"can't reach {host}"
    assert journal.kinds == ["intend", "refused"] * (len(journal.kinds) // 2)


ECHOES = {
    "as it is": lambda key: json.dumps(f"Bearer {key}"),
    "JSON escapes": lambda key: '"' + "".join(f"\\u{ord(one):04x}" for one in f"Bearer {key}") + '"',
    "JSON in JSON": lambda key: json.dumps('{"a": "' + "".join(f"\\u{ord(one):04X}" for one in key) + '"}'),
    "base64": lambda key: json.dumps(base64.b64encode(f"Bearer {key}".encode()).decode()),
    "percent": lambda key: json.dumps("".join(f"%{ord(one):02x}" for one in key)),
    "hex": lambda key: json.dumps(key.encode().hex().upper()),
}


@pytest.mark.parametrize("field", ["code", "message", "request_id"])
@pytest.mark.parametrize("form", ECHOES)
def test_a_key_that_an_error_echoes_is_masked(form: str, field: str) -> None:
    """No message has it, in whatever form the server sends it back."""
    fields = {"code": '"InvalidParameter"', "message": '"no"', "request_id": '"r"', field: ECHOES[form](CANARY)}
    body = "{" + ",".join(f'"{name}": {text}' for name, text in fields.items()) + "}"
    error, _, _ = attempt("sync", *[Reply(400, body.encode())] * 9)
    shown = f"{error} {error.code} {error.request_id} {error!r}"
    assert "***" in shown
    assert not Mask(CANARY)._escaped.search(shown)
    for piece in (CANARY, CANARY.encode().hex(), base64.b64encode(f"Bearer {CANARY}".encode()).decode()[12:40]):
        assert piece.lower() not in shown.lower()


def test_a_key_in_what_is_no_http_is_masked() -> None:
    """The library quotes the line that it could not read."""
    error, _, _ = attempt("sync", *[Reply(body=f"Authorization Bearer {CANARY}\r\n\r\n".encode(), fault="raw")] * 9)
    assert CANARY not in f"{error}"
    assert "***" in str(error)


# --- what an answer becomes ---


def asked(*replies: Reply, **more: Any) -> Any:
    """Ask for a task, and return the answer or the error."""

    async def main() -> Any:
        async with Scripted() as server, client_of(server) as client:
            server.ahead_s, server.marked = more.pop("ahead_s", 0.0), more.pop("marked", ())
            server.script["task"].extend(replies)
            try:
                return await client.ask("GET", "/tasks/t", **more)
            except ProviderError as error:
                return error

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None), ("0", 0.0), ("7", 7.0), ("900", 900.0), ("901", 900.0), ("-1", None), ("1.5", None),
        ("\u0665", None), ("soon", None), ("", None),
        ("Tue, 10 Feb 2026 11:38:54 GMT", 30.0), ("Tue, 10 Feb 2026 11:38:24 GMT", 0.0),
        ("Tue, 10 Feb 2026 11:38:23 GMT", 0.0), ("Tue, 10 Feb 2026 12:38:24 GMT", 900.0),
    ],
)  # fmt: skip
def test_the_wait_that_the_service_asks_for(value: str | None, wait_s: float | None) -> None:
    """A number of seconds, or a date by the service's own clock; at most 15 minutes."""
    now_s = datetime(2026, 2, 10, 11, 38, 24, tzinfo=UTC).timestamp()
    assert exchange.retry_after_s(value, now_s) == wait_s


@pytest.mark.parametrize("reply", [fails(429, "Throttling"), Reply(429, b"slow down")], ids=["json", "page"])
def test_the_wait_is_part_of_the_error(reply: Reply) -> None:
    """In an answer of the service as in one of a gateway."""
    error = asked(replace(reply, headers={**reply.headers, "Retry-After": "7"}))
    assert (type(error), error.retry_after_s) == (Throttled, 7.0)


def test_a_date_to_wait_for_is_one_of_the_services_clock() -> None:
    """This machine's clock may be an hour late."""
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=3620), usegmt=True)
    error = asked(fails(429, "Throttling", **{"Retry-After": then}), ahead_s=3600.0)
    assert 0 < error.retry_after_s <= 25


@pytest.mark.parametrize(("headers", "ahead_s"), [({}, 3600.0), ({"Date": "now"}, None), ({"Date": ""}, None)])
def test_how_far_the_services_clock_is_ahead(headers: dict[str, str], ahead_s: float | None) -> None:
    """None if the service does not say."""
    answer = asked(says(200, {"output": {}}, **headers), ahead_s=3600.0)
    assert answer.ahead_s == (None if ahead_s is None else pytest.approx(ahead_s, abs=30))


def test_a_page_that_is_not_there() -> None:
    """It is an error, unless the caller can do with it."""
    missing = fails(404, "NotFound", "no such task")
    assert isinstance(asked(missing), ProviderError)
    assert asked(missing, may_miss=True).status == 404
    assert isinstance(asked(fails(400, "InvalidParameter"), may_miss=True), ProviderError)


def test_a_query_that_the_service_gave_up() -> None:
    """It costs nothing, so it is a fault of the service; the words and the code are the service's."""
    error = asked(fails(500, "RequestTimeOut", "too slow"))
    assert (type(error), error.claim, error.code) == (ServiceFault, "the service did not answer", "RequestTimeOut")
    assert error.facts == ("service says: RequestTimeOut: too slow", "request id: req-failed")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(204), "204 and nothing else"),
        (Reply(200, b"<html>nginx</html>"), "200: nginx"),
        (Reply(300, b"<html>nginx</html>"), "300: nginx"),
        (says(302, {"message": "moved"}, Location="/elsewhere"), "302: moved"),  # it is not followed
        (Reply(404, b"<html>nginx</html>"), "404: nginx"),
    ],
    ids=["204", "200", "300", "302", "404"],
)
def test_an_answer_that_explains_nothing(reply: Reply, said: str) -> None:
    """A page of something in between: the error has its status and words, and what is known about key and region."""
    error = asked(reply)
    assert isinstance(error, ProviderError)
    assert error.facts[0].endswith(f" answered with status {said}")
    if isinstance(error, AccountError):
        assert error.facts[-1] == "key: from a test; keys of other regions don't work here"


@pytest.mark.parametrize("marked", [[], ["task"]])
def test_the_mark_of_an_emulator(marked: list[str]) -> None:
    """The answer says whether it has one."""
    assert asked(marked=marked).is_emulated is bool(marked)


def test_the_query_of_a_request() -> None:
    """It stands in the address; without one there is no question mark."""

    async def main() -> list[tuple[str, dict[str, str]]]:
        async with Scripted() as server, client_of(server) as client:
            await client.ask("GET", "/tasks/", {"page_no": "1", "page_size": "2"})
            await client.ask("POST", "/tasks/t/cancel")
            return [(one.method, dict(one.query)) for one in server.seen]

    assert asyncio.run(main()) == [("GET", {"page_no": "1", "page_size": "2"}), ("POST", {})]


# --- connections ---


@pytest.mark.parametrize(("timeout_s", "short_s"), [(300.0, 60.0), (60.0, 60.0), (5.0, 5.0)])
def test_only_a_render_may_take_long(timeout_s: float, short_s: float) -> None:
    """Other requests take a minute at most."""
    made = Client(Endpoint("http://a.test", "singapore"), ApiKey(CANARY, "a test"), timeout_s)
    assert (made.timeout_s, made.short_s) == (timeout_s, short_s)
    assert made.account == ApiKey(CANARY, "another place").fingerprint


@pytest.mark.parametrize(("whole_s", "connect_s"), [(60.0, 15.0), (30.0, 15.0), (10.0, 5.0)])
def test_how_long_connecting_may_take(whole_s: float, connect_s: float) -> None:
    """TCP and TLS have 15 seconds each, or half of a shorter time; the rest is limited as a whole."""
    assert exchange.timeouts(whole_s) == httpx.Timeout(None, connect=connect_s)


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_a_body_is_sent_as_it_is(interface: str) -> None:
    """In UTF-8, not escaped: a prompt in Chinese stays short. The key goes with it, but never with a download."""
    rendered, _, server = attempt(interface, workspace="ws-7")
    assert rendered.png == PNG
    post, *_, get = server.seen
    assert "猫".encode() in post.body
    assert [one.headers.get("x-dashscope-workspace") for one in (post, get)] == ["ws-7", None]
    assert post.headers["user-agent"] == f"qwenbuild/{__version__}"
    assert post.headers["content-type"] == "application/json; charset=utf-8"
    assert post.headers["authorization"] == f"Bearer {CANARY}"
    assert (get.method, "authorization" in get.headers) == ("GET", False)


def test_cookies_are_not_kept() -> None:
    """A gateway's cookie does not come back to it."""

    async def main() -> list[bool]:
        async with Scripted() as server, client_of(server) as client:
            for _ in range(2):
                await client.ask("GET", "/tasks/t")
                server.script["task"].append(says(200, {"output": {}}))
            server.script["task"].clear()
            server.script["task"].append(says(200, {"output": {}}, **{"Set-Cookie": "id=7; Path=/"}))
            for _ in range(2):
                await client.ask("GET", "/tasks/t")
            return ["cookie" in one.headers for one in server.seen]

    assert asyncio.run(main()) == [False] * 4


def test_a_service_on_this_machine_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy elsewhere could not reach it."""
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    rendered, _, _ = attempt("sync")
    assert rendered.png == PNG


def test_connections_are_kept_for_queries_only() -> None:
    """A server may close a kept connection just as a request that costs money is sent on it."""

    async def main() -> tuple[int, int]:
        served: list[asyncio.Task[None] | None] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.current_task())
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                    await reader.readexactly(int(length[1]) if length else 0)
                    body = b'{"output": {"task_id": "t"}}'
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        endpoint = Endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1", "singapore")
        async with server, Client(endpoint, ApiKey(CANARY, "a test"), 60.0) as client:
            for _ in range(3):
                await client.ask("GET", "/tasks/t")
            queries = len(served)
            for _ in range(3):
                await client.submit_async(wire.async_body(request_of()), lambda: None)
        await asyncio.gather(*filter(None, served))
        return queries, len(served) - queries

    assert asyncio.run(main()) == (1, 3)


def test_the_log_is_filtered_while_the_client_is_open() -> None:
    """Afterwards the loggers are as before."""
    loggers = [logging.getLogger(name) for name in exchange.LOGGERS]
    before = [list(logger.filters) for logger in loggers]

    async def main() -> list[int]:
        async with Client(Endpoint("http://127.0.0.1:9", "singapore"), ApiKey(CANARY, "a test"), 60.0):
            return [len(logger.filters) for logger in loggers]

    assert asyncio.run(main()) == [len(filters) + 1 for filters in before]
    assert [logger.filters for logger in loggers] == before


POST, CONNECT = (SimpleNamespace(method=method) for method in (b"POST", b"CONNECT"))


@pytest.mark.parametrize(
    ("events", "is_unsent", "is_reported"),
    [
        ([], False, False),
        ([("connection.connect_tcp.started", {})], True, False),
        ([("proxy.connect.started", {}), ("socks.setup.started", {})], True, False),
        ([("http11.send_request_headers.started", {"request": POST})], False, False),
        ([("connection.start_tls.complete", {}), ("http2.send_request_headers.started", {"request": POST})], False,
         False),
        ([("http11.send_request_headers.started", {"request": POST}), ("http11.send_request_body.complete", {})],
         False, True),
        ([("http11.send_request_headers.started", {"request": CONNECT}), ("http11.send_request_body.complete", {})],
         True, False),
        ([("http11.send_request_headers.started", {"request": CONNECT}), ("http11.send_request_body.complete", {}),
          ("http11.send_request_headers.started", {"request": POST}), ("http11.send_request_body.complete", {})],
         False, True),
        ([("something.new", {})], False, False),
    ],
)  # fmt: skip
def test_how_far_a_request_has_come(events: list[tuple[str, Any]], is_unsent: bool, is_reported: bool) -> None:
    """While a connection is made, also through a proxy, nothing was sent. What is not known counts as sent."""
    reports: list[bool] = []
    progress = _Progress(lambda: reports.append(True))
    for event, info in events:
        asyncio.run(progress.trace(event, info))
    assert (progress.is_unsent, reports) == (is_unsent, [True] * is_reported)
