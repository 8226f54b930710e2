"""The build lock: one process holds it, another is refused, and a killed process releases it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qwenbuild.errors import ProjectBusy, UsageError
from qwenbuild.storage.build_lock import alone

_HOLD = """
import pathlib, sys, time
from qwenbuild.storage.build_lock import alone
with alone(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_build_holds_the_lock_until_it_ends(tmp_path: Path) -> None:
    """The folder is made, and git ignores it; a second build can start after the first."""
    folder = tmp_path / ".qwenbuild"
    for _ in range(2):
        with alone(folder):
            assert (folder / ".gitignore").read_text("utf-8") == "*\n"


def test_a_second_build_is_refused_while_one_runs(tmp_path: Path) -> None:
    """The error names the lock; after the other process was killed, the lock is free."""
    with subprocess.Popen([sys.executable, "-c", _HOLD, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ProjectBusy) as caught, alone(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    assert caught.value.claim == "another build of this project is running"
    assert caught.value.facts == (f"lock: {tmp_path / 'lock'}",)
    with alone(tmp_path):
        assert (tmp_path / "lock").exists()


def test_a_file_in_the_folders_place_is_a_usage_error(tmp_path: Path) -> None:
    """The error names the folder."""
    (tmp_path / ".qwenbuild").write_bytes(b"")
    with pytest.raises(UsageError, match=r"\.qwenbuild can't be written: File exists"), alone(tmp_path / ".qwenbuild"):
        pass
