"""Downloads: only whole and correct images, only from allowed hosts, and no secrets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from qwenbuild.errors import BadImage
from qwenbuild.providers.dashscope import download
from qwenbuild.providers.dashscope.download import MAX_BYTES, Downloads, Image, LinkDead
from qwenbuild.providers.dashscope.endpoint import Endpoint
from qwenbuild.request import Size
from tests.support.scripted import PNG, Journal, Reply, Scripted, png_of, request_of

PAID = "it was rendered and billed: the next build downloads it again, for 24 hours"
SIGNED = "?Signature=secret-signature&Expires=9999999999"


def fetched(*replies: Reply, path: str = "/result/1.png" + SIGNED) -> tuple[Image | Exception, Scripted]:
    """Download an image; `replies` are the first answers. Return the image or the error, and the server."""

    async def main() -> tuple[Image | Exception, Scripted]:
        async with Scripted() as server, httpx.AsyncClient(trust_env=False) as client:
            server.script["result"].extend(replies)
            downloads = Downloads(client, Endpoint(server.base_url, "singapore"), (), 0.001, 0.3, 60.0)
            try:
                return await downloads.image(f"http://127.0.0.1:{server.port}{path}"), server
            except BadImage as error:
                return error, server

    return asyncio.run(main())


def test_an_image_is_fetched_whole_without_credentials() -> None:
    """The request has no key and no cookie, and asks for no compression."""
    image, server = fetched()
    assert image == Image(PNG, "127.0.0.1")
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "x-dashscope-workspace"} & server.seen[0].headers.keys()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, PNG, fault="cut"), Reply(fault="drop"), Reply(fault="hang"), Reply(200, PNG[:-20]), Reply(200, b""),
        Reply(200, PNG[:500] + bytes(200) + PNG[700:]), Reply(200, b"<html>"),
        Reply(500), Reply(503), Reply(403, b"<Error>AccessDenied</Error>"), Reply(404),
        Reply(403, b"Request has expired."),
        Reply(200, PNG, {"Content-Encoding": "gzip"}),
    ],
    ids=["cut", "drop", "hang", "truncated", "empty", "corrupt", "html", "500", "503", "403", "404", "expired",
         "gzip"],
)  # fmt: skip
def test_a_failed_download_is_repeated(reply: Reply) -> None:
    """Another download is free. Only a whole image is returned."""
    image, server = fetched(reply, reply)
    assert image == Image(PNG, "127.0.0.1")
    assert len(server.seen) == 3


def test_an_image_that_stays_bad_is_reported_as_billed() -> None:
    """After five attempts, the error says that a later build can still download the image."""
    error, server = fetched(*[Reply(200, b"<html>")] * 5)
    assert type(error) is BadImage
    assert error.facts == (
        "found: a web page or XML: an error page?", "length: 6 bytes", "downloaded from 127.0.0.1", PAID,
    )  # fmt: skip
    assert len(server.seen) == 5


def test_an_image_of_any_size_is_returned() -> None:
    """It is paid for, and another download gives the same: the builder decides what becomes of it."""
    other = png_of(Size(928, 1664))
    image, server = fetched(Reply(200, other))
    assert image == Image(other, "127.0.0.1")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("reply", "claim", "fact"),
    [
        (Reply(500), "127.0.0.1 did not deliver the image", "status 500"),
        (Reply(206, b"a part"), "127.0.0.1 did not deliver the image", "status 206: a part"),
        (Reply(500, b"expired"), "127.0.0.1 did not deliver the image", "status 500: expired"),
        (Reply(403, b"not you"), "127.0.0.1 did not deliver the image", "status 403: not you"),
        (
            Reply(200, PNG, {"Content-Encoding": "gzip"}),
            "127.0.0.1 sent the image compressed",
            "Content-Encoding: gzip",
        ),
        (
            Reply(302, b"", {"Location": "/result/1.png"}),
            "the image could not be downloaded from 127.0.0.1",
            "it redirects again and again",
        ),
        (
            Reply(302, b"", {"Location": "http://localhost/x"}),
            "the image's link redirects to another host, which was not followed",
            "from 127.0.0.1 to localhost",
        ),
        (
            Reply(302, b"", {"Location": "http://["}),
            "the image's link redirects to another host, which was not followed",
            "from 127.0.0.1 to nowhere",
        ),
        (
            Reply(fault="drop"),
            "the image could not be downloaded from 127.0.0.1",
            "RemoteProtocolError: Server disconnected without sending a response.",
        ),
    ],
)
def test_why_a_download_failed(reply: Reply, claim: str, fact: str) -> None:
    """The error says what came instead of the image, that the image is paid for, and what to do."""
    error, _ = fetched(*[reply] * 20)
    assert type(error) is BadImage
    assert (error.claim, error.facts) == (claim, (fact, PAID))
    is_answer = fact.startswith("status ")
    answered = "build again later; if the answer stays the same, ask whoever runs 127.0.0.1"
    assert error.hint == (answered if is_answer else "is the network in order? Build again")


def test_an_image_may_be_as_large_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte more is too much."""
    monkeypatch.setattr(download, "MAX_BYTES", len(PNG))
    assert fetched()[0] == Image(PNG, "127.0.0.1")
    monkeypatch.setattr(download, "MAX_BYTES", len(PNG) - 1)
    error, _ = fetched()
    assert isinstance(error, BadImage)
    assert (error.claim, error.facts) == (
        "127.0.0.1 sent more than an image can be", (f"more than {len(PNG) - 1:,} bytes", PAID)
    )  # fmt: skip


def test_the_limits_of_a_download() -> None:
    """Connecting may take 15 seconds, and a silence `read_s`; nothing waits for another download's connection."""
    seen: list[httpx.Request] = []

    async def body() -> AsyncIterator[bytes]:
        yield PNG

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=body())

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await Downloads(client, Endpoint("http://a.test", "singapore"), (), 0.001, 0.3, 60.0).image(
                "http://a.test/1.png"
            )

    asyncio.run(main())
    [request] = seen
    assert request.extensions["timeout"] == {"connect": 15.0, "read": 0.3, "write": 0.3, "pool": None}


@pytest.mark.parametrize(
    ("reply", "path", "tries"),
    [
        (Reply(403, b"<Error><Message>Request has expired.</Message></Error>"), "/result/1.png" + SIGNED, 5),
        (Reply(404, b"<Code>NoSuchKey</Code>"), "/result/1.png" + SIGNED, 5),
        (Reply(410), "/result/1.png" + SIGNED, 5),
        (Reply(403, b"\xffExpired"), "/result/1.png", 5),
        (Reply(403, b"no"), "/result/1.png?Expires=1700000000", 1),
    ],
)
def test_a_dead_link_is_recognised(reply: Reply, path: str, tries: int) -> None:
    """A link is dead if the storage says so in each attempt, or if the link's expiry time is over."""
    error, server = fetched(*[reply] * 5, path=path)
    assert isinstance(error, LinkDead)
    assert len(server.seen) == tries
    assert error.claim == "127.0.0.1 says that the image's link is dead"
    assert error.facts[0].startswith(f"status {reply.status}")


@pytest.mark.parametrize(
    ("status", "query"),
    [
        (500, "?Expires=1700000000"),
        (403, "?Expires=9999999999"),
        (403, "?Expires=%D9%A1"),
        (403, "?Expires=now"),
        (403, ""),
    ],
)
def test_a_link_that_may_still_work(status: int, query: str) -> None:
    """Without a time in ASCII digits that is over, a refusal says nothing about the link."""
    error, server = fetched(*[Reply(status, b"no")] * 5, path=f"/result/1.png{query}")
    assert (type(error), len(server.seen)) == (BadImage, 5)


def test_a_redirect_within_the_host_is_followed() -> None:
    """Scheme, host and port must stay the same."""
    image, server = fetched(Reply(302, b"", {"Location": "/result/moved.png"}))
    assert image == Image(PNG, "127.0.0.1")
    assert [one.path for one in server.seen] == ["/result/1.png", "/result/moved.png"]


@pytest.mark.parametrize(
    "location", ["http://localhost:8/x", "http://127.0.0.1:1/x", "https://127.0.0.1/x", "//evil.test/x", "http://[", "file:///etc/passwd"]
)  # fmt: skip
def test_a_redirect_to_another_host_is_not_followed(location: str) -> None:
    """Nothing is sent to a host that the link does not name."""
    replies = [Reply(302, b"", {"Location": location})] * 5
    error, server = fetched(*replies)
    assert isinstance(error, BadImage)
    assert error.claim == "the image's link redirects to another host, which was not followed"
    assert {one.path for one in server.seen} == {"/result/1.png"}


def test_endless_redirects_end() -> None:
    """A loop of redirects within the host is stopped."""
    error, server = fetched(*[Reply(302, b"", {"Location": "/result/1.png"})] * 20)
    assert isinstance(error, BadImage)
    assert len(server.seen) == 20


def test_an_endless_body_is_stopped() -> None:
    """The download ends at the most bytes that an image can have."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
        try:
            for _ in range(MAX_BYTES // 2**20 + 64):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, httpx.AsyncClient(trust_env=False) as client:
            endpoint = Endpoint(f"http://127.0.0.1:{port}", "singapore")
            await Downloads(client, endpoint, (), 0.001, 5.0, 60.0)._fetch(f"http://127.0.0.1:{port}/x")

    with pytest.raises(BadImage, match="sent more than an image can be"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://dashscope-result-sh.oss-cn-shanghai.aliyuncs.com/x.png?Expires=1", True),
        ("https://images.example.com/x.png", True),
        ("https://images.example.com:443/x.png", True),
        ("http://dashscope-result-sh.oss-cn-shanghai.aliyuncs.com/x.png", True),
        ("http://images.example.com:80/x.png", True),
        ("https://dashscope-result-sh.oss-cn-shanghai.aliyuncs.com:8443/x.png", False),
        ("https://aliyuncs.com.evil.test/x.png", False),
        ("https://evilaliyuncs.com/x.png", False),
        ("https://aliyuncs.com/x.png", False),
        ("https://user:pw@images.example.com/x.png", False),
        ("https://user@images.example.com/x.png", False),
        ("https://:pw@images.example.com/x.png", False),
        ("ftp://images.example.com/x.png", False),
        ("https://images.example.com@evil.test/x.png", False),
        ("https://sub.images.example.com/x.png", False),
        ("https://169.254.169.254/latest", False),
        ("file:///etc/passwd", False),
        ("https://[::1", False),
        ("https://images.example.com:x/", False),
        ("", False),
        ("http://127.0.0.1:8000/x.png", True),
        ("http://127.0.0.1:8001/x.png", False),
        ("http://localhost:8000/x.png", False),
    ],
)
def test_images_come_only_from_allowed_hosts(url: str, is_allowed: bool) -> None:
    """Allowed are a listed host, always over https, and the service's own address. The error does not show the link."""

    async def main() -> Exception | str:
        async with httpx.AsyncClient() as client:
            hosts = ("*.aliyuncs.com", "images.example.com")
            downloads = Downloads(
                client, Endpoint("http://127.0.0.1:8000/api/v1", "singapore"), hosts, 0.001, 0.3, 60.0
            )
            try:
                return downloads._allowed(url).geturl()
            except BadImage as error:
                return error

    found = asyncio.run(main())
    if is_allowed:
        own = "http://127.0.0.1:8000/"
        assert found == url.replace("http://", "https://").replace(":443", "").replace(":80/", "/").replace(
            own.replace("http:", "https:"), own
        )
    else:
        assert "link" in str(found)
        assert "latest" not in str(found)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://a.aliyuncs.com/x", "its scheme is ftp, not https"),
        ("data:image/png;base64,AAAA", "it begins with data:"),
        ("/x.png", "it names no host"),
        ("https://x.aliyuncs.com:99999/a.png", "it is no address: Port out of range 0-65535"),
        ("https://é" + "x" * 70 + ".aliyuncs.com/a.png", "it is no address"),
        ("https://a.aliyuncs.com/\x01.png", "it is no address"),
        ("https://user:canary@a.aliyuncs.com/x", "it holds a user name or a password"),
        ("https://a.aliyuncs.com:8443/x", "it leads to port 8443 of a.aliyuncs.com"),
    ],
)
def test_the_message_says_what_is_wrong_with_a_link(url: str, said: str) -> None:
    """Nothing is sent, and nothing is a mistake in the provider."""
    error = asyncio.run(_refused(url))
    why, paid = error.facts
    assert (error.claim, paid) == ("the image's link can't be used", PAID)
    assert error.hint == "a gateway in between may have changed the link: ask who runs it, then build again"
    assert why.startswith(said)
    assert len(why) < 130
    assert "canary" not in str(error)


@pytest.mark.parametrize("scheme", ["", "https:"])
def test_the_message_says_how_to_allow_a_host(scheme: str) -> None:
    """The user copies the line into the config."""
    error = asyncio.run(_refused(f"{scheme}//evil.example/x"))
    assert (error.claim, error.facts) == (
        "the image's link leads to a host that is not allowed", ("host: evil.example", PAID)
    )  # fmt: skip
    assert error.hint == (
        'allow the host: [providers.dashscope] download_hosts = ["*.aliyuncs.com", "evil.example"]'
    )  # fmt: skip


def test_the_message_says_why_a_link_is_dead() -> None:
    """The storage's own words are there, as in other failures."""
    error, _ = fetched(*[Reply(404, b"<Code>NoSuchKey</Code>")] * 5)
    assert isinstance(error, LinkDead)
    assert (error.claim, error.facts) == (
        "127.0.0.1 says that the image's link is dead", ("status 404: NoSuchKey",)
    )  # fmt: skip
    silent, _ = fetched(*[Reply(404)] * 5)
    assert isinstance(silent, LinkDead)
    assert silent.facts == ("status 404",)


async def _refused(url: str) -> BadImage:
    endpoint = Endpoint("http://127.0.0.1:8000/api/v1", "singapore")
    async with httpx.AsyncClient() as client:
        with pytest.raises(BadImage) as caught:
            await Downloads(client, endpoint, ("*.aliyuncs.com",), 0.001, 0.3, 60.0).image(url)
    return caught.value


@pytest.mark.parametrize("around", ["\n", " ", "\r\n\t"])
def test_white_space_around_a_link_means_nothing(around: str) -> None:
    """Gateways and templates leave it there."""
    image, _ = fetched(path="/result/1.png" + around)
    assert image == Image(PNG, "127.0.0.1")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<Error><Code>AccessDenied</Code><Message>You have no right.</Message></Error>",
         "status 403: AccessDenied: You have no right."),
        ("<html><body>拒绝访问 /x?Signature=canary</body></html>".encode("gb18030"), "status 403: 拒绝访问 /x"),
        (b"", "status 403"),
    ],
)  # fmt: skip
def test_the_storages_own_words_are_shown(body: bytes, said: str) -> None:
    """They say who has to change what."""
    error, _ = fetched(*[Reply(403, body)] * 5)
    assert said in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("base_url", "url", "fact"),
    [
        ("http://gateway.test/v1", "http://gateway.test:80/x.png", ""),
        ("http://gateway.test:80/v1", "http://gateway.test/x.png", ""),
        ("https://gateway.test/v1", "https://gateway.test:443/x.png", ""),
        ("https://gateway.test:443/v1", "https://gateway.test/x.png", ""),
        ("https://gateway.test/v1", "http://gateway.test/x.png", "host: gateway.test"),
        ("http://gateway.test/v1", "https://gateway.test/x.png", "host: gateway.test"),
        ("http://gateway.test/v1", "https://gateway.test:80/x.png", "it leads to port 80 of gateway.test"),
        ("http://gateway.test/v1", "http://gateway.test:443/x.png", "it leads to port 443 of gateway.test"),
    ],
)
def test_the_services_own_address(base_url: str, url: str, fact: str) -> None:
    """Scheme, host and port are the same; a port may be left out. For other addresses the error says why."""

    async def main() -> None:
        async with httpx.AsyncClient() as client:
            Downloads(client, Endpoint(base_url, "singapore"), (), 0.001, 0.3, 60.0)._allowed(url)

    if not fact:
        asyncio.run(main())
        return
    with pytest.raises(BadImage) as caught:
        asyncio.run(main())
    assert caught.value.facts == (fact, PAID)


def test_a_forbidden_link_is_tried_once() -> None:
    """Another attempt changes nothing."""

    async def main() -> int:
        async with Scripted() as server, httpx.AsyncClient(trust_env=False) as client:
            downloads = Downloads(client, Endpoint("https://a.test", "singapore"), (), 0.001, 0.3, 60.0)
            with pytest.raises(BadImage, match="link can't be used"):
                await downloads.image(f"http://127.0.0.1:{server.port}/result/1.png")
            return len(server.seen)

    assert asyncio.run(main()) == 0


def test_an_image_on_a_forbidden_host_can_be_collected_later() -> None:
    """The link is recorded first. Once the host is allowed, a later build downloads the image."""

    async def main() -> tuple[Journal, bytes]:
        journal = Journal()
        async with Scripted() as service, Scripted() as storage:
            answer = service._sync(service.seen[0] if service.seen else None, "")  # type: ignore[arg-type]
            body = answer.body.replace(str(service.port).encode(), str(storage.port).encode())
            service.script["sync"].append(Reply(200, body, answer.headers))
            async with (provider := service.provider()).session():
                with pytest.raises(BadImage, match="link can't be used"):
                    await provider.render(request_of(), journal)
            async with (later := storage.provider()).session():
                rendered = await later.collect(journal.submission(request_of()), Journal())
        return journal, rendered.png

    journal, image = asyncio.run(main())
    assert journal.kinds == ["intend", "accepted"]
    assert image == PNG


def test_a_signed_link_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """In httpx's log, links appear without their signature."""
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        async with Scripted() as server, (provider := server.provider()).session():
            await provider.render(request_of(), Journal())

    asyncio.run(main())
    logged = [record.getMessage() for record in caplog.records]
    assert any("/result/1.png" in line for line in logged)
    assert not any("secret-signature" in line for line in logged)


def test_a_slow_download_is_stopped() -> None:
    """A server that sends single bytes can't hold a render longer than `whole_s`, redirects included."""

    async def main() -> tuple[BadImage, int]:
        async with Scripted() as server, httpx.AsyncClient(trust_env=False) as client:
            moved = Reply(302, b"", {"Location": "/result/moved.png"})
            server.script["result"].extend([moved, Reply(fault="drip")])
            downloads = Downloads(client, Endpoint(server.base_url, "singapore"), (), 0.001, 5.0, 0.5)
            with pytest.raises(BadImage) as caught:
                await downloads._fetch(f"http://127.0.0.1:{server.port}/result/1.png")
            return caught.value, len(server.seen)

    error, requests = asyncio.run(main())
    assert (error.claim, error.facts[0], requests) == (
        "the image could not be downloaded from 127.0.0.1", "not complete after 0.5 s", 2
    )  # fmt: skip
