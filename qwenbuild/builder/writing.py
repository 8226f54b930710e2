"""Writing: writes images that are in the store to `out/`, records the outputs, and ends their steps.

An image is written to the output of its step, and to those of all steps that wait for its bytes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from qwenbuild.errors import OutputChanged, OutputError, QwenbuildError, StoreError
from qwenbuild.events import Outcome
from qwenbuild.plan.plan import Step
from qwenbuild.storage.outputs import Status

from . import restore
from .endings import Endings
from .keep import keep_replaced
from .recorder import Recorder
from .run import Run

_T = TypeVar("_T")

YIELD_EVERY: Final = 8
"""The outputs that end between two yields to other tasks: emitting events takes time."""


class Ready(NamedTuple):
    """A step whose image is in the store: the image's digest and bytes, and how the step ends.

    `begun_s` is `time.monotonic()` when the step began.
    """

    step: Step
    digest: str
    image: bytes
    outcome: Outcome
    begun_s: float


class Writing:
    """Writes the outputs of one build."""

    def __init__(self, run: Run, endings: Endings, recorder: Recorder) -> None:
        self._run, self._endings, self._recorder = run, endings, recorder

    async def write(self, ready: Ready) -> bool:
        """Write the outputs of a step and of its followers; return False if a later build must write one of them."""
        are_written = True
        for each in self._with_followers(ready):
            are_written &= await self._write(each)
        return are_written

    async def write_all(self, ready: Sequence[Ready]) -> None:
        """Write the outputs of steps and of their followers; all of them wait for the disk together."""
        every = [each for it in ready for each in self._with_followers(it)]
        allowed = [it for it in every if not self._is_refused(it)]
        outputs = self._run.outputs
        written = await asyncio.to_thread(restore.place, allowed, outputs, lambda it: self._placed(it, outputs.copy))
        for number, (it, result) in enumerate(written, 1):
            if isinstance(result, QwenbuildError):
                self._endings.fail(it.step, result, it.begun_s)
            elif result is not None:  # pragma: no branch - `Outputs.copy` never returns None
                self._end(it, result)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _with_followers(self, ready: Ready) -> Sequence[Ready]:
        step, now_s = ready.step, time.monotonic()
        followers = [
            it._replace(action=it.action.made_by(step.action.emulated_by)) for it in self._endings.take_followers(step)
        ]
        return [ready, *(ready._replace(step=it, outcome=Outcome.RESTORED, begun_s=now_s) for it in followers)]

    def _is_refused(self, it: Ready) -> bool:
        """End a step whose image is not the one that the lock demands; return whether it is."""
        if not self._run.options.locked or it.step.pinned in ("", it.digest):
            return False
        other = it.step._replace(was=None, cause="the render gave other bytes than the lock pins")
        self._endings.finish(other, Outcome.MISSING, time.monotonic() - it.begun_s)
        return True

    async def _write(self, it: Ready) -> bool:
        if self._is_refused(it):
            return False
        try:
            written = await asyncio.to_thread(self._placed, it, self._run.outputs.write)
        except (OutputError, StoreError) as error:
            self._endings.fail(it.step, error, it.begun_s)
            return isinstance(error, OutputChanged)
        self._end(it, written)
        return True

    def _end(self, it: Ready, written: os.stat_result) -> None:
        self._recorder.add(it.step.action, it.digest, written)
        self._endings.finish(it.step, it.outcome, time.monotonic() - it.begun_s)

    def _placed(self, it: Ready, place: Callable[[str, Path, bytes, Status | None], _T]) -> _T:
        """Keep the file that an output replaces, and return what `place` does: `Outputs.write`, or its `copy`."""
        store, name = self._run.store, it.step.action.output
        keep_replaced(store, self._run.outputs.path(name), it.step.seen)
        return place(name, store.blob_path(it.digest), it.image, it.step.seen)
