"""A sample of all faults at all calls. `python -m tests.faults` plays the others."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.nursery import REPOSITORY

from . import injector
from .injector import Call, Fault
from .points import Point, calls, play, points
from .scenarios import CELLS, SCENARIOS
from .stage import Stage

pytestmark = pytest.mark.slow

PLAYED = {
    "draft": 8,
    "sync": 28,
    "async": 28,
    "restore": 10,
    "force": 20,
    "force-async": 10,
    "remote": 16,
    "two": 16,
    "two-async": 14,
}
"""The number of points of each scenario that the tests play."""

PER_TEST = 10


def parts(name: str) -> int:
    """Return the number of tests that share the points of a scenario."""
    return -(-PLAYED[name] // PER_TEST)


@pytest.mark.parametrize(("name", "part"), [(name, part) for name in PLAYED for part in range(parts(name))])
def test_faults(stage: Stage, name: str, part: int) -> None:
    """After a fault at any call, nothing is torn, nothing is lost, and nothing is paid for twice."""
    scenario = SCENARIOS[name]
    every = [*points(scenario, calls(stage, scenario))]
    chosen = [every[number * len(every) // PLAYED[name]] for number in range(PLAYED[name])]
    results = [play(stage, point) for point in chosen[part :: parts(name)]]
    assert [str(result) for result in results if result.problems] == []


def test_a_forced_image_reaches_its_output(stage: Stage) -> None:
    """If a forced build is killed before it writes an output, or can't write it, the next build does, for free."""
    scenario = SCENARIOS["force"]
    renames = [call.number for call in calls(stage, scenario) if call.name == "rename" and "/out/" in call.second]
    results = [play(stage, Point(scenario, Fault(number, act))) for number in renames for act in ("kill", "EIO")]
    assert len(results) == 2 * CELLS
    assert [str(result) for result in results if result.problems] == []


@pytest.mark.usefixtures("stage")
def test_the_command() -> None:
    """It plays a point and prints a table; the exit code is 0 if nothing went wrong."""
    command = [sys.executable, "-m", "tests.faults", "--scenario", "restore", "--at", "20", "--act", "ENOSPC"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[0].partition(" (")[0]) == (0, "restore: ENOSPC at call 20"), (
        done.stdout + done.stderr
    )
    assert "| all | 0 | 1 | 0 | 0 |" in lines


@pytest.mark.usefixtures("stage")
def test_the_command_in_two_processes() -> None:
    """Both processes end, with the services that they started."""
    code = """
import sys, tests.faults.__main__ as command
command._CHUNK = 1
sys.exit(command.main(["--scenario", "draft", "--every", "500", "--jobs", "2"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=100)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
    assert re.search(r"\| all \| [0-9]+ \| 2 \| 0 \| 0 \|\n", said), said


def test_the_command_makes_the_same_calls(stage: Stage) -> None:
    """The points are played by forked processes. The installed command makes the same calls as they do."""
    forked = _counted(calls(stage, SCENARIOS["draft"]))
    stage.set(SCENARIOS["draft"])
    environ = {**stage.environ, **stage.arming().environment(stage.folder / "injector.so")}
    command = [str(Path(sys.executable).with_name("qwenbuild")), "build", "--json"]
    done = subprocess.run(command, cwd=stage.project("one"), env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert _counted(injector.read(stage.log)) == forked


def _counted(made: Iterable[Call]) -> Counter[str]:
    """Return the numbers of calls by name, without those for the snapshot: no build writes it for very young files.

    How many images share a wait for the disk depends on the time that each one takes.
    """
    names = ("create", "rename")
    return Counter(call.name for call in made if call.name in names and "snapshot" not in call.path)
