"""Tests of the drawing workers: threads and processes draw the same bytes, and no process is left running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from qwenbuild.providers.draft.artwork import draft
from qwenbuild.providers.draft.workers import Draft, WorkerPool
from qwenbuild.request import Request, Size
from tests.support.drafts import PROMPTS, request


def children() -> set[int]:
    """Return the ids of this process's running children."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(entry.parent.name))
    return found


async def drawn(pool: WorkerPool, requests: Sequence[Request]) -> list[Draft]:
    """Draw all requests at once."""
    return await asyncio.gather(*map(pool.draft, requests))


def small(*seeds: int) -> list[Request]:
    """Return requests for small drafts with these seeds."""
    return [request(size=Size(200, 200), seed=seed) for seed in seeds]


@pytest.mark.parametrize("in_thread", [0, 5, 99])
def test_threads_and_processes_draw_the_same_bytes(in_thread: int) -> None:
    """Wherever a draft is drawn, its bytes are the same, and no process is left running."""
    requests = [request(prompt, Size(200, 260), seed) for seed, prompt in enumerate(PROMPTS)]
    before = children()

    async def session() -> tuple[list[Draft], set[int]]:
        async with WorkerPool(3, in_thread).running() as pool:
            return await drawn(pool, requests), children() - before

    contents, processes = asyncio.run(session())
    assert contents == [draft(each) for each in requests]
    if sys.platform == "linux":
        assert len(processes) == (0 if in_thread > len(PROMPTS) else min(3, os.cpu_count() or 1))
        assert children() == before


def test_a_killed_process_costs_no_draft() -> None:
    """If the processes are killed, the thread draws instead."""

    async def session() -> list[Draft]:
        async with WorkerPool(3, 0).running() as pool:
            contents = await drawn(pool, small(1, 2, 3))
            for worker in pool.started:
                worker.kill()
            return contents + await drawn(pool, small(4, 5, 6, 7))

    assert asyncio.run(session()) == [draft(each) for each in small(1, 2, 3, 4, 5, 6, 7)]


def test_a_cancelled_session_leaves_no_process_running() -> None:
    """Cancelled drafts end with their processes."""
    before = children()

    async def session() -> None:
        async with WorkerPool(3, 0).running() as pool:
            await asyncio.wait_for(drawn(pool, [request(seed=seed) for seed in range(200)]), 1.0)

    with pytest.raises(TimeoutError):
        asyncio.run(session())
    assert children() == before
