"""The start of the command, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from qwenbuild.version import __version__


def command(*arguments: str, environ: dict[str, str] | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run `python -m qwenbuild`; return the exit code and both outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "qwenbuild", *arguments],
        env={**os.environ, **(environ or {})}, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_version() -> None:
    """`--version` prints name and version."""
    assert command("--version") == (0, f"qwenbuild {__version__}\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_is_the_stored_text(option: str) -> None:
    """`--help` prints `help.txt`."""
    text = resources.files("qwenbuild").joinpath("help.txt").read_text("utf-8")
    assert command(option) == (0, text, "")


def test_a_wrong_command_is_a_usage_error(tmp_path: Path) -> None:
    """The exit code of the command line is the exit code of the process."""
    code, out, err = command("biuld", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert 'did you mean "build"?' in err


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_error(tmp_path: Path, closed: str) -> None:
    """Files that the command opens don't take the numbers of closed streams."""
    script = f'"{sys.executable}" -m qwenbuild init new {closed}'
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert (tmp_path / "new/qwenbuild.toml").is_file()


def test_a_shell_gets_completions() -> None:
    """The script that `completion` prints asks through this environment variable."""
    asked = {"_QWENBUILD_COMPLETE": "bash_complete", "COMP_LINE": "qwenbuild bui"}
    assert command(environ=asked) == (0, "plain,build\n", "")
