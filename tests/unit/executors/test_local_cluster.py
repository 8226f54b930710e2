"""A local cluster: what it does if it can't start. `tests/e2e/test_dask.py` builds on one."""

from __future__ import annotations

import asyncio

import pytest

from qwenbuild.errors import ExecutorError
from qwenbuild.executors import local_cluster


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(1)", "it ended"),
        ("""print('{"error": "No space left on device"}')""", "No space left on device"),
        ("import time; time.sleep(60)", "it was not ready within 0.2 s"),
    ],
)
def test_a_cluster_that_does_not_start(monkeypatch: pytest.MonkeyPatch, program: str, why: str) -> None:
    """The error says why; no process is left."""
    monkeypatch.setattr(local_cluster, "_PROGRAM", program)
    if "sleep" in program:
        monkeypatch.setattr(local_cluster, "_STARTING_S", 0.2)
        monkeypatch.setattr(local_cluster, "_STOPPING_S", 0.1)

    async def start() -> None:
        async with local_cluster.running():
            pass

    with pytest.raises(ExecutorError) as caught:
        asyncio.run(start())
    assert str(caught.value) == (
        f"error: no local cluster could be started: {why}\n"
        "  = hint: free some space or memory, or build in this process: --executor local"
    )
