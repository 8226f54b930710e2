"""The executor for Dask, on a cluster in this process: results, errors, workers that differ, no scheduler."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from qwenbuild.errors import BadImage, ExecutorError, ProviderError, Unreachable, UsageError
from qwenbuild.executor import SLOTS, Place, Tls
from qwenbuild.executors import dask, likeness
from qwenbuild.executors.dask import DaskExecutor
from qwenbuild.problems import Problem
from tests.support.clusters import cluster as cluster

_T = TypeVar("_T")


def on(address: str, act: Callable[[DaskExecutor], Awaitable[_T]], told: list[Problem] | None = None) -> _T:
    """Return what `act` returns inside the executor's context."""

    async def run() -> _T:
        executor = DaskExecutor(Place(address), (told if told is not None else []).append)
        async with executor.running():
            return await act(executor)

    return asyncio.run(run())


def add(one: int, two: int) -> tuple[int, int]:
    return one + two, SLOTS.get()


def fail(error: Exception) -> None:
    raise error


def test_tasks_are_done_side_by_side(cluster: str) -> None:
    """Each call returns what its task returned. A task knows how many run in its process."""

    async def act(executor: DaskExecutor) -> list[tuple[int, int]]:
        return await asyncio.gather(*(executor.do(add, at, at) for at in range(20)))

    told: list[Problem] = []
    assert (on(cluster, act, told), told) == ([(2 * at, 1) for at in range(20)], [])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadImage("no image", facts=["0 bytes"]), "error: no image\n  = 0 bytes"),
        (Unreachable("no server", hint="start it"), "error: no server\n  = at the worker tcp://W\n  = hint: start it"),
        (UsageError("wrong setting", hint="set it"), "error: wrong setting\n  = hint: set it"),
    ],
)
def test_an_error_of_a_task_comes_back(cluster: str, error: Exception, text: str) -> None:
    """With facts and hint, and with its class if it is about an image. What ends the build names the worker."""
    with pytest.raises(ProviderError) as caught:
        on(cluster, lambda executor: executor.do(fail, error))
    assert re.sub(r"127\.0\.0\.1:\d+", "W", str(caught.value)) == text
    assert isinstance(caught.value, type(error)) or isinstance(error, UsageError)


def test_a_full_disk_names_the_worker(cluster: str) -> None:
    """It is not this machine's disk."""
    with pytest.raises(ProviderError) as caught:
        on(cluster, lambda executor: executor.do(fail, OSError(28, "No space left on device")))
    assert str(caught.value).startswith("error: the disk of the worker tcp://127.0.0.1:")
    assert str(caught.value).endswith(
        " is full\n  = hint: free some space there, or stop the worker, and build again: nothing that was made is lost"
    )


def test_a_worker_that_breaks(cluster: str) -> None:
    """Any exception becomes an error with its text."""
    with pytest.raises(ProviderError, match=r"a worker of .* failed: KeyError: 'x'"):
        on(cluster, lambda executor: executor.do(fail, KeyError("x")))
    with pytest.raises(ExecutorError, match="can't run qwenbuild"):
        on(cluster, lambda executor: executor.do(fail, ModuleNotFoundError("No module named 'qwenbuild'")))


def test_a_worker_that_differs(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it does any work, the error names what each machine has; also if the worker comes late."""
    mine = {**likeness.here(), "Pillow": "1.0"}
    real = likeness.here()["Pillow"]
    lines = [
        f"  = Pillow: 1.0 here, {real} there",
        "  = hint: install the same versions on both machines: python -m pip install 'qwenbuild[dask]==",
    ]

    async def late(executor: DaskExecutor) -> None:
        executor._likeness = mine
        await executor.do(add, 1, 1)

    async def early(executor: DaskExecutor) -> None:
        executor._likeness = mine
        await executor._check_workers()

    for act in (late, early):
        with pytest.raises(ExecutorError) as caught:
            on(cluster, act)
        claim, *rest = str(caught.value).splitlines()
        assert claim.endswith("may make other bytes than this machine")
        assert [found[: len(line)] for found, line in zip(rest, lines, strict=True)] == lines


def test_a_resource_that_no_worker_has(cluster: str) -> None:
    """The build says so, and how to start such workers; the task waits. Cancelling it ends the wait."""
    told: list[Problem] = []

    async def act(executor: DaskExecutor) -> None:
        waiting = asyncio.create_task(executor.do(add, 1, 1, needs="GPU"))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert done == set()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    on(cluster, act, told)
    assert [problem.claim.partition(" of ")[0] for problem in told] == ["no worker"]
    assert told[0].hint == 'start workers with `dask worker ADDRESS --resources "GPU=1"`'


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once, and again each time that the last worker has gone."""
    from distributed import LocalCluster

    monkeypatch.setattr(dask, "_LOOK_S", 0.01)
    told: list[Problem] = []

    async def act(executor: DaskExecutor) -> None:
        first = asyncio.create_task(executor.do(add, 1, 1))
        await asyncio.sleep(0.1)
        assert len(told) == 1
        running.scale(1)
        assert await first == (2, 1)
        while executor._is_waiting:  # noqa: ASYNC110 - nothing tells when a look has ended
            await asyncio.sleep(0.01)
        running.scale(0)
        while len(told) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, host="127.0.0.1", protocol="tcp://",
        dashboard_address="127.0.0.1:0", silence_logs="CRITICAL",
    ) as running:  # fmt: skip
        on(running.scheduler_address, act, told)
        claim = f"the cluster of {running.scheduler_address} has no worker: the work waits for one"
    assert [problem.claim for problem in told] == [claim, claim]


def test_a_worker_that_hangs_holds_up_nothing(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other workers do the work."""
    monkeypatch.setattr(dask, "_COMPARE_S", 0.1)
    monkeypatch.setattr("distributed.Client.run", lambda *_, **__: asyncio.Event().wait())
    assert on(cluster, lambda executor: executor.do(add, 1, 1)) == (2, 1)


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers, or what answers is no scheduler, or there are no certificates."""
    monkeypatch.setattr(dask, "_CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address in ("tcp://127.0.0.1:9", f"tcp://127.0.0.1:{silent.getsockname()[1]}"):
            with pytest.raises(ExecutorError) as caught:
                on(address, lambda executor: executor.do(add, 1, 1))
            assert caught.value.claim == f"no Dask scheduler answers at {address}"
    with pytest.raises(ExecutorError) as caught:
        on("tls://127.0.0.1:9", lambda executor: executor.do(add, 1, 1))
    place = Place("tls://127.0.0.1:9", Tls("a\n", "missing.pem", "b\n"))
    with pytest.raises(ExecutorError, match=r"the certificate or key missing\.pem can't be read"):
        dask._security(place)
    assert caught.value.facts == ('tls:// needs certificates: [executor] tls = { ca = "…", cert = "…", key = "…" }',)


def test_no_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message says how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ExecutorError) as caught:
        on("tcp://127.0.0.1:9", lambda executor: executor.do(add, 1, 1))
    assert caught.value.claim == "Dask is not installed"
    assert str(caught.value.hint).endswith("-m pip install 'qwenbuild[dask]'")
