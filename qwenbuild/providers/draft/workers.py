"""The workers that draw drafts: one thread, and several processes.

Processes are used because drawing holds the interpreter's lock.

The parent writes each request to a worker process as one line of JSON. The process answers with one line of JSON, which
has the length of the PNG and the scripts that no font has, and with the PNG. A worker imports nothing from the working
folder, and Ctrl-C does not reach it. A worker ends when its input ends, so it never outlives its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

from qwenbuild.request import Request

_PROGRAM = f"from {__name__} import serve; serve()"
_STOPPING_S = 2.0
_DRAFTS_AFTER_DEATH = 100  # drawn in the thread after a process died, before another one is started


class Draft(NamedTuple):
    """The draft of a request as PNG, exactly of the request's size, and the scripts that no font has."""

    png: bytes
    missing: tuple[str, ...]


class Worker:
    """A running worker process, used by one task at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        """Start a worker process; raises OSError if it can't be started."""
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", _PROGRAM, stdin=pipe, stdout=pipe, stderr=none, **apart
            )
        )

    async def draft(self, request: Request) -> Draft:
        """Return the draft of a request; raises OSError or EOFError if the process has died.

        If the caller is cancelled here, it must kill the process: the rest of the answer is still to come.
        """
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        into.write(json.dumps(request.as_dict()).encode() + b"\n")
        await into.drain()
        length, missing = json.loads(await out.readuntil(b"\n"))
        return Draft(await out.readexactly(length), tuple(missing))

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """End the process, and return when it has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOPPING_S)
        except TimeoutError:
            self.kill()
            await self._process.wait()


class WorkerPool:
    """Draws several drafts at once, for one event loop."""

    def __init__(self, at_once: int, in_thread: float) -> None:
        """Draw at most `at_once` drafts at a time: the first `in_thread` in a thread, all others in processes."""
        self._in_thread, self._begun = in_thread, 0
        self._seats = asyncio.Semaphore(min(at_once, os.cpu_count() or 1))
        self.started: list[Worker] = []
        self._idle: list[Worker] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep the thread and the processes while the context lasts. `draft` works only inside the context."""
        with ThreadPoolExecutor(1, "qwenbuild-draft") as self._thread:
            try:
                yield self
            finally:
                await asyncio.gather(*(worker.stop() for worker in self.started))

    async def draft(self, request: Request) -> Draft:
        """Return the draft of a request."""
        self._begun += 1
        made = await self._in_process(request) if self._begun > self._in_thread else None
        if made is None:
            from .artwork import draft  # imported late: a parent whose processes draw needs no fonts

            made = await asyncio.get_running_loop().run_in_executor(self._thread, draft, request)
        return made

    async def _in_process(self, request: Request) -> Draft | None:
        """Return the draft drawn by a worker process, or None if the process died or could not be started."""
        async with self._seats:
            worker = None
            try:
                if self._idle:
                    worker = self._idle.pop()
                else:
                    worker = await Worker.start()
                    self.started.append(worker)
                made = await worker.draft(request)
            except (OSError, EOFError):
                self._begun = -_DRAFTS_AFTER_DEATH
            except asyncio.CancelledError:
                if worker:
                    worker.kill()
                raise
            else:
                self._idle.append(worker)
                return made
        return None


def serve() -> None:
    """Answer requests on standard input until it ends. This is what a worker process runs."""
    from .artwork import draft

    with open(0, "rb") as into, open(1, "wb") as out:
        for line in into:
            png, missing = draft(Request.from_dict(json.loads(line)))
            out.write(json.dumps([len(png), missing]).encode() + b"\n" + png)
            out.flush()
