"""The executor: what `--executor` and `[executor]` may say."""

from __future__ import annotations

import pytest

from qwenbuild.executor import LOCAL, Place, address_fault, address_of, ask

SCHEDULER = "the address of a scheduler is tls://HOST:PORT, or tcp://HOST:PORT on this machine"
PLAIN = "tcp:// is neither encrypted nor guarded; a scheduler on another machine needs tls://"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("local", ""),
        ("dask=local", LOCAL),
        ("dask=tls://scheduler:8786", "tls://scheduler:8786"),
        ("dask=tcp://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("dask=tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("dask=tcp://localhost:8786/", "tcp://localhost:8786/"),
    ],
)
def test_an_address_is_read(text: str, address: str) -> None:
    """`local` is this machine alone; all else names a cluster."""
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "dask", "ray=local", "tls://scheduler:8786", "Dask=local"])
def test_what_names_no_executor_is_refused(text: str) -> None:
    """Only Dask is known."""
    with pytest.raises(ValueError, match="it is none of dask=ADDRESS, dask=local and local"):
        address_of(text)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("tcp://10.0.0.7:8786", PLAIN),
        ("tcp://0.0.0.0:8786", PLAIN),
        ("tcp://127.0.0.1.evil.example:8786", PLAIN),
        ("scheduler:8786", SCHEDULER),
        ("tls://scheduler", SCHEDULER),
        ("tls://:8786", SCHEDULER),
        ("ws://127.0.0.1:8786", SCHEDULER),
        ("inproc://127.0.0.1/1/2", SCHEDULER),
        ("tls://scheduler:port", "it is no address"),
        ("tls://[::1:8786", "it is no address"),
    ],
)
def test_what_is_no_safe_address_is_refused(address: str, fault: str) -> None:
    """Beyond this machine, only TLS is accepted: a scheduler runs what anybody sends it."""
    assert address_fault(address) == fault


def test_a_cluster_has_a_name() -> None:
    """Messages say where it is, and show no password."""
    assert Place(LOCAL).name == "a cluster of this machine"
    assert Place("tls://me:secret@scheduler:8786").name == "the cluster of tls://scheduler:8786"


def test_a_project_asks_for_a_cluster() -> None:
    """Whoever approves it knows that code runs on this machine."""
    item = ask("tls://scheduler.example:8786")
    assert (item.kind, item.value) == ("executors", "tls://scheduler.example:8786")
    assert str(item) == (
        "prompts would go to tls://scheduler.example:8786, and what answers there can run code on this machine "
        "([executor] dask)"
    )
