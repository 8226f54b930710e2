"""The fixture of builds whose provider a test scripts."""

from __future__ import annotations

import pytest

from tests.support.builds import Build
from tests.support.workspace import Workspace


@pytest.fixture
def build(project: Workspace) -> Build:
    """A project without images yet."""
    return Build(project)
