"""Two machines share a remote cache: they get the same bytes, pay once, and survive any answer of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.digest import sha256
from qwenbuild.emulator.server import Running
from qwenbuild.storage import lock
from qwenbuild.trust import TRUST_ENV
from tests.support.caches import NGINX, Cache, nginx

from .harness import Sandbox
from .studio import Studio, cards

pytest_plugins = ("tests.support.emulated",)

TOKEN, SECRET = "tok-canary-9d3f", "sec-canary-71ba"


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache().running() as running:
        yield running


def machine(first: Sandbox, name: str, *, locked: bool = True) -> Sandbox:
    """Return another machine: a checkout of the first machine's project, with its own store."""
    root = first.root.with_name(name)
    left = [".qwenbuild", "out", *([] if locked else [lock.NAME])]
    shutil.copytree(first.root, root, ignore=shutil.ignore_patterns(*left))
    return Sandbox(root, root.with_name(f"{name}-store"), dict(first.extra))


def team(folder: Path, emulator: Running, url: str, count: int = 3, more: str = "") -> Studio:
    made = Studio.make(folder, emulator, cards(count), config=f'[remote]\nurl = "{url}"\n{more}')
    made.extra[TRUST_ENV] = "1"
    return made


@pytest.mark.parametrize("locked", [True, False])
def test_two_machines_pay_once(emulator: Running, tmp_path: Path, cache: Cache, locked: bool) -> None:
    """The second machine restores what the first rendered, byte by byte, with the lock and without."""
    first = team(tmp_path, emulator, cache.url)
    assert first.here("build").code == 0
    assert (len(cache.names("ac")), len(cache.names("cas"))) == (3, 6)
    second = machine(first, "second", locked=locked)
    plan = second.here("plan")
    assert plan.out.count("in the remote cache") == 3
    assert "3 to restore" in plan.out
    assert "cost" not in plan.out
    assert second.build_here()["restored"] == 3
    assert second.outputs() == first.outputs()
    assert emulator.bill()["count"] == 3
    assert (second.root / lock.NAME).read_bytes() == (first.root / lock.NAME).read_bytes()


@pytest.mark.skipif(NGINX is None, reason="left out: no nginx is installed (see .ci/run)")
def test_nginx(emulator: Running, tmp_path: Path) -> None:
    """The real nginx with WebDAV works as a remote for builds, pushes and pulls."""
    with nginx(tmp_path / "nginx") as url:
        first = team(tmp_path, emulator, f"{url}/some/folder")
        assert first.here("build").code == 0
        second = machine(first, "second")
        assert second.here("cache", "status").out.splitlines()[1:] == [
            "       use  read and write",
            "    images  3 of 3 are there",
        ]
        assert second.here("cache", "pull").out == "3 images pulled, 0 were already in the store\n"
        assert second.here("cache", "push").out == "0 images pushed, 3 were already there\n"
        assert second.here("build", "--no-remote", "--json").finished["restored"] == 3
        assert second.outputs() == first.outputs()
    assert emulator.bill()["count"] == 3


def test_the_protocol(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """Blobs are stored before their entry, with length and type; entries are requested as JSON."""
    first = team(
        tmp_path, emulator, cache.url, 1, 'token_env = "QWENBUILD_REMOTE_TOKEN"\nheader = { X-Team = "posters" }\n'
    )
    first.extra["QWENBUILD_REMOTE_TOKEN"] = TOKEN
    assert first.here("build").code == 0
    puts = [it for it in cache.headers if it["method"] == "PUT"]
    assert [it["path"].split("/")[1] for it in puts] == ["cas", "cas", "ac"]
    for it in puts:
        assert int(it["Content-Length"]) == len(cache.files[it["path"][1:]])
        assert "Transfer-Encoding" not in it
    assert puts[-1]["Content-Type"] == "application/json"
    assert all(it["X-Team"] == "posters" and it["Authorization"] == f"Bearer {TOKEN}" for it in cache.headers)
    asked = next(it for it in cache.headers if it["method"] == "GET")
    assert (asked["path"][:4], asked["Accept"]) == ("/ac/", "application/json")
    for name, content in cache.files.items():
        if name.startswith("cas/"):
            assert sha256(content) == name[4:]
    [result] = [json.loads(content) for name, content in cache.files.items() if name.startswith("ac/")]
    assert [file["path"] for file in result["outputFiles"]] == ["image.png", "provenance.json"]


def test_the_lock_wins_and_its_bytes_come_from_the_remote(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """Two machines that both rendered a request end with the bytes that the committed lock pins."""
    first = team(tmp_path, emulator, cache.url, 2)
    second = machine(first, "second")
    assert first.here("build").code == 0
    assert second.here("build", "--no-remote").code == 0
    assert second.outputs() != first.outputs()
    shutil.copy(first.root / lock.NAME, second.root)
    assert second.build_here()["restored"] == 2
    assert second.outputs() == first.outputs()
    assert emulator.bill()["count"] == 4


def test_cutting_the_remote_off_leaves_pins_missing(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """If the remote lost an image that the lock pins, the build does not pay for it again."""
    first = team(tmp_path, emulator, cache.url, 2)
    assert first.here("build").code == 0
    for name in cache.names("cas"):
        del cache.files[f"cas/{name}"]
    second = machine(first, "second")
    ran = second.here("build")
    assert ran.code == 3
    assert "2 missing" in ran.err
    assert emulator.bill()["count"] == 2


def test_signatures(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """With a secret, entries that are unsigned, wrongly signed, or signed for another request are not used."""
    more = 'secret_env = "QWENBUILD_REMOTE_SECRET"\n'
    first = team(tmp_path, emulator, cache.url, 2, more)
    first.extra["QWENBUILD_REMOTE_SECRET"] = SECRET
    assert first.here("build").code == 0
    for name in cache.names("ac"):
        paths = [file["path"] for file in json.loads(cache.files[f"ac/{name}"])["outputFiles"]]
        assert paths == ["image.png", "provenance.json", "signature.hmac-sha256"]
    trusting = machine(first, "trusting", locked=False)
    assert "2 to restore" in trusting.here("plan").out

    one, other = (f"ac/{name}" for name in cache.names("ac"))
    cache.files[one], cache.files[other] = cache.files[other], cache.files[one]
    swapped = trusting.here("plan")
    assert "2 to render" in swapped.out
    assert "an entry without a valid signature; the answer is ignored" in swapped.err
    cache.files[one], cache.files[other] = cache.files[other], cache.files[one]
    trusting.extra["QWENBUILD_REMOTE_SECRET"] = "another"
    assert "2 to render" in trusting.here("plan").out
    trusting.extra["QWENBUILD_REMOTE_SECRET"] = ""  # as in the build of a stranger's pull request
    unverified = trusting.here("plan")
    assert "2 to restore" in unverified.out
    assert "can't be verified: QWENBUILD_REMOTE_SECRET is empty" in unverified.err
    before = dict(cache.files)
    trusting.edit("specs/cards.toml", "card", "kard")
    assert trusting.here("build").code == 0
    assert cache.files == before


@pytest.mark.parametrize("why", ["read_only", "no token"])
def test_reading_only(emulator: Running, tmp_path: Path, cache: Cache, why: str) -> None:
    """A read-only remote, or one without its token, is read but not written."""
    more = "read_only = true\n" if why == "read_only" else 'token_env = "QWENBUILD_REMOTE_TOKEN"\n'
    first = team(tmp_path, emulator, cache.url, 1, more)
    assert first.here("build").code == 0
    assert cache.calls["PUT"] == 0
    assert cache.calls["GET"] == 2  # for the image of the service, and for that of the emulator
    refused = first.here("cache", "push")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: this remote cache is read-only")


def truncated(handler: BaseHTTPRequestHandler, path: str, content: bytes) -> bool:
    if handler.command != "GET" or not content:
        return False
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True
    return True


def wrong_bytes(handler: Any, path: str, content: bytes) -> bool:
    if handler.command != "GET" or not path.startswith("cas/"):
        return False
    handler.answer(200, content[::-1])
    return True


def server_error(handler: Any, path: str, content: bytes) -> bool:
    handler.answer(500, b"oops")
    return True


def dropped(handler: BaseHTTPRequestHandler, path: str, content: bytes) -> bool:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def evicted(handler: Any, path: str, content: bytes) -> bool:
    if handler.command == "PUT" or not path.startswith("cas/"):
        return False
    handler.answer(404)
    return True


def html(handler: Any, path: str, content: bytes) -> bool:
    handler.answer(200, b"<!doctype html><title>Sign in</title>", **{"Content-Type": "text/html"})
    return True


def redirected(handler: Any, path: str, content: bytes) -> bool:
    handler.answer(302, Location="http://127.0.0.1:9/elsewhere")
    return True


def endless(handler: BaseHTTPRequestHandler, path: str, content: bytes) -> bool:
    if handler.command != "GET":
        return False
    handler.send_response(200)
    handler.end_headers()
    block = b"x" * 65536
    with contextlib.suppress(OSError):
        for _ in range(2000):
            handler.wfile.write(block)
    handler.close_connection = True
    return True


@pytest.mark.parametrize("fault", [
    truncated, wrong_bytes, server_error, dropped, evicted, html, redirected, endless,
])  # fmt: skip
def test_faults_are_misses(emulator: Running, tmp_path: Path, cache: Cache, fault: Any) -> None:
    """With any fault of the remote the build succeeds, no image is wrong, and nothing is paid for twice."""
    first = team(tmp_path, emulator, cache.url, 4)
    assert first.here("build").code == 0
    second = machine(first, "second", locked=False)
    cache.fault = fault
    ran = second.here("build")
    assert ran.code == 0, ran.err
    assert ran.err.count("warning:") <= 2
    assert ("warning:" in ran.err) == (fault is not evicted)
    assert emulator.bill()["count"] == 8
    cache.fault = None
    second.build_nothing()
    third = machine(first, "third")
    assert third.here("build").code == 0
    assert third.outputs() == first.outputs()
    assert emulator.bill()["count"] == 8


def test_a_remote_that_hangs_costs_little_time(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """A build waits only once for a remote that never answers, however many images there are."""

    def hang(handler: Any, path: str, content: bytes) -> bool:
        cache.closing.wait()
        handler.close_connection = True
        return True

    first = team(tmp_path, emulator, cache.url, 40)
    cache.fault = hang
    begun = time.monotonic()
    ran = first.here("build")
    assert ran.code == 0
    assert ran.err.count("warning:") == 1
    assert "does not answer" in ran.err
    assert time.monotonic() - begun < 40
    assert cache.calls["GET"] <= 16


def test_a_remote_that_is_not_there(emulator: Running, tmp_path: Path) -> None:
    """If the remote refuses connections, the build warns once and continues."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    first = team(tmp_path, emulator, f"http://127.0.0.1:{port}", 5)
    ran = first.here("build")
    assert ran.code == 0
    assert ran.err.count("warning:") == 1
    assert f"warning: the remote cache is not read: http://127.0.0.1:{port} can't be reached" in ran.err
    assert first.here("build", "--locked").code == 0
    status = first.here("cache", "status")
    assert status.code != 0
    assert "can't be reached" in status.err


def test_the_token_is_nowhere(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """Token, secret and password appear in no output and no file, also after failures."""
    config = 'token_env = "QWENBUILD_REMOTE_TOKEN"\nsecret_env = "QWENBUILD_REMOTE_SECRET"\n'
    first = team(tmp_path, emulator, cache.url.replace("http://", "http://user:pass-canary@"), 2, config)
    first.extra |= {"QWENBUILD_REMOTE_TOKEN": TOKEN, "QWENBUILD_REMOTE_SECRET": SECRET}
    said = ""
    for fault in (None, server_error, dropped):
        cache.fault = fault
        first.edit("specs/cards.toml", "card", "card ")
        for command in (["build"], ["build", "--json"], ["plan"], ["cache", "status"], ["doctor"]):
            ran = first.here(*command)
            said += ran.out + ran.err
    found = [path for path in first.root.parent.rglob("*") if path.is_file() and path.name != "qwenbuild.toml"]
    texts = [said.encode(), *(path.read_bytes() for path in found)]
    for canary in (TOKEN, SECRET, "pass-canary"):
        assert not [text for text in texts if canary.encode() in text]


def test_a_url_that_is_none(sandbox: Sandbox) -> None:
    """A URL that can't be one of a remote is a usage error."""
    for url in ("ftp://x/y", "nonsense", "http://", "http:///x"):
        ran = sandbox.here("build", "--remote", url)
        assert ran.code == 2, url
        assert ran.err.startswith("error: ")


def test_two_writers_keep_one_image(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """Two machines that render the same request at once get the same image when they share a lock."""
    first = team(tmp_path, emulator, cache.url, 2)
    second = machine(first, "second")
    with first.popen("build") as one, second.popen("build") as two:
        one.communicate()
        two.communicate()
    assert (one.returncode, two.returncode) == (0, 0)
    third = machine(first, "third")
    assert third.here("build", "--locked").code == 0
    assert third.outputs() == first.outputs()
    shutil.copy(first.root / lock.NAME, second.root)
    assert second.here("build", "--locked").code == 0
    assert second.outputs() == first.outputs()
    assert emulator.bill()["count"] <= 4


@pytest.mark.parametrize("locked", [True, False])
def test_a_trouble_that_passes(emulator: Running, tmp_path: Path, cache: Cache, locked: bool) -> None:
    """A request that fails once is sent again, because a miss would be paid for."""
    first = team(tmp_path, emulator, cache.url)
    first.here("build")
    failed: set[tuple[str, str]] = set()

    def stumble(call: Any, path: str, content: bytes) -> bool:
        if (call.command, path) in failed:
            return False
        failed.add((call.command, path))
        if path.startswith("ac/"):
            call.answer(503)
        else:
            call.close_connection = True  # in the middle of an answer
            call.send_response(200)
            call.send_header("Content-Length", str(len(content)))
            call.end_headers()
            call.wfile.write(content[:100])
        return True

    cache.fault = stumble
    second = machine(first, "second", locked=locked)
    ran = second.here("build", "--json")
    assert (ran.code, ran.finished["rendered"], ran.finished["restored"], ran.err) == (0, 0, 3, "")
    assert [event["event"] for event in ran.events].count("warned") == 0
    assert second.outputs() == first.outputs()


def test_a_store_that_can_not_be_written(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """`cache pull` ends with the store's error if nothing can be written to it."""
    first = team(tmp_path, emulator, cache.url)
    first.here("build")
    second = machine(first, "second")
    second.store.mkdir()
    (second.store / "cas").write_text("in the way", "utf-8")
    ran = second.here("cache", "pull")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("the store can't be written: something else is in a folder's place") == 1


def test_what_is_here_is_not_asked_for(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """A build, a plan and a report that need nothing send no request to the remote."""
    studio = team(tmp_path, emulator, cache.url)
    studio.here("build")
    before = sum(cache.calls.values())
    shutil.rmtree(studio.root / "out")
    for command in ("plan", "status", "report", "build"):
        assert studio.here(command).code == 0
    assert len(studio.outputs()) == 3
    assert sum(cache.calls.values()) == before


@pytest.mark.parametrize("key", ["token_env", "secret_env"])
def test_no_other_secret_is_sent(sandbox: Sandbox, cache: Cache, key: str) -> None:
    """A config can name only variables of remotes, never the one of the service's key."""
    sandbox.write(
        {"qwenbuild.toml": f'provider = "null"\n[remote]\nurl = "{cache.url}"\n{key} = "DASHSCOPE_API_KEY"\n'}
    )
    sandbox.extra |= {"DASHSCOPE_API_KEY": "sk-canary", TRUST_ENV: "1"}
    ran = sandbox.here("build")
    assert ran.code == 2
    assert "QWENBUILD_REMOTE_" in ran.err
    assert cache.headers == []


def test_the_token_is_for_its_own_remote(emulator: Running, tmp_path: Path, cache: Cache) -> None:
    """The config's token and headers are not sent to another remote."""
    more = 'token_env = "QWENBUILD_REMOTE_TOKEN"\nheader = { X-Team = "posters" }\n'
    first = team(tmp_path, emulator, "http://127.0.0.1:9", 1, more)
    first.extra["QWENBUILD_REMOTE_TOKEN"] = TOKEN
    assert first.here("build", "--remote", cache.url).code == 0
    assert [it for it in cache.headers if "Authorization" in it or "X-Team" in it] == []
    assert len(cache.names("ac")) == 1
