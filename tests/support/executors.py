"""An executor without a cluster: it does tasks in threads of this process, after pickling them as a cluster would."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from qwenbuild.engine import making
from qwenbuild.executor import Place
from qwenbuild.executors import dask
from qwenbuild.problems import Problem

_T = TypeVar("_T")


class InThreads:
    """An `Executor`. `done` has the arguments of each task, `sizes` the sizes of the pickled results in bytes."""

    def __init__(self) -> None:
        self.name = "the threads"
        self.done: list[tuple[Any, ...]] = []
        self.sizes: list[int] = []
        self.needs: set[str] = set()
        self.fault: Exception | None = None
        self.begun = 0

    def at(self, place: Place, tell: Callable[[Problem], None]) -> InThreads:
        """Return this executor in place of one for Dask."""
        return self

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.begun += 1
        yield

    async def do(self, task: Callable[..., _T], *arguments: object, needs: str = "") -> _T:
        self.needs.add(needs)
        if self.fault:
            raise self.fault
        task, arguments = pickle.loads(pickle.dumps((task, arguments)))
        result = pickle.dumps(await asyncio.to_thread(task, *arguments))
        self.done.append(arguments)
        self.sizes.append(len(result))
        found: _T = pickle.loads(result)
        return found


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[InThreads]:
    """The executor of each build that names a cluster."""
    executor = InThreads()
    monkeypatch.setattr(dask, "DaskExecutor", executor.at)
    yield executor
    making.close()
