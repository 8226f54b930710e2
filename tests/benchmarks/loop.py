"""How long the callbacks of a build's event loop take: while one runs, no answer is taken and nothing is sent.

    python -m tests.benchmarks.loop PROJECT

Prints, in seconds of CPU of the loop's own thread: what all callbacks but one in a thousand keep within, the longest
callback, and the longest collection of garbage, which comes at any time and belongs to none of them. Callbacks that
load modules do not count: nothing has been sent by then.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from pathlib import Path

from qwenbuild import load


class Watched:
    """Times all callbacks of this thread's event loops, and its collections of garbage."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []
        self.collections_s = [0.0]
        self._thread = threading.get_ident()
        self._run = asyncio.Handle._run
        gc.callbacks.append(self._collection)
        asyncio.Handle._run = lambda handle: self._callback(handle)  # type: ignore[assignment,method-assign]

    def _callback(self, handle: asyncio.Handle) -> None:
        modules, collected, begun_s = len(sys.modules), len(self.collections_s), time.thread_time()
        self._run(handle)
        taken_s = time.thread_time() - begun_s
        if len(sys.modules) == modules:
            self.taken_s.append(taken_s - sum(self.collections_s[collected:]))

    def _collection(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._began_s = time.thread_time()
        else:
            self.collections_s.append(time.thread_time() - self._began_s)


if __name__ == "__main__":
    watched = Watched()
    load(Path(sys.argv[1]), max_renders=10**9).build()
    in_order = sorted(watched.taken_s)
    most_s = in_order[len(in_order) * 999 // 1000]
    sys.stdout.write(f"{most_s} {in_order[-1]} {max(watched.collections_s)}\n")
