"""A pytest plugin: a project and an environment for the doctor to examine, for modules with
`pytest_plugins = ("tests.support.clinic",)`.

PYTEST_DONT_REWRITE: tests may import from it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.engine import doctor
from qwenbuild.engine.scaffold import files
from qwenbuild.finding import Finding, Level
from tests.support.workspace import Workspace

KEY = "sk-canary-0d9c1f7be2a84c36"


class Clinic(Workspace):
    """A project whose environment has its own home folder and store."""

    def findings(self, **environ: str) -> dict[str, Finding]:
        """Return the last finding about each subject. `environ` is added to the environment."""
        home = self.root.parent
        given = {"HOME": str(home), "QWENBUILD_CACHE_DIR": str(home / "store"), **environ}
        found = list(doctor.examine(self.root, given))
        if KEY in repr(found):
            raise AssertionError("a finding shows the key")
        return {finding.subject: finding for finding in found}


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    """A new project, as `init` writes it, that renders at the service."""
    made = Clinic(tmp_path / "project")
    made.write({**files(), "qwenbuild.toml": 'provider = "dashscope"\n'})
    return made


def wrong(found: dict[str, Finding]) -> dict[str, str]:
    """Return the level of each finding that is a warning or a failure, by subject."""
    return {name: finding.level.value for name, finding in found.items() if finding.level is not Level.OK}
