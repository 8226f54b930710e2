"""The fixture of builds whose provider a test scripts."""

from __future__ import annotations

import pytest

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
