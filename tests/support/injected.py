"""A plugin for tests: the library that records the calls which a process makes of the file system."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import injector


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    """The library that records the calls of a process."""
    if reason := injector.reason_against():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as folder:
        yield injector.build(Path(folder))
