"""What draws drafts: a thread, and processes, for drawing holds the interpreter's lock.

The parent of a process writes a request as one line of JSON, the child answers with the length of a PNG (four
bytes, big-endian) and its bytes. The child imports nothing from the working folder, is left alone
by Ctrl-C, and ends when its input does: with its parent, however that ends.
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
from typing import Any, Self

from qwenbuild.request import Request

_PROGRAM = f"from {__name__} import serve; serve()"
_STOPPING_S = 2.0
_FAR_FROM_PROCESSES = 100  # drafts after a process died, before another is tried


class Drafter:
    """A running child. Its methods are called by one task at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        """Start a child; raises OSError where none can be."""
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", _PROGRAM, stdin=pipe, stdout=pipe, stderr=none, **apart
            )
        )

    async def png(self, request: Request) -> bytes:
        """Return the draft of a request; raises OSError or EOFError where the child has died.

        A child whose answer was not awaited to its end must be killed.
        """
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        into.write(json.dumps(request.as_dict()).encode() + b"\n")
        await into.drain()
        return await out.readexactly(int.from_bytes(await out.readexactly(4), "big"))

    def kill(self) -> None:
        """End the child at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """End the child, and return when it has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOPPING_S)
        except TimeoutError:
            self.kill()
            await self._process.wait()


class Drafters:
    """Draw several drafts at once, used within one event loop."""

    def __init__(self, at_once: int, in_thread: float) -> None:
        """`at_once` drafts at most; the first `in_thread` are drawn in a thread, the others in processes."""
        self._in_thread, self._begun = in_thread, 0
        self._seats = asyncio.Semaphore(min(at_once, os.cpu_count() or 1))
        self.started: list[Drafter] = []
        self._idle: list[Drafter] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Hold the thread and the processes while the context lasts."""
        with ThreadPoolExecutor(1, "qwenbuild-draft") as self._thread:
            try:
                yield self
            finally:
                await asyncio.gather(*(drafter.stop() for drafter in self.started))

    async def png(self, request: Request) -> bytes:
        """Return the draft of a request."""
        self._begun += 1
        content = await self._elsewhere(request) if self._begun > self._in_thread else None
        if content is None:
            from .artwork import png  # here, for a parent whose processes draw needs no fonts

            content = await asyncio.get_running_loop().run_in_executor(self._thread, png, request)
        return content

    async def _elsewhere(self, request: Request) -> bytes | None:
        """Return the draft as another process draws it, None where that can't be had."""
        async with self._seats:
            drafter = None
            try:
                if self._idle:
                    drafter = self._idle.pop()
                else:
                    drafter = await Drafter.start()
                    self.started.append(drafter)
                content = await drafter.png(request)
            except (OSError, EOFError):
                self._begun = -_FAR_FROM_PROCESSES  # one that dies is not replaced at once
            except asyncio.CancelledError:
                if drafter:
                    drafter.kill()
                raise
            else:
                self._idle.append(drafter)
                return content
        return None


def serve() -> None:
    """Answer requests on standard input until it ends: what the child runs."""
    from .artwork import png

    with open(0, "rb") as into, open(1, "wb") as out:
        for line in into:
            content = png(Request.from_dict(json.loads(line)))
            out.write(len(content).to_bytes(4, "big") + content)
            out.flush()
