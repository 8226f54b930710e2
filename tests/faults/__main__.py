"""Plays every fault at every call of every scenario, and prints a table; exits with 1 if anything went wrong.

python -m tests.faults                                      everything; takes half an hour with `--jobs 2`
python -m tests.faults --scenario sync --scenario async     some scenarios
python -m tests.faults --every 20                           every twentieth point
python -m tests.faults --every 5 --first 2                  the third of five parts, of which each takes minutes
python -m tests.faults --scenario sync --at 57 --act kill   one point again
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing.util import Finalize

from . import injector
from .injector import Fault
from .points import Point, Result, calls, play, points
from .scenarios import SCENARIOS
from .stage import Stage

_CHUNK = 25  # points that a job plays before it reports


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    asked = _parser().parse_args(arguments)
    if reason := injector.reason_against():
        sys.stderr.write(f"nothing was done: {reason}\n")
        return 1
    begun_s = time.monotonic()
    names = asked.scenario or list(SCENARIOS)
    wanted = [Point(SCENARIOS[name], Fault(asked.at, asked.act)) for name in names] if asked.at else []
    made = Counter[str]()
    if not wanted:
        with Stage.open() as stage:
            for name in names:
                found = calls(stage, SCENARIOS[name])
                made[name] = len(found)
                wanted += islice(points(SCENARIOS[name], found), asked.first, None, asked.every)
    failed, played, missed = Counter[str](), Counter[str](), Counter[str]()
    for number, result in enumerate(_played(wanted, asked.jobs), 1):
        name = result.point.scenario.name
        played[name] += 1
        missed[name] += result.call is None
        failed[name] += bool(result.problems)
        if result.problems or asked.at:
            sys.stdout.write(f"{result}\n")
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{number} of {len(wanted)}, {failed.total()} failed ")
        sys.stdout.flush()
    sys.stdout.write(f"\n{HEAD}")
    for name in names:
        sys.stdout.write(f"| {name} | {made[name]:,} | {played[name]:,} | {missed[name]:,} | {failed[name]:,} |\n")
    totals = " | ".join(f"{one.total():,}" for one in (made, played, missed, failed))
    sys.stdout.write(f"| all | {totals} |\n\n{time.monotonic() - begun_s:.0f} s\n")
    return 1 if failed.total() else 0


HEAD = (
    "| scenario | calls | faults | not reached | failures |\n"
    "|---|---:|---:|---:|---:|\n"
)  # fmt: skip


def _played(wanted: Sequence[Point], jobs: int) -> Iterator[Result]:
    """Play all points, in `jobs` processes; yield the results as they come."""
    chunks = [wanted[at : at + _CHUNK] for at in range(0, len(wanted), _CHUNK)]
    if jobs == 1 or len(chunks) == 1:
        with Stage.open() as stage:
            yield from (play(stage, point) for point in wanted)
        return
    with ProcessPoolExecutor(jobs, initializer=_open_stage) as pool:
        for results in pool.map(_play_all, chunks):
            yield from results


_stages: list[Stage] = []  # of this worker process, until it ends


def _open_stage() -> None:
    stack = contextlib.ExitStack()
    _stages.append(stack.enter_context(Stage.open()))
    # A worker calls no function of `atexit`, and waits for the threads of its services before it ends.
    Finalize(None, stack.close, exitpriority=0)


def _play_all(chunk: Sequence[Point]) -> list[Result]:
    return [play(_stages[0], point) for point in chunk]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this one; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="processes that play at the same time (default: 1)")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="play every K-th point (default: 1, all)")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="leave out the first K points (default: 0)")
    parser.add_argument("--at", type=int, metavar="N", help="play only the call with this number")
    parser.add_argument("--act", default="kill", help="the fault for --at, see injector.c (default: kill)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
