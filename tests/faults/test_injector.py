"""The injector: what it counts, what it records, and how it makes calls fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from . import injector
from .injector import Arming, Fault
from .stage import Stage

_PROGRAM = """
import os, sqlite3, sys
folder = sys.argv[1]
fd = os.open(f"{folder}/a", os.O_WRONLY | os.O_CREAT)
try:
    print(os.write(fd, b"1234"))
except OSError as error:
    print(error.strerror)
os.fsync(fd)
os.replace(f"{folder}/a", f"{folder}/b")
db = sqlite3.connect(f"{folder}/db", isolation_level=None)
db.execute("CREATE TABLE t(x)")
print("end")
"""


def run(stage: Stage, folder: Path, fault: Fault | None = None) -> tuple[int, list[str]]:
    """Run the program; return its exit code and the lines that it printed."""
    stage.log.unlink(missing_ok=True)
    arming = Arming(stage.log, (folder,), (), fault, records_data=True)
    environ = {**os.environ, **arming.environment(stage.folder / "injector.so")}
    command = [sys.executable, "-c", _PROGRAM, str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split()


def test_calls_are_counted_and_recorded(stage: Stage, tmp_path: Path) -> None:
    """Calls of Python and of SQLite are recorded in their order, with the bytes that they write."""
    assert run(stage, tmp_path) == (0, ["4", "end"])
    calls = [call for call in injector.read(stage.log) if call.number]
    assert [(call.number, call.name, Path(call.path).name, call.data) for call in calls[:4]] == [
        (1, "create", "a", b""), (2, "write", "a", b"1234"), (3, "fsync", "a", b""), (4, "rename", "a", b"")
    ]  # fmt: skip
    assert Path(calls[3].second).name == "b"
    assert {"create", "pwrite", "fdatasync", "unlink"} <= {call.name for call in calls[4:]}


@pytest.mark.parametrize(
    ("act", "code", "printed", "left"),
    [
        ("kill", -signal.SIGKILL, [], {"a": b""}),
        ("kill-after", -signal.SIGKILL, [], {"a": b"1234"}),
        ("short", 0, ["2", "end"], {"b": b"12"}),
        ("ENOSPC", 0, ["No", "space", "left", "on", "device", "end"], {"b": b""}),
        ("ENOSPC+", 1, ["No", "space", "left", "on", "device"], {"a": b""}),
    ],
)
def test_a_call_fails(
    stage: Stage, tmp_path: Path, act: str, code: int, printed: list[str], left: dict[str, bytes]
) -> None:
    """The second call, which writes, fails as it should; with `+` later calls that need room fail, too."""
    assert run(stage, tmp_path, Fault(2, act)) == (code, printed)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "db"} == left
