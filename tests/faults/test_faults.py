"""A sample of all faults at all calls. `python -m tests.faults` plays the others."""

from __future__ import annotations

import pytest

from .points import calls, play, points
from .scenarios import SCENARIOS
from .stage import Stage

PLAYED = {"draft": 8, "sync": 30, "async": 30, "restore": 12, "remote": 20}
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
