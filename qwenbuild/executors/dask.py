"""The executor for Dask: does tasks on the workers of a Dask cluster, and turns the faults of a cluster into errors.

Dask repeats a task whose worker died, and may do so although the task had ended. Before a worker does its first task,
its likeness is compared with this machine's.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import logging
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any, Final, TypeVar
from uuid import uuid4

from qwenbuild.errors import ExecutorError, ProviderError, QwenbuildError
from qwenbuild.executor import LOCAL, SLOTS, Place
from qwenbuild.problems import Problem
from qwenbuild.version import __version__

from . import likeness

_T = TypeVar("_T")

EXTRA: Final = "qwenbuild[dask]"
_CONNECT_S: Final = 10.0
_CLOSE_S: Final = 2.0
_COMPARE_S: Final = 10.0  # a worker that hangs does not answer; each worker is compared again with its first task
_LOOK_S: Final = 5.0  # between two looks at the workers
_HERE: Final = "`--executor local` makes the images on this machine"
_LOGGERS: Final = ("distributed", "distributed.client", "distributed.core", "distributed.comm", "distributed.utils",
                   "tornado.application")  # fmt: skip


class DaskExecutor:
    """Does tasks on the cluster of a place. `tell` gets warnings."""

    def __init__(self, place: Place, tell: Callable[[Problem], None]) -> None:
        self.name, self._place, self._tell = place.name, place, tell
        self._client: Any = None
        self._likeness: Mapping[str, str] = {}
        self._prefix, self._numbers = f"qwenbuild-{uuid4().hex}", count()
        self._is_waiting = False  # the user knows that there is no worker
        self._asked: set[str] = set()  # resources of workers that were looked for

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """See `Executor.running`. A local cluster is started, and ended with the context."""
        await asyncio.to_thread(_library)
        self._likeness = await asyncio.to_thread(likeness.here)
        async with AsyncExitStack() as stack:
            place = self._place
            if place.address == LOCAL:
                from . import local_cluster

                place = await stack.enter_async_context(local_cluster.running())
            self._client = await stack.enter_async_context(self._connected(place))
            await self._check_workers()
            watch = asyncio.create_task(self._watch())
            stack.callback(watch.cancel)
            yield

    @asynccontextmanager
    async def _connected(self, place: Place) -> AsyncIterator[Any]:
        from distributed import Client

        client: Any = None
        try:
            client = Client(
                place.address, asynchronous=True, security=_security(place), timeout=_CONNECT_S,
                set_as_default=False, direct_to_workers=False, name="qwenbuild",
            )  # fmt: skip
            async with asyncio.timeout(_CONNECT_S):  # Dask waits for a silent server without an end
                await client
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
            facts = [line for line in [str(error).strip().partition("\n")[0]] if line]
            hint = f"start the scheduler, or check the certificates; {_HERE}"
            raise ExecutorError(
                f"no Dask scheduler answers at {place.address}", facts=facts, hint=hint, name="executor-unreachable"
            ) from None
        else:
            yield client
        finally:
            with contextlib.suppress(Exception):  # it may be closed already, or the scheduler is gone
                await client.close(timeout=_CLOSE_S)

    async def _check_workers(self) -> None:
        """Raise ExecutorError if a present worker can't make the same bytes; warn if there is no worker."""
        try:
            async with asyncio.timeout(_COMPARE_S):
                found = await self._client.run(likeness.here, on_error="return")
        except TimeoutError:
            return
        if not found:
            self._tell_of_wait()
        for address, theirs in sorted(found.items()):
            if isinstance(theirs, Exception):
                raise _unable(address, theirs)
            if differences := likeness.differences(self._likeness, theirs):
                raise _unlike(address, differences)

    async def _watch(self) -> None:
        """Warn each time that the last worker has gone."""
        while True:
            await asyncio.sleep(_LOOK_S)
            with contextlib.suppress(OSError):  # the tasks tell that the scheduler is gone
                are_there = bool((await self._client.scheduler.identity(n_workers=1))["workers"])
                if are_there:
                    self._is_waiting = False
                elif not self._is_waiting:
                    self._tell_of_wait()

    def _tell_of_wait(self) -> None:
        self._is_waiting = True
        claim = f"{self.name} has no worker: the work waits for one"
        self._tell(Problem(claim, hint=f"start one; {_HERE}", name="executor-waiting"))

    async def do(self, task: Callable[..., _T], *arguments: object, needs: str = "") -> _T:
        """See `Executor.do`."""
        if needs and needs not in self._asked:
            self._asked.add(needs)
            await self._look_for(needs)
        try:
            call = pickle.dumps(_Call(self._likeness, task, arguments))
            future = self._client.submit(
                pickle.loads, call, key=f"{self._prefix}-{next(self._numbers)}", pure=False,
                resources={needs: 1} if needs else None,
            )  # fmt: skip
            result: _T = await future
        except QwenbuildError:
            raise
        except concurrent.futures.CancelledError as error:
            raise self._lost(error) from None
        except Exception as error:
            raise self._fault(error) from error
        return result

    async def _look_for(self, resource: str) -> None:
        """Warn if no worker has a resource."""
        known = await self._client.scheduler.identity(n_workers=-1)
        workers = known["workers"].values()
        if workers and not any(worker["resources"].get(resource) for worker in workers):
            hint = f'start workers with `dask worker ADDRESS --resources "{resource}=1"`'
            claim = f"no worker of {self.name} has the resource {resource}: the work waits for one"
            self._tell(Problem(claim, hint=hint, name="executor-waiting"))

    def _lost(self, error: BaseException) -> ExecutorError:
        return ExecutorError(
            f"the connection to {self.name} was lost", facts=[str(error).partition("\n")[0]],
            hint=f"start the scheduler again, then build again: nothing that was made is lost; {_HERE}",
            name="executor-unreachable",
        )  # fmt: skip

    def _fault(self, error: Exception) -> ProviderError:
        """Return the error of a task that failed for a reason which is not the task's own."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            last = getattr(error.last_worker, "address", "")
            return ProviderError(
                "the workers that tried to make the image died",
                facts=[f"the last one: {last}"] if last else [],
                hint="it may need more memory than a worker has; the logs of the workers tell why they died",
                name="worker-failed",
            )  # fmt: skip
        if isinstance(error, ImportError):
            return _unable("", error)
        if isinstance(error, OSError) and self._client.status != "running":
            return self._lost(error)
        return ProviderError(
            f"a worker of {self.name} failed: {type(error).__name__}: {error}",
            hint="the log of the worker tells more", name="worker-failed",
        )  # fmt: skip


class _Call:
    """A task and its arguments. Unpickling it does the task, and returns the result.

    So the scheduler needs no qwenbuild, and a worker without it fails like a task: Dask ends workers, without a word,
    that can't unpickle what comes from the scheduler.
    """

    def __init__(self, expected: Mapping[str, str], task: Callable[..., Any], arguments: tuple[object, ...]) -> None:
        self._given = (expected, task, *arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _checked, self._given


def _checked(expected: Mapping[str, str], task: Callable[..., _T], *arguments: object) -> _T:
    """Do a task if this worker makes the same bytes as the machine that gives the work. This is what workers run."""
    from distributed import get_worker

    worker = get_worker()
    if differences := likeness.differences(expected, likeness.here()):
        raise _unlike(worker.address, differences)
    token = SLOTS.set(worker.state.nthreads)
    try:
        return task(*arguments)
    except ProviderError as error:
        if error.stops_run:  # such as a server that is not running: not this machine's, but the worker's
            error.facts = (*error.facts, f"at the worker {worker.address}")
        raise
    except QwenbuildError as error:  # others may not survive pickling
        raise ProviderError(error.claim, facts=error.facts, hint=error.hint, name=error.name) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "free some space there, or stop the worker, and build again: nothing that was made is lost"
        raise ProviderError(
            f"the disk of the worker {worker.address} is full", hint=hint, name="worker-failed"
        ) from None
    finally:
        SLOTS.reset(token)


def _unlike(address: str, differences: list[str]) -> ExecutorError:
    return ExecutorError(
        f"the worker {address} may make other bytes than this machine", facts=differences,
        hint=f"install the same versions on both machines: python -m pip install '{EXTRA}=={__version__}'",
        name="worker-differs",
    )  # fmt: skip


def _unable(address: str, error: Exception) -> ExecutorError:
    """Return the error of a worker that can't import qwenbuild."""
    who = f"the worker {address}" if address else "a worker"
    return ExecutorError(
        f"{who} can't run qwenbuild", facts=[f"{type(error).__name__}: {error}"],
        hint=f"install it on all machines of the cluster: python -m pip install '{EXTRA}=={__version__}'",
        name="worker-differs",
    )  # fmt: skip


def _library() -> None:
    """Load Dask, and keep it from writing to the terminal. Raises ExecutorError if it is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ExecutorError(
            "Dask is not installed", facts=[str(error)], hint=f"{sys.executable} -m pip install '{EXTRA}'",
            name="executor-not-installed",
        ) from None  # fmt: skip
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _security(place: Place) -> Any:
    """Return what Dask needs for a connection; None for one without encryption."""
    if place.address.startswith("tcp://"):
        return None
    from distributed import Security

    if place.tls is None:  # Dask's own config and environment variables
        found: Any = Security(require_encryption=True)
        if not (found.tls_ca_file and found.tls_client_cert):
            raise ValueError('tls:// needs certificates: [executor] tls = { ca = "…", cert = "…", key = "…" }')
        return found
    files = place.tls
    for path in (files.ca, files.cert, files.key):
        if "\n" not in path and not os.access(path, os.R_OK):
            raise ExecutorError(
                f"the certificate or key {path} can't be read", hint=f"[executor] tls names it; {_HERE}",
                name="executor-unreachable",
            )  # fmt: skip
    return Security(require_encryption=True, tls_ca_file=files.ca, tls_client_cert=files.cert, tls_client_key=files.key)
