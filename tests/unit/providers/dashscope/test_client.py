"""The client: when a request counts as sent, failed connections, and answers that can't be read."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from qwenbuild.catalogue import builtin
from qwenbuild.emulator.server import Running
from qwenbuild.errors import AnswerLost, ProviderError, ServiceFault, Unreachable, UsageError
from qwenbuild.provider import Settings
from qwenbuild.providers.dashscope import wire
from qwenbuild.providers.dashscope.client import Client
from qwenbuild.providers.dashscope.credentials import ApiKey
from qwenbuild.providers.dashscope.endpoint import Endpoint
from qwenbuild.providers.dashscope.masking import Mask
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from tests.support.scripted import CANARY, PNG, TRUSTED, Journal, Reply, Scripted, attempt, fails, request_of

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
    assert error.facts[0].startswith("TLS: ConnectError: [SSL: ")
    assert "SSL_CERT_FILE" in (error.hint or "")
    assert journal.kinds == ["intend", "refused"]


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of a server with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
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
    assert variable in (caught.value.hint or "")


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
    found, journal, _ = attempt("sync", Reply(200, b"[" * (9 * 2**20)))
    assert type(found) is AnswerLost
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


def test_a_handshake_that_never_ends_costs_nothing() -> None:
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
                await client.submit_sync(wire.sync_body(request_of()), lambda: None)
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


def test_the_signature_of_a_link_and_an_echoed_key_are_never_logged() -> None:
    """Also if the record has other arguments than httpx's."""
    own = Client(Endpoint("https://example.test", "singapore"), ApiKey(CANARY, "a test"), 60.0)
    url = httpx.URL("https://example.test/1.png?Signature=secret")
    record = logging.makeLogRecord({"msg": "%s %s %s %d", "args": ("GET", url, f"reason {CANARY}", 7)})
    assert own._hide_secrets(record)
    assert record.getMessage() == "GET https://example.test/1.png reason *** 7"
    other = logging.makeLogRecord({"msg": f"%(a)s [(b'X-Echo', b'{CANARY}')]", "args": ({"a": 1},)})
    other.args = {"a": 1}
    assert own._hide_secrets(other)
    assert other.getMessage() == "1 [(b'X-Echo', b'***')]"


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
