"""Measures whole processes: samples, contenders, medians and figures.

Each round runs every contender once, so that a temporary slowdown of the machine affects all of them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
Prepare = Callable[[], object]


@dataclass(frozen=True)
class Sample:
    """One run of a process: wall time in seconds, CPU time in seconds, and peak memory in bytes."""

    seconds: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Contender:
    """A command line to measure; `prepare` is called before each run and is not measured. It exits with `exits`."""

    name: str
    command: Sequence[str]
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    prepare: Prepare = field(default=lambda: None)
    exits: int = 0

    def run(self) -> Sample:
        """Run the command once; raises SystemExit if it fails."""
        self.prepare()
        with tempfile.TemporaryFile() as log:
            begun = time.perf_counter()
            process = subprocess.Popen(
                self.command, cwd=self.folder, env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            stderr = log.read().decode("utf-8", "replace")
        if process.returncode != self.exits:
            raise SystemExit(
                f"{self.name}: {' '.join(self.command)} exited with {process.returncode}\n{stderr[-2000:]}"
            )
        unit = 1 if sys.platform == "darwin" else 1024
        return Sample(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


@dataclass(frozen=True)
class Figure:
    """One line of the table: the amount that `tool` needs for `job`, in `unit`.

    `ratio` is the amount divided by the reference's; 0 for the reference, or if there is none. `most` is the contract's
    limit: of the ratio if there is one, else of the amount; 0 means no limit.
    """

    job: str
    tool: str
    amount: float
    unit: str = "s"
    ratio: float = 0.0
    most: float = 0.0
    peak_bytes: int = 0

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its limit."""
        return not self.most or 0 <= (self.ratio or self.amount) <= self.most


def alternate(contenders: Sequence[Contender], rounds: int) -> dict[str, Sample]:
    """Run each contender once per round; return the median of each, by name."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            _show(f"\r\033[K  round {number + 1} of {rounds}: {contender.name}")
            samples[contender.name].append(contender.run())
    _show("\r\033[K")
    return {name: _median(found) for name, found in samples.items()}


def _show(progress: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(progress)
        sys.stderr.flush()


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        statistics.median(one.seconds for one in samples),
        statistics.median(one.cpu_s for one in samples),
        round(statistics.median(one.peak_bytes for one in samples)),
    )


def compared(job: str, samples: Mapping[str, Sample], reference: str, limits: Mapping[str, float]) -> list[Figure]:
    """Return a figure for each contender, with its ratio to the reference, and its limit if `limits` has one."""
    base = samples[reference].seconds
    return [
        Figure(job, name, one.seconds, ratio=0.0 if name == reference else one.seconds / base,
               most=limits.get(name, 0.0), peak_bytes=one.peak_bytes)
        for name, one in samples.items()
    ]  # fmt: skip


def scaled(count: int, scale: float) -> int:
    """Return a number of outputs, multiplied; at least ten."""
    return max(10, int(count * scale) // 10 * 10)


def python(*arguments: str) -> list[str]:
    """Return a command line of this Python."""
    return [sys.executable, *arguments]


def qwenbuild(*arguments: str) -> list[str]:
    """Return a command line of the installed qwenbuild."""
    return [str(BIN / "qwenbuild"), *arguments]
