"""A pytest plugin: the emulator as a fixture, for modules with `pytest_plugins = ("tests.support.emulated",)`.

PYTEST_DONT_REWRITE: it asserts nothing, and tests may import from it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qwenbuild.emulator.server import EmulatorOptions, Running, running

QUICK = EmulatorOptions(latency_s=0.0, queue_s=0.0, limits=0.0, images="null")
"""The emulator answers at once, without rate limits, with plain images. `dataclasses.replace` changes options."""


@pytest.fixture(scope="session")
def emulator_process() -> Iterator[Running]:
    """The emulator that all tests of a process share."""
    with running(QUICK) as handle:
        yield handle


@pytest.fixture
def emulator(emulator_process: Running) -> Running:
    """A quick emulator without earlier requests."""
    emulator_process.reset()
    return emulator_process
