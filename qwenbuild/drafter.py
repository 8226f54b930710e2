"""A process that draws drafts: drawing holds the interpreter's lock, so that threads would not share the work.

The parent writes a request as one line of JSON, the child answers with the length of a PNG (four
bytes, big-endian) and its bytes. The child imports nothing from the working folder, is left alone
by Ctrl-C, and ends when its input does: with its parent, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import Any, Self

from .artwork import png
from .request import Request

_PROGRAM = f"from {__name__} import serve; serve()"
_STOPPING_S = 2.0


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


def serve() -> None:
    """Answer requests on standard input until it ends: what the child runs."""
    with open(0, "rb") as into, open(1, "wb") as out:
        for line in into:
            content = png(Request.from_dict(json.loads(line)))
            out.write(len(content).to_bytes(4, "big") + content)
            out.flush()
