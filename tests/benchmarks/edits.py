"""Measures how long after a save a watch knows the plan, and how long the bare watcher takes.

    python -m tests.benchmarks.edits PROJECT ROUNDS

Prints both medians in seconds: of the bare watcher, and of the plan.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

from watchfiles import awatch

from qwenbuild import load
from qwenbuild.events import Event, Replanned
from qwenbuild.watch.watcher import Watch


async def measure(root: Path, rounds: int) -> tuple[float, float]:
    """Return two medians in seconds: from a save to the bare watcher's event, and from a save to the watch's plan."""
    template = root / "templates/poster.j2"
    planned, seen = asyncio.Queue[float](), asyncio.Queue[float]()

    def emit(event: Event) -> None:
        if isinstance(event, Replanned):
            planned.put_nowait(time.perf_counter())

    watch = Watch(load(root, provider="dashscope", max_renders=10**9), emit)
    watch.drafts.pause()

    async def bare() -> None:
        async for _ in awatch(template.parent, debounce=1600, step=50):
            seen.put_nowait(time.perf_counter())

    following, watching = asyncio.create_task(bare()), asyncio.create_task(watch.run())
    await planned.get()
    await asyncio.sleep(1)
    to_event, to_plan = [], []
    for number in range(rounds):
        text = template.read_text("utf-8").rstrip("0123456789 ")
        saved = time.perf_counter()
        template.write_text(f"{text} {number}", "utf-8")
        to_event.append(await seen.get() - saved)
        to_plan.append(await planned.get() - saved)
        await asyncio.sleep(0.5)
        while not planned.empty():
            planned.get_nowait()
    watch.leave()
    await watching
    following.cancel()
    return statistics.median(to_event), statistics.median(to_plan)


if __name__ == "__main__":
    sys.stdout.write("{} {}\n".format(*asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2])))))
