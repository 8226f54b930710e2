"""What the tests of the command line share: a small project, and a function that runs a command line in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qwenbuild.cli import main
from qwenbuild.trust import TRUST_ENV
from tests.support.workspace import Workspace

Command = Callable[..., tuple[int, str, str]]

SPEC = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2] }\n'


@pytest.fixture
def command(project: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line in a project of two images; returns the exit code, standard output and standard error."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})
    monkeypatch.chdir(project.root)
    monkeypatch.setenv(TRUST_ENV, "")  # --trust-project sets it

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
