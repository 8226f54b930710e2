"""Measures the callbacks of a build's event loop. While a callback runs, nothing is received or sent.

    python -m tests.benchmarks.loop PROJECT

Prints three figures, in seconds of CPU of the loop's thread: the limit that 999 of 1,000 callbacks keep, the longest
callback, and the longest garbage collection. Collections happen at any time, so they are subtracted from callbacks.
Callbacks that load modules do not count, because nothing has been sent by then.
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
    """Times all callbacks of this thread's event loops, and the garbage collections of this thread."""

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
