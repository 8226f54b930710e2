"""Trouble around a build at the service: keys, networks, unreadable answers, clocks and disks."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running

from .studio import KEY, Studio, be_sole_user, cards, stored_images, unresolved

pytest_plugins = ("tests.support.emulated",)

MALFORMED = {
    '"sk-canary"': "is in quotes",
    "Bearer sk-canary": 'begins with "Bearer": leave that out',
    " sk-canary": "has spaces or line ends around it",
    "sk-cänary": "has characters that no key has (not ASCII)",
}


def test_a_read_only_store_costs_nothing(emulator: Running, tmp_path: Path) -> None:
    """An image that could not be stored is not bought."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.extra["QWENBUILD_CACHE_DIR"] = "/proc/qwenbuild"
    ran = studio.here("build")
    assert (ran.code, "the store can't be written" in ran.err, "2 skipped" in ran.err) == (1, True, True)
    assert (emulator.bill()["count"], studio.submissions) == (0, [])


def test_no_key(emulator: Running, tmp_path: Path) -> None:
    """A build without a key says where it looked and what to do. A plan needs no key."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    del studio.extra["DASHSCOPE_API_KEY"]
    assert studio.here("plan").code == 0
    ran = studio.here("build")
    assert ran.code == 1
    assert "no API key for the dashscope provider" in ran.err
    assert f"looked at: DASHSCOPE_API_KEY, DASHSCOPE_API_KEY_FILE_PATH, {tmp_path}/.dashscope/api_key" in ran.err
    assert "`--provider draft` renders without one" in ran.err
    assert ran.err.count("no API key") == 1
    assert studio.submissions == []
    (tmp_path / ".dashscope").mkdir()
    (tmp_path / ".dashscope" / "api_key").write_text("sk-in-a-file\n")
    assert studio.here("build").code == 0


@pytest.mark.parametrize("key", MALFORMED)
def test_a_malformed_key(emulator: Running, tmp_path: Path, key: str) -> None:
    """The error says what is wrong with the key, and does not show it."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    studio.extra["DASHSCOPE_API_KEY"] = key
    ran = studio.here("build")
    assert ran.code == 1
    assert f"the API key in DASHSCOPE_API_KEY {MALFORMED[key]}" in ran.err
    assert "nary" not in ran.err + ran.out
    assert emulator.requests() == []


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://dashscope.example.com/api/v1", "is plain http: the network could read the key"),
        ("https://user:secret@dashscope.example.com/api/v1", "holds a user name or password"),
        ("ftp://127.0.0.1/api/v1", "is not the URL of a service"),
        ("https://[::1/api/v1", "is not a URL"),
    ],
)
def test_an_invalid_base_url(emulator: Running, tmp_path: Path, url: str, wrong: str) -> None:
    """This is a mistake in the settings: exit code 2, before a plan is made."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    studio.extra["DASHSCOPE_HTTP_BASE_URL"] = url
    ran = studio.here("build")
    assert (ran.code, ran.out) == (2, "")
    assert f"DASHSCOPE_HTTP_BASE_URL {wrong}" in ran.err
    assert "secret" not in ran.err


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_an_unreachable_service(emulator: Running, tmp_path: Path, closed_port: int, interface: str) -> None:
    """The run stops. Images can be rendered later, and requests in flight stay in flight."""
    studio = Studio.make(tmp_path, emulator, cards(30), interface=f'"{interface}"', max_concurrency="2")
    studio.build_inside(where=["no=00[0-4]"], detach=True)
    away = f"http://127.0.0.1:{closed_port}/api/v1"
    studio.extra.update({"DASHSCOPE_HTTP_BASE_URL": away, "DASHSCOPE_BASE_URL": away})
    ran = studio.here("build", "-w", "no=02*")
    assert ran.code == 1
    assert f"can't reach 127.0.0.1:{closed_port}" in ran.err
    assert "nothing was sent: ConnectError" in ran.err
    assert "is the network up, and the base URL right? Build again later: finished images are kept" in ran.err
    assert len(studio.submissions) == 5
    studio.extra.update(emulator.environment(KEY))
    last = studio.build_inside()
    assert (last.finished.reattached, last.finished.rendered) == (5, 25)
    studio.audit()


def test_no_secure_connection(emulator: Running, tmp_path: Path) -> None:
    """A server without TLS is reported at once, with a hint."""
    studio = Studio.make(tmp_path, emulator, cards(8), max_concurrency="2")
    url = emulator.base_url.replace("http:", "https:")
    studio.extra.update({"DASHSCOPE_HTTP_BASE_URL": url, "DASHSCOPE_BASE_URL": url})
    ran = studio.here("build")
    assert ran.code == 1
    assert "no secure connection to 127.0.0.1" in ran.err
    assert "TLS: " in ran.err
    assert "set SSL_CERT_FILE to its CA bundle" in ran.err
    assert studio.submissions == []


def test_a_page_of_a_proxy(emulator: Running, tmp_path: Path) -> None:
    """If a proxy answers instead of the service, its page is quoted and nothing is sent again."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    emulator.inject("html-after:sync")
    ran = studio.here("build")
    assert ran.code == 1
    assert "answered with status 502: 502 Bad Gateway" in ran.err
    assert len(unresolved(studio.build_inside())) == 1
    assert emulator.bill()["count"] == studio.calls("sync") == 1


def test_half_of_an_answer(emulator: Running, tmp_path: Path) -> None:
    """Incomplete JSON is a lost answer. An async task is found among a sole user's tasks by the same build."""
    be_sole_user()
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    emulator.inject("garbage:create", "garbage:list:1", "missing:poll:2")
    assert studio.build_inside().finished.reattached == 2
    studio.audit()


@pytest.mark.parametrize("ahead_s", [-7200, 7200])
def test_a_clock_that_is_wrong_by_hours(emulator: Running, tmp_path: Path, ahead_s: int) -> None:
    """A sole user's tasks are found by the service's clock, which its answers show."""
    be_sole_user()
    studio = Studio.make(tmp_path, emulator, cards(2), interface='"async"')
    emulator.advance(ahead_s)
    emulator.inject("drop-after:create", "hang-before:list")
    studio.kill_when(lambda: studio.calls("list"))
    emulator.inject()
    assert studio.build_inside().finished.reattached == 2
    studio.audit()


def limit_files(pid: int, most_bytes: int) -> None:
    """Let a process write no file larger than `most_bytes`, as if the disk were full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_a_full_disk_when_paid_images_arrive(emulator: Running, tmp_path: Path, interface: str) -> None:
    """The run stops, and nothing is bought again: once the disk has space, the next build collects."""
    studio = Studio.make(tmp_path, emulator, cards(20), interface=f'"{interface}"', max_concurrency="3")
    emulator.inject("slow=0.7:download")
    with studio.started("build", "--json") as process:
        # Three requests at once, and three images that are being downloaded.
        studio.wait(lambda: studio.calls("download") == 6, process)
        limit_files(process.pid, 100)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode == 1
    assert "the store can't be written: its disk or quota is full" in out
    assert "make room there" in out
    assert stored_images(studio.store) == 0
    assert list((studio.store / "tmp").glob("*.tmp")) == []
    emulator.inject()
    last = studio.build_inside()
    assert (last.finished.reattached, last.finished.rendered) == (6, 14)
    studio.audit()


def test_a_full_disk_before_a_result_is_recorded(emulator: Running, tmp_path: Path) -> None:
    """If the link of an image can't be recorded, the image is downloaded and stored at once."""
    studio = Studio.make(tmp_path, emulator, cards(20), max_concurrency="3")
    studio.build_inside(where=["no=019"])  # creates the store's folders
    emulator.inject("slow=0.7:sync")
    wal = studio.store / "ledger" / "ledger.sqlite3-wal"
    with studio.started("build", "--json") as process:
        studio.wait(lambda: studio.calls("sync") == 4, process)
        limit_files(process.pid, wal.stat().st_size)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode in (1, 2)
    assert "ledger.sqlite3" in out
    assert "check that its disk has free space" in out
    assert emulator.bill()["count"] == 4
    assert stored_images(studio.store) == 4
    emulator.inject()
    last = studio.build_inside()
    assert (last.finished.unknown, last.finished.rendered) == (0, 16)
    studio.audit()


def test_a_full_disk_before_anything_is_sent(emulator: Running, tmp_path: Path) -> None:
    """A request that can't be recorded is not sent."""
    studio = Studio.make(tmp_path, emulator, cards(2), submits='"10/minute"')  # 6 s apart: nothing is in flight
    with studio.started("build", "--json") as process:
        studio.wait(studio.outputs, process)
        limit_files(process.pid, 1000)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode in (1, 2)
    assert "state.sqlite3" in out
    assert emulator.bill()["count"] == studio.calls("sync") == 1
    last = studio.build_inside()
    assert last.finished.unknown == 0
    studio.audit()


def test_a_store_that_is_a_file(emulator: Running, tmp_path: Path) -> None:
    """An unreadable store is an error before anything is bought. A read-only store stops the run."""
    studio = Studio.make(tmp_path, emulator, cards(20), max_concurrency="2")
    studio.store.write_bytes(b"")
    ran = studio.here("build")
    assert ran.code == 1
    assert "the store can't be read: something else is in a folder's place" in ran.err
    assert emulator.requests() == []
    studio.store.unlink()
    studio.store.mkdir()
    (studio.store / "tmp").write_bytes(b"")
    ran = studio.here("build")
    assert ran.code == 1
    assert "the store can't be written: something else is in a folder's place" in ran.err
    assert studio.calls("sync") <= 4
    paid = emulator.bill()["count"]
    (studio.store / "tmp").unlink()
    last = studio.build_inside()
    assert (last.finished.reattached, last.finished.rendered) == (paid, 20 - paid)
    studio.audit()


def test_an_output_folder_that_is_a_file(emulator: Running, tmp_path: Path) -> None:
    """A paid image that can't be written to `out/` is in the store, and the next build restores it."""
    studio = Studio.make(tmp_path, emulator, cards(3))
    studio.write({"out/cards": ""})
    ran = studio.here("build")
    assert ran.code == 1
    assert "the image itself is safe in the store" in ran.err
    (studio.root / "out" / "cards").unlink()
    last = studio.build_inside()
    assert last.finished.restored == 3
    studio.audit()
