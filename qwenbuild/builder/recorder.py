"""The recorder: writes finished outputs, and failures, into the state, in batches.

Each commit costs time, so outputs are collected for a moment. If a crash loses a batch, the next plan
recognises the outputs by their bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from qwenbuild.errors import QwenbuildError, StateError
from qwenbuild.request import Request
from qwenbuild.specs.action import Action
from qwenbuild.storage.outputs import Status
from qwenbuild.storage.records import Failure, Output
from qwenbuild.storage.state import State

_EVERY_S = 0.2


class Recorder:
    """Records the outputs and failures of one build; calls `on_fault` if the state can't be written."""

    def __init__(self, state: State, on_fault: Callable[[StateError], None]) -> None:
        self._state, self._on_fault = state, on_fault
        self._pending: list[tuple[Output, Mapping[str, Any]]] = []
        self._failures: list[Failure] = []
        self.outputs: dict[str, Output] = {}  # every output that was added, by path
        self.drawn: dict[str, Action] = {}  # the actions of these outputs that were rendered, with their seeds

    def add(self, action: Action, image: str, seen: Status) -> None:
        """Add an action's output: `image` is the SHA-256 of its bytes, `seen` its file status."""
        output = Output(action.output, action.key, image, seen.st_size, seen.st_mtime_ns, seen.st_ino, action.name)
        self._pending.append((output, action.recorded))
        self.outputs[output.path] = output
        if isinstance(action.source, Request):
            self.drawn[output.path] = action

    def fail(self, action: Action, error: QwenbuildError, host: str) -> None:
        """Add the failure of an action's output; `host` is the service's, empty if there is none."""
        self._failures.append(Failure.of(error, action.output, action.key, host=host, at_s=time.time()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Record at intervals inside this context, and at its end."""
        ended = asyncio.Event()
        task = asyncio.create_task(self._record_at_intervals(ended))
        try:
            yield
        finally:
            ended.set()  # cancelling the task would lose a batch that waits for a thread
            await task

    async def _record_at_intervals(self, ended: asyncio.Event) -> None:
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                is_last = await asyncio.wait_for(ended.wait(), _EVERY_S)
            await self._record()

    async def _record(self) -> None:
        pending, self._pending = self._pending, []
        failures, self._failures = self._failures, []
        requests = {output.key: request for output, request in pending}
        try:
            if pending:
                await asyncio.to_thread(self._state.record, [output for output, _ in pending], requests)
            if failures:
                await asyncio.to_thread(self._state.record_failures, failures)
        except StateError as error:
            self._on_fault(error)
