"""The stage of the tests of faults: one for each worker, with the services that all of its points share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import injector
from .stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A stage, or a skipped test if this machine can't inject faults."""
    if reason := injector.reason_against():
        pytest.skip(f"left out: {reason}")
    with Stage.open() as opened:
        yield opened
