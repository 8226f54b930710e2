"""Measures the rows of the performance contract and prints a table; exits with 1 if a figure misses its limit.

python -m tests.benchmarks                 every row that takes less than a minute
python -m tests.benchmarks --long          the others, too
python -m tests.benchmarks start no-op     some rows
python -m tests.benchmarks growth          how the time grows with each dimension of the work; growth-csv: with one
python -m tests.benchmarks --scale 0.01 --rounds 1
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .growth import ROWS as GROWTH
from .measure import Figure
from .rows import LONG, ROWS

_ROWS = {**ROWS, **GROWTH}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    asked = _parser().parse_args(arguments)
    if not asked.rows and asked.scale == 1 and asked.rounds < 5:
        sys.stderr.write("the contract asks for medians of at least 5 rounds\n")
    figures: list[Figure] = []
    sys.stdout.write(f"{machine(asked.folder)}\n\n{HEAD}")
    with tempfile.TemporaryDirectory(prefix="qwenbuild-benchmark-", dir=asked.folder) as folder:
        for name in _names(asked.rows, is_long=asked.long):
            sys.stderr.write(f"{name}: ")
            sys.stderr.flush()
            begun_s = time.monotonic()
            (Path(folder) / name).mkdir()
            for figure in _ROWS[name](Path(folder) / name, asked.scale, asked.rounds):
                figures.append(figure)
                sys.stdout.write(line(figure))
                sys.stdout.flush()
            sys.stderr.write(f"{time.monotonic() - begun_s:.0f} s\n")
    missed = [figure for figure in figures if not figure.is_met]
    sys.stdout.write(f"\n{len(missed)} missed\n" if missed else "\nall met\n")
    return 1 if missed else 0


def _names(asked: Sequence[str], *, is_long: bool) -> list[str]:
    """Return the names of the rows to measure: `growth` stands for all rows of growth, nothing for all others."""
    every = [name for name in ROWS if is_long or name not in LONG]
    return [name for row in asked or every for name in (GROWTH if row == "growth" else [row])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["growth", *_ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[[], *names], help=f"one of: {', '.join(names)}")
    parser.add_argument("--long", action="store_true", help=f"without ROW: also {', '.join(LONG)}")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the numbers of outputs (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each command; the median counts (default: 5)")
    parser.add_argument("--folder", type=Path, help="work in this folder, and measure its disk (default: temporary)")
    return parser


HEAD = (
    "| job | of | took | ratio | at most | | peak memory |\n"
    "|---|---|---:|---:|---:|---|---:|\n"
)  # fmt: skip


def line(figure: Figure) -> str:
    """Return a figure as a line of the Markdown table."""
    if figure.unit == "s" and figure.amount < 1:
        took = f"{figure.amount * 1000:.0f} ms"
    else:
        took = f"{figure.amount:.2f} {figure.unit}"
    ratio = f"{figure.ratio:.2f}x" if figure.ratio else ""
    most = (f"{figure.most:g}x" if figure.ratio else f"{figure.most:g} {figure.unit}") if figure.most else ""
    verdict = "" if not figure.most else "met" if figure.is_met else "MISSED"
    peak = f"{figure.peak_bytes / 2**20:,.0f} MiB" if figure.peak_bytes else ""
    return f"| {figure.job} | {figure.tool} | {took} | {ratio} | {most} | {verdict} | {peak} |\n"


def machine(folder: Path | None) -> str:
    """Return a description of the machine, the file system and the Python."""
    cpu = platform.processor() or platform.machine()
    memory = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        cpu = next((it.partition(":")[2].strip() for it in lines if it.startswith("model name")), cpu)
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    where = _file_system(folder or Path(tempfile.gettempdir()))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} cores of {cpu}{memory}{where}{load}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _file_system(folder: Path) -> str:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    found = [line.split()[1:3] for line in mounts.read_text("utf-8").splitlines()]
    inside = [(point, kind) for point, kind in found if folder.resolve().is_relative_to(point)]
    return f", {max(inside, key=lambda it: len(it[0]))[1]}" if inside else ""


if __name__ == "__main__":
    sys.exit(main())
