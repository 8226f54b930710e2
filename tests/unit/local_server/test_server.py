from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from qwenbuild.errors import UsageError
from qwenbuild.local_server.server import LocalServer


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that says hello."""
    await PlainTextResponse("hello")(scope, receive, send)


def served(server: LocalServer, talk: Callable[[httpx.AsyncClient, str], Awaitable[Any]]) -> Any:
    """Return what `talk` returns while `server` serves `hello`."""

    async def run() -> Any:
        async with (
            server.serving(hello, lambda: None) as origin,
            httpx.AsyncClient(trust_env=False, verify=False) as client,
        ):
            return await talk(client, origin)

    return asyncio.run(run())


def status(server: LocalServer, **headers: str) -> int:
    """Return the status of one GET with these headers; `{port}` stands for the server's port."""

    async def talk(client: httpx.AsyncClient, origin: str) -> int:
        port = origin.rpartition(":")[2]
        sent = {name: value.format(port=port) for name, value in headers.items()}
        return (await client.get(origin, headers=sent)).status_code

    code: int = served(server, talk)
    return code


def test_the_server_answers_while_the_context_lasts() -> None:
    """The server answers as soon as its origin is yielded, until the context ends."""
    origins: list[str] = []

    async def talk(client: httpx.AsyncClient, origin: str) -> str:
        origins.append(origin)
        return (await client.get(origin)).text

    assert served(LocalServer(), talk) == "hello"
    assert origins[0].startswith("http://127.0.0.1:")
    with pytest.raises(httpx.ConnectError):
        httpx.get(origins[0], trust_env=False, verify=False)


def test_stopping_is_called_before_the_server_waits_for_calls_in_flight() -> None:
    """`stopping` can end a call that would not end by itself."""
    arrived, closing = asyncio.Event(), asyncio.Event()

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await closing.wait()
        await PlainTextResponse("closed")(scope, receive, send)

    async def run() -> str:
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            async with LocalServer().serving(patient, closing.set) as origin:
                call = asyncio.create_task(client.get(origin))
                await arrived.wait()
            return (await call).text

    assert asyncio.run(run()) == "closed"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("127.0.0.1:1", 403), ("evil.example:{port}", 403)],
)
def test_a_loopback_server_answers_only_to_its_own_address(host: str, expected: int) -> None:
    """`Host` must be a loopback name with the server's port."""
    assert status(LocalServer(), Host=host) == expected


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1:1", 200), ("localhost", 200), ("evil.example", 403)])
def test_other_ports_are_accepted_if_asked_for(host: str, expected: int) -> None:
    """With `any_port`, another port in `Host` is accepted, because a container or a tunnel may map ports."""
    assert status(LocalServer(any_port=True), Host=host) == expected


def test_beyond_loopback_every_name_is_accepted_and_foreign_pages_are_not() -> None:
    """A server at all addresses can't know its own names, so any `Host` is accepted. Foreign Origins are refused."""
    assert status(LocalServer("0.0.0.0", any_port=True), Host="build.example") == 200
    assert status(LocalServer("0.0.0.0", any_port=True), Host="build.example", Origin="https://evil.example") == 403


def test_a_call_in_flight_has_a_connection_and_a_closed_one_has_none() -> None:
    """`connection` finds an open connection by the client's address, and returns None for a closed connection."""
    server = LocalServer()
    seen: list[bool] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(server.connection(scope) is not None)
        seen.append(server.connection({**scope, "client": ("127.0.0.1", 1)}) is not None)
        await PlainTextResponse("seen")(scope, receive, send)

    async def run() -> None:
        async with (
            server.serving(look, lambda: None) as origin,
            httpx.AsyncClient(trust_env=False, verify=False) as client,
        ):
            await client.get(origin)

    asyncio.run(run())
    assert seen == [True, False]


def test_a_port_that_is_in_use_is_an_error() -> None:
    """The message names host, port and reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            status(LocalServer(port=port))
    assert str(caught.value) == (
        f"error: can't listen at 127.0.0.1, port {port}: Address already in use\n  = hint: --port 0 takes any free port"
    )


def test_the_next_port_is_taken_if_one_may() -> None:
    """With `or_next`, a port in use is no error: the server listens on a later one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def talk(client: httpx.AsyncClient, origin: str) -> int:
            assert (await client.get(origin)).text == "hello"
            return int(origin.rpartition(":")[2])

        assert served(LocalServer(port=port, or_next=True), talk) != port
    assert served(LocalServer(port=port, or_next=True), talk) == port


def test_any_free_port_is_taken_if_there_is_no_next_one() -> None:
    """After the last port of all, any free one is taken."""
    with socket.create_server(("127.0.0.1", 65535)):
        assert status(LocalServer(port=65535, or_next=True)) == 200


async def begins(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that begins an answer and does not end it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await asyncio.Event().wait()


def test_bytes_after_a_request_print_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed. Without the handler of errors, asyncio prints a traceback."""

    async def run() -> bytes:
        async with LocalServer().serving(begins, lambda: None) as origin:
            host, _, port = origin.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
            writer.write(b"extra")
            await asyncio.wait_for(reader.read(), 60)  # until the server closes the connection
            writer.close()
            return line

    assert asyncio.run(run()).startswith(b"HTTP/1.1 200")
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_other_errors_are_still_printed() -> None:
    """The handler that was set before gets them, and is set again afterwards."""
    seen: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            seen.append(context["message"])

        loop.set_exception_handler(note)
        async with LocalServer().serving(hello, lambda: None):
            loop.call_exception_handler({"message": "another", "protocol": object()})
        assert loop.get_exception_handler() is note

    asyncio.run(run())
    assert seen == ["another"]
