"""Runs: queues a filled workflow at a server, follows it, and fetches its image.

Invariants:
- The id of a run follows from the action key. It is looked up before anything is queued, so a build that was killed
  finds its runs again, and none is queued twice.
- A run that failed, or whose image is gone, makes room for the next number. So does each finished run if the image is
  forced: ComfyUI then gets another id.
- A render that is cancelled takes its run back: it leaves the queue, or is interrupted. It leaves a run that it found.

ComfyUI keeps queue and history in memory. After its restart no run is known, and the workflow is queued again. Versions
before 2025-08 choose the id themselves: their own id is followed, but a later build does not find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from qwenbuild.errors import ProviderError, Refused, ServiceFault
from qwenbuild.files import png

from ..retrying import Tell, telling
from . import answers
from .client import Client
from .workflow import Workflow

_NAMES: Final = uuid.UUID("5b1f9f58-0a3b-5d63-9f0f-0a4c1f6c2d11")  # of the ids that this provider derives
_MOST_LOST: Final = 3  # times that a server may forget one run
_LEAVING_S: Final = 5.0  # longest time for taking a run back
_FIRST_POLL_S: Final = 0.05
_LONGEST_POLL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """What one render asks for: `filled` is the workflow with its holes filled, `key` the action key."""

    key: str
    workflow: Workflow
    filled: Mapping[str, Any] = field(repr=False)
    output_node: str
    is_forced: bool
    tell: Tell = field(repr=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a run is at a server: `place` is "running", "pending", "ended", or "" if the server does not know it.

    `entry` is what the history has of a run that ended.
    """

    place: str
    entry: Any = None


@dataclass(frozen=True, slots=True)
class Made:
    """An image, and the id of the run that made it. `ignored` is what the server left out of the workflow."""

    image: bytes = field(repr=False)
    run: str
    ignored: list[str] = field(default_factory=list)


def run_id(key: str, number: int) -> str:
    """Return the id of the run of an action key with this number, from 0."""
    return str(uuid.uuid5(_NAMES, f"{key}:{number}"))


class Runs:
    """The runs at one server. `busy` is how many of this build's renders are there now."""

    def __init__(self, client: Client, timeout_s: float, patience_s: float) -> None:
        """In seconds: `timeout_s` is the longest time of a run, `patience_s` how long a silent server is waited for."""
        self.client, self._timeout_s, self._patience_s = client, timeout_s, patience_s
        self.busy = 0

    async def look_up(self, run: str, tell: Tell, most_s: float = math.inf) -> Seen:
        """Return where a run is. Ask a silent server again while there is patience, for at most `most_s` seconds."""
        async for attempt in _retrying(tell, min(most_s, self._patience_s)):
            with attempt:
                seen = await self.seen(run)
        return seen

    async def seen(self, run: str) -> Seen:
        """Return where a run is. Raises ProviderError."""
        entry = await self._entry(run)
        if entry is None:
            place = answers.queued(await self.client.get("/queue")).get(run, "")
            if place:
                return Seen(place)
            entry = await self._entry(run)  # it may have ended between the two questions
        return Seen("") if entry is None else Seen("ended", entry)

    async def _entry(self, run: str) -> Any:
        return (await self.client.get(f"/history/{run}")).get(run)

    async def make(self, job: Job, run: str, seen: Seen) -> Made:
        """Return the image of a run, which is queued if the server does not know it. Raises ProviderError.

        If this is cancelled, the run is taken back, unless it was found: another build may wait for it.
        """
        self.busy += 1
        ignored: list[str] = []
        is_own = False
        try:
            for _ in range(_MOST_LOST):
                if not seen.place:
                    is_own = True
                    run, ignored = await self._queued(job, run)
                entry = seen.entry or await self._ended(job, run)
                if entry is not None:
                    return await self._fetched(job, run, entry, ignored)
                seen = Seen("")
        except asyncio.CancelledError:
            if is_own:
                with contextlib.suppress(ProviderError, TimeoutError):
                    async with asyncio.timeout(_LEAVING_S):
                        await self.take_back(run)
            raise
        finally:
            self.busy -= 1
        raise ServiceFault(
            f"ComfyUI at {self.client.address.origin} forgot the run {_MOST_LOST} times",
            facts=[f"run: {run}"],
            hint="it seems to restart: its log may say that memory ran out",
            name="run-failed",
        )

    async def take_back(self, run: str) -> None:
        """Remove a run from the queue; interrupt it if it is running. Raises ProviderError."""
        await self.client.post("/queue", {"delete": [run]})
        # Old versions interrupt whatever is running, so it must be this run.
        if answers.queued(await self.client.get("/queue")).get(run) == "running":
            await self.client.post("/interrupt", {"prompt_id": run})

    async def _queued(self, job: Job, run: str) -> tuple[str, list[str]]:
        """Queue a workflow; return the id of its run, and what the server leaves out. Raises ProviderError."""
        body = {"prompt": job.filled, "prompt_id": run}
        async for attempt in _retrying(job.tell, self._patience_s):
            with attempt:
                if attempt.retry_state.attempt_number > 1 and (await self.seen(run)).place:
                    return run, []  # the answer was lost, but not the workflow
                answer = await self.client.post("/prompt", body)
        said = answer.body
        if answer.status == 200 and isinstance(said, dict) and isinstance(said.get("prompt_id"), str):
            return said["prompt_id"], answers.node_errors(said, job.workflow)
        raise answers.refusal(said, job.workflow) or self.client.stranger(answer)

    async def _ended(self, job: Job, run: str) -> Any:
        """Wait for the end of a run, and return its entry in the history; None if the server forgot the run."""
        wait_s, began_s = _FIRST_POLL_S, None
        while True:
            seen = await self.look_up(run, job.tell)
            if seen.place in ("ended", ""):
                return seen.entry
            now_s = time.monotonic()
            if seen.place == "running":
                began_s = now_s if began_s is None else began_s
                if now_s - began_s > self._timeout_s:
                    await self.take_back(run)
                    raise Refused(
                        f"ComfyUI did not finish within {self._timeout_s:g} s",
                        facts=[f"run: {run}, which was interrupted"],
                        hint="timeout_s under [providers.comfyui] allows more time",
                        name="run-failed",
                    )
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_POLL_S)

    async def _fetched(self, job: Job, run: str, entry: Any, ignored: list[str]) -> Made:
        """Return the image of a run that ended. Raises ProviderError."""
        if failed := answers.failure(entry, job.workflow):
            raise failed
        try:
            found = answers.picture(entry, job.workflow, job.output_node)
        except Refused as error:
            error.facts = (*error.facts, *ignored)
            raise
        async for attempt in _retrying(job.tell, self._patience_s):
            with attempt:
                image = await self.client.image(found.query)
        answers.check_format(image, found, job.workflow)
        await asyncio.to_thread(png.verify, image)  # decoding takes tens of milliseconds
        return Made(image, run, ignored)


def is_superseded(seen: Seen, job: Job) -> bool:
    """Return whether a run makes room for the next number: it failed, or another image than its own is asked for."""
    return seen.place == "ended" and (job.is_forced or answers.failure(seen.entry, job.workflow) is not None)


def _retrying(tell: Tell, patience_s: float) -> AsyncRetrying:
    """Return the loop over attempts: until `patience_s` have passed, if another attempt may succeed."""
    return AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, ProviderError) and error.retryable),
        stop=stop_after_delay(patience_s),
        wait=wait_random_exponential(multiplier=0.2, max=5.0),
        before_sleep=telling(tell),
        reraise=True,
    )
