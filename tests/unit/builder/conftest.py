"""What the tests of the builder share: a build whose provider a test scripts, and an empty state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild.storage.state import State
from tests.support.builds import Build, Service, accept
from tests.support.workspace import Workspace


@pytest.fixture
def build(project: Workspace) -> Build:
    """A project without images yet."""
    return Build(project)


@pytest.fixture
def service(build: Build) -> Service:
    """The service of the build's project, which has one image for 0.25 CNY."""
    build.provider = service = Service(accept, price="0.25", concurrency=1)
    build.prompts("one")
    return service


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """An empty state."""
    state = State(tmp_path / "state.sqlite3")
    yield state
    state.close()
