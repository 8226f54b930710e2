"""Builds on Dask clusters of real processes, which are killed while they work."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.caches import Cache
from tests.support.clusters import Processes

from .harness import Sandbox

pytestmark = pytest.mark.slow

CARDS = """\
model = "qwen-image-2.0"

[image.card]
prompt = "a card"
size = "512*512"
matrix = { seed = { start = 1, count = 40 } }
"""
CONFIG = """\
provider = "null"

[providers.null]
latency_s = 0.05

[executor]
dask = "{address}"
tls = {{ ca = "{tls.ca}", cert = "{tls.cert}", key = "{tls.key}" }}
"""


@pytest.fixture
def cards(tmp_path: Path) -> Sandbox:
    """A project of 40 images that take a twentieth of a second each."""
    root = tmp_path / "project"
    root.mkdir()
    return Sandbox(root, tmp_path / "store").write({"specs/s.toml": CARDS, "qwenbuild.toml": 'provider = "null"\n'})


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache().running() as running:
        yield running


def wait_until(is_done: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_workers_and_schedulers_are_killed(cards: Sandbox, cache: Cache, tmp_path: Path) -> None:
    """A worker dies: all images are there, each stored once, none wrong. The scheduler dies: nothing is lost."""
    other = Sandbox(tmp_path / "here", tmp_path / "other-store").write({"specs/s.toml": CARDS})
    other.write({"qwenbuild.toml": 'provider = "null"\n'})
    assert other.here("build").code == 0
    with Processes(tmp_path, cards.environ) as cluster:
        cards.write({"qwenbuild.toml": CONFIG.format(address=cluster.address, tls=cluster.tls)})
        first, _ = cluster.worker(), cluster.worker()
        build = cards.popen("--trust-project", "--remote", cache.url)
        wait_until(lambda: len(cache.names("ac")) >= 6)
        first.kill()
        out, err = build.communicate(timeout=60)
        assert build.returncode == 0, out + err
        assert cards.outputs() == other.outputs()
        stored = Counter(it["path"] for it in cache.headers if it["method"] == "PUT")
        assert {path: count for path, count in stored.items() if path.startswith("/ac/") and count != 1} == {}
        assert len(cache.names("ac")) == 40

        cards.edit("specs/s.toml", "a card", "another card")
        build = cards.popen("--trust-project", "--no-remote")
        wait_until(lambda: len([*cards.store.glob("ac/*/*")]) >= 46)
        cluster.scheduler.kill()
        out, err = build.communicate(timeout=60)
        assert build.returncode == 1
        assert f"the connection to the cluster of {cluster.address} was lost" in err
        assert "start the scheduler again, then build again: nothing that was made is lost" in err
    again = cards.here("build", "--json", "--trust-project", "--executor", "local").finished
    assert (again["failed"], again["rendered"] + again["up_to_date"] + again["restored"]) == (0, 40)
    assert again["rendered"] <= 34


def refusal(port: int) -> str:
    """Return why a server refuses a connection with TLS but without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5) as plain, context.wrap_socket(plain) as connection:
            return repr(connection.recv(1))
    except (ssl.SSLError, OSError) as error:
        return str(getattr(error, "reason", error))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_a_local_cluster(cards: Sandbox, times: int) -> None:
    """The first one ends the build after what came back, the second one at once. No process is left.

    While the cluster lives, it listens on loopback alone, and takes work only with a certificate.
    """
    cards.write({"qwenbuild.toml": 'provider = "null"\n[providers.null]\nlatency_s = 0.5\n'})
    build = cards.popen("--executor", "dask=local", start_new_session=True)
    wait_until(lambda: len(cards.stamps()) >= 1)
    left = psutil.Process(build.pid).children(recursive=True)
    listening = [it.laddr for one in left for it in one.net_connections("tcp") if it.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    why = [refusal(address.port) for address in {it.port: it for it in listening}.values()]
    assert why.count("TLSV13_ALERT_CERTIFICATE_REQUIRED") >= 1 + (os.cpu_count() or 1)  # scheduler and workers
    for _ in range(times):
        os.killpg(build.pid, signal.SIGINT)
    out, err = build.communicate(timeout=60)
    assert build.returncode == 130
    assert "Traceback" not in out + err
    assert "interrupted" in err
    _, alive = psutil.wait_procs(left, timeout=20)
    assert (len(left) > 2, alive) == (True, [])
    assert cards.here("build").code == 0
