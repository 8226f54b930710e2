"""The build lock: one process holds it, another is refused, and a killed process releases it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qwenbuild.errors import ProjectBusy, UsageError
from qwenbuild.storage.build_lock import hold_build_lock

_HOLD = """
import pathlib, sys, time
from qwenbuild.storage.build_lock import hold_build_lock
with hold_build_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_build_holds_the_lock_until_it_ends(tmp_path: Path) -> None:
    """The folder is created, and git ignores the folder. A second build can start after the first."""
    folder = tmp_path / ".qwenbuild"
    for _ in range(2):
        with hold_build_lock(folder):
            assert (folder / ".gitignore").read_text("utf-8") == "*\n"


_FULL = """
import pathlib, resource, signal, sys
from qwenbuild.errors import UsageError
from qwenbuild.storage.build_lock import hold_build_lock
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
try:
    with hold_build_lock(pathlib.Path(sys.argv[1])):
        pass
except UsageError as error:
    print(error.claim)
"""


def test_a_full_disk_leaves_no_torn_gitignore(tmp_path: Path) -> None:
    """An empty `.gitignore` would stay for ever, and git would add the state."""
    folder = tmp_path / ".qwenbuild"
    done = subprocess.run([sys.executable, "-c", _FULL, folder], capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder} can't be written: File too large\n"
    with hold_build_lock(folder):
        assert (folder / ".gitignore").read_text("utf-8") == "*\n"


def test_a_second_build_is_refused_while_one_runs(tmp_path: Path) -> None:
    """The error names the lock. When the other process is killed, the lock is free."""
    with subprocess.Popen([sys.executable, "-c", _HOLD, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ProjectBusy) as caught, hold_build_lock(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    assert caught.value.claim == "another build of this project is running"
    assert caught.value.facts == (f"lock: {tmp_path / 'lock'}",)
    with hold_build_lock(tmp_path):
        assert (tmp_path / "lock").exists()


def test_a_file_in_the_folders_place_is_a_usage_error(tmp_path: Path) -> None:
    """The error names the folder."""
    (tmp_path / ".qwenbuild").write_bytes(b"")
    with (
        pytest.raises(UsageError, match=r"\.qwenbuild can't be written: File exists"),
        hold_build_lock(tmp_path / ".qwenbuild"),
    ):
        pass


@pytest.mark.parametrize(("kind", "why"), [("link", "a link"), ("pipe", "not a regular file"), ("folder", "a folder")])
def test_only_a_file_is_locked(tmp_path: Path, kind: str, why: str) -> None:
    """Locking empties the file, so a stranger's link would empty another file of the user."""
    victim, place = tmp_path / "precious", tmp_path / ".qwenbuild/lock"
    victim.write_bytes(b"mine")
    place.parent.mkdir()
    if kind == "link":
        place.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(UsageError) as caught, hold_build_lock(place.parent):
        pass
    assert (caught.value.claim, caught.value.hint) == (
        f"{place} can't be locked: it is {why}", "remove it, then build again"
    )  # fmt: skip
    assert victim.read_bytes() == b"mine"
