from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.__main__ import line
from tests.benchmarks.measure import REPOSITORY, Figure


def test_the_command() -> None:
    """The output has the machine and the table; the exit code is 0 if all limits are met."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "million", "--scale", "0.00001", "--rounds", "1"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[-1]) == (0, "all met"), done.stderr
    assert f"Python {sys.version.split()[0]}" in lines[0]
    assert [text.split(" | ")[1] for text in lines if text.startswith("| 10 cells")] == ["plan --json", "peak memory"]


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (Figure("j", "ninja", 0.0621, peak_bytes=2**20), "| j | ninja | 62 ms |  |  |  | 1 MiB |\n"),
        (Figure("j", "q", 1.5, ratio=2.5, most=3), "| j | q | 1.50 s | 2.50x | 3x | met |  |\n"),
        (Figure("j", "q", 1.5, ratio=3.01, most=3), "| j | q | 1.50 s | 3.01x | 3x | MISSED |  |\n"),
        (Figure("j", "memory", 1.2, "KiB", most=1), "| j | memory | 1.20 KiB |  | 1 KiB | MISSED |  |\n"),
    ],
)
def test_a_line(figure: Figure, shown: str) -> None:
    """A limit applies to the ratio if there is one, else to the amount."""
    assert line(figure) == shown
