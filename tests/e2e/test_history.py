"""Looking back: `ls`, `log`, `diff` and `cost` with the real command, and states of others."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State, state_path
from tests.support.trouble import nobody, public_folder

from .harness import Sandbox
from .studio import Studio, cards

pytest_plugins = ("tests.support.emulated",)


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by its path."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_ordinary_day(sandbox: Sandbox) -> None:
    """Two builds, what differs between them, which build made a file, and paths for another program."""
    assert sandbox.here("build").code == 0
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of the star")
    assert sandbox.here("build").code == 0
    lines = sandbox.here("log").out.splitlines()
    ends = [line.split("  ")[-3:] for line in lines]
    assert ends == [["1 rendered", "free", "exit 0"], ["8 rendered", "free", "exit 0"]]
    assert sandbox.here("diff", "1").out.splitlines() == [
        "   changed  icons/sun  prompt changed: -sun +star", "1 changed between build 1 and now"
    ]  # fmt: skip
    history = sandbox.here("log", "out/icons/sun.png").out.splitlines()
    assert [line.split("  ")[-1] for line in history] == ["prompt changed: -sun +star", "the first image"]
    listed = sandbox.run("ls", "--null").out
    digests = subprocess.run(
        ["xargs", "-0", "sha256sum"], cwd=sandbox.root, input=listed, text=True, capture_output=True, check=True
    ).stdout
    assert len(digests.splitlines()) == 8
    assert sandbox.here("report", "--diff", "1").out.rstrip().endswith(")")


def test_nothing_is_written(sandbox: Sandbox) -> None:
    """Neither in the project nor in the store, with or without a build before."""
    for _ in range(2):
        before = files(sandbox.root.parent)
        for arguments in (["ls"], ["log"], ["log", "icons"], ["diff", "1"], ["cost"], ["cost", "--all-projects"]):
            assert sandbox.here(*arguments).code == (2 if arguments == ["diff", "1"] and len(before) < 20 else 0)
        assert files(sandbox.root.parent) == before
        assert sandbox.here("build").code == 0


def test_a_project_that_can_not_be_written(sandbox: Sandbox) -> None:
    """It can be looked at: `ls`, `log` and `diff` need no file of their own."""
    with public_folder() as folder:
        other = Sandbox(folder / "project", folder / "store")
        subprocess.run(["cp", "-r", sandbox.root, other.root], check=True)
        assert other.here("build").code == 0
        os.chmod(other.root / ".qwenbuild", 0o555)
        os.chmod(folder / "store", 0o555)
        with nobody():
            assert [other.here(*it).code for it in (["ls"], ["log"], ["log", "icons"], ["diff", "1"])] == [0] * 4


def test_an_emulator_costs_nothing(emulator: Running, tmp_path: Path) -> None:
    """`log` has the price as the build told it; `cost` counts only what the service has billed."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    built = studio.build_inside()
    assert json.loads(studio.here("log", "--json").out)["cost"] == built.finished.cost
    assert studio.here("cost").out == "nothing was billed\n"
    ledger = studio.store / "ledger/ledger.sqlite3"
    with contextlib.closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE submissions SET context = '{}', host = 'dashscope.aliyuncs.com'")
    price = f"{Decimal(built.finished.cost['CNY']):.2f}"
    lines = studio.here("cost").out.splitlines()
    assert lines[0] == f"  {price} CNY  cards/card  (2 images)"
    assert lines[1].startswith(f"  {price} CNY  in all  (2 images since ")
    with contextlib.closing(sqlite3.connect(ledger)) as db, db:
        db.execute("PRAGMA user_version=99")
    assert "was written by a newer qwenbuild" in studio.here("cost").err


OLDER = """
DROP TRIGGER remember_output; DROP INDEX history_by_path; DROP TABLE history; DROP TABLE failures;
PRAGMA user_version=2;
"""


def test_a_state_of_an_older_version(sandbox: Sandbox) -> None:
    """It opens, and stays as it is. What it does not know is a dash."""
    assert sandbox.here("build").code == 0
    with contextlib.closing(sqlite3.connect(state_path(sandbox.root))) as db, db:
        db.executescript(OLDER)
        db.execute("UPDATE runs SET summary = '{\"rendered\": 8}'")
    before = files(sandbox.root)
    assert sandbox.here("log").out.rstrip().endswith("8 rendered  –  exit –")
    assert sandbox.here("log", "icons").out == "no image was written there\n"
    assert sandbox.here("diff", "1").out == "nothing differs between build 1 and now\n"
    assert sandbox.here("ls").out.count("\n") == 8
    assert files(sandbox.root) == before
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of the star")
    assert sandbox.here("build").code == 0
    assert sandbox.here("log", "icons").out.count("\n") == 1


def test_a_state_of_a_stranger(sandbox: Sandbox) -> None:
    """Texts in it are shown with escapes, and numbers that are none are damage."""
    assert sandbox.here("build").code == 0
    with contextlib.closing(sqlite3.connect(state_path(sandbox.root))) as db, db:
        db.execute("UPDATE runs SET summary = ?", [json.dumps({"rendered": 1, "cost": {"\x1b[31mCNY": "1"}})])
        db.execute("UPDATE requests SET request = replace(request, 'Icon', 'Icon\u202e')")
    assert "\\x1b[31mCNY" in sandbox.here("log").out
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of the star")
    assert sandbox.here("build").code == 0
    for arguments in (["log", "icons"], ["diff", "1"]):
        out = sandbox.here(*arguments).out
        assert ("\u202e" in out, "star" in out) == (False, True)
    with contextlib.closing(sqlite3.connect(state_path(sandbox.root))) as db, db:
        db.execute('UPDATE runs SET summary = \'{"rendered": "many"}\'')
    assert sandbox.here("log").err.startswith("error: ")


@pytest.mark.slow
def test_long_histories(sandbox: Sandbox) -> None:
    """10,000 builds and 100,000 images of 10,000 outputs: lists are as long as asked for."""
    assert sandbox.here("build").code == 0
    digests = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(100_000)]
    images = [Output(f"x/{at % 10_000}.png", it, it, 1, 1, 1, "x") for at, it in enumerate(digests)]
    with contextlib.closing(State.of(sandbox.root, create=True)) as state, state.durably():
        for number in range(10_000):
            run = state.begin_run()
            state.record([] if number else images, {})
            state.end_run(run, {"rendered": 1, "cost": {}, "exit_code": 0})
    assert sandbox.here("log").out.count("\n") == 20
    assert sandbox.here("log", "--all").out.count("\n") == 10_001
    assert sandbox.here("log", "icons").out.count("\n") == 2
    assert sandbox.here("diff", "1", "10001").out.splitlines()[-1] == "10,000 added between build 1 and build 10001"
