"""A local cluster: a Dask scheduler and a worker for each processor, in processes of this machine.

A process of its own starts them and ends with its input, so the cluster never outlives the build. It has a session of
its own, because Ctrl-C in a terminal reaches each process of a session, and workers would die of it. All connections
use TLS with a certificate that is made anew: other users of the machine can't give work to the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from qwenbuild.errors import ExecutorError
from qwenbuild.executor import Place, Tls

_PROGRAM = f"from {__name__} import serve; serve()"
_STARTING_S = 60.0
_STOPPING_S = 10.0


@asynccontextmanager
async def running() -> AsyncIterator[Place]:
    """Start a cluster, and end it with the context. Yields the scheduler's address. Raises ExecutorError."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", _PROGRAM, stdin=pipe, stdout=pipe, stderr=none, limit=1 << 20, **apart
    )
    try:
        yield await _place(process)
    except asyncio.CancelledError:  # the user does not want to wait
        _kill(process)
        raise
    finally:
        await _end(process)


async def _place(process: asyncio.subprocess.Process) -> Place:
    assert process.stdout is not None
    why = "it ended"
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _STARTING_S)
        if line:
            found = json.loads(line)
            if "address" in found:
                return Place(found["address"], Tls(found["ca"], found["cert"], found["key"]))
            why = str(found["error"])
    except TimeoutError:
        why = f"it was not ready within {_STARTING_S:g} s"
    hint = "free some space or memory, or build in this process: --executor local"
    raise ExecutorError(f"no local cluster could be started: {why}", hint=hint)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the cluster, by force if it takes long."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _STOPPING_S)
    except TimeoutError:
        _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """End the process at once. The workers see that their parent is gone, and end, too."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def serve() -> None:
    """Run a cluster until standard input ends; tell the address in one line. This is what the process runs."""
    with open(0, "rb") as into, open(1, "wb") as out:

        def say(**facts: str | None) -> None:
            out.write(json.dumps(facts).encode() + b"\n")
            out.flush()

        try:
            from distributed import LocalCluster, Security

            security: Any = Security.temporary()
            with LocalCluster(
                n_workers=os.cpu_count() or 1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                security=security, silence_logs="CRITICAL",
            ) as cluster:  # fmt: skip
                say(address=cluster.scheduler_address, ca=security.tls_ca_file, cert=security.tls_client_cert,
                    key=security.tls_client_key)  # fmt: skip
                into.read()
        except Exception as error:  # such as a full disk
            say(error=str(error) or type(error).__name__)
