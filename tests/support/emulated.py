"""A pytest plugin: the local DashScope as a fixture, for modules with
`pytest_plugins = ("tests.support.emulated",)`.

PYTEST_DONT_REWRITE: it asserts nothing, and tests may import from it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qwenbuild.emulator.server import EmulatorOptions, Running, running

QUICK = EmulatorOptions(latency_s=0.0, queue_s=0.0, limits=0.0, images="null")
"""Answers at once, without rate limits, with plain images; `dataclasses.replace` makes others of it."""


@pytest.fixture(scope="session")
def emulator_process() -> Iterator[Running]:
    """One emulator for all tests of a process."""
    with running(QUICK) as handle:
        yield handle


@pytest.fixture
def emulator(emulator_process: Running) -> Running:
    """A quick emulator that has seen nothing yet."""
    emulator_process.reset()
    return emulator_process
