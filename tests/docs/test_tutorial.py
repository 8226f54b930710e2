"""The tutorial works as it is written: its commands, its screens of `watch`, its CI and its real images.

A console block without a command is what the screen of `watch` shows. A watch runs until its chapter ends; then the
test presses `q`, as the text says. The service is the emulator.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qwenbuild.emulator.server import Running

from .pages import REPOSITORY, Block, block_of, blocks, prose
from .recorder import Recorder

pytest_plugins = ("tests.support.emulated",)

PAGE = REPOSITORY / "docs/tutorial.md"
WORKFLOW = ".github/workflows/images.yml"
END = "--- end of the block ---"
SIZE = (100, 30)


class Reader:
    """Somebody who does what the tutorial says, in one shell and, for `watch`, a second one."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.place, self.environ = folder, environ
        self.shell = subprocess.Popen(
            ["bash"], cwd=folder, env=environ, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._watch: Recorder | None = None

    def run(self, commands: list[str]) -> str:
        """Run commands, one after another; return what they print."""
        assert self.shell.stdin and self.shell.stdout
        script = " && ".join(f"{{ {command}; }}" for command in [*commands, "pwd"]).replace("sk-…", "sk-emulator")
        self.shell.stdin.write(f"{script} </dev/null; printf '%s %s\\n' {END!r} $?\n")
        *lines, place = self._lines()
        self.place = Path(place.rstrip("\n"))
        return "".join(lines)

    def _lines(self) -> Iterator[str]:
        assert self.shell.stdout
        seen = []
        for line in self.shell.stdout:
            seen.append(line)
            _, mark, code = line.partition(END)
            if mark:
                assert code == " 0\n", "".join(seen)
                return
            yield line
        raise AssertionError("".join(seen))

    def see(self, block: Block) -> None:
        """Start the watch of a block, if it has one, and wait for its screen."""
        if block.commands:
            (command,) = block.commands
            self._watch = Recorder(["bash", "-c", command], self.place, self.environ, SIZE)
        assert self._watch, block.place
        self._watch.until(expected(block))

    def leave_watch(self) -> None:
        """Press `q`, if there is a watch, and wait for its end."""
        if self._watch:
            self._watch.press("q")
            assert self._watch.ended() == 0
            self._watch.close()
            self._watch = None

    def close(self) -> None:
        """End both shells."""
        with contextlib.suppress(AttributeError):
            self._watch.close()  # type: ignore[union-attr]
        self.shell.kill()
        self.shell.communicate()


def expected(block: Block) -> str:
    """Return a pattern of what a block prints; `…` stands for any text."""
    return ".*".join(map(re.escape, block.output.split("…")))


@pytest.fixture
def reader(tmp_path: Path, emulator: Running) -> Iterator[Reader]:
    """A reader in an empty folder, whose service is the emulator."""
    who = {f"GIT_{who}_{it}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for it in ("NAME", "EMAIL")}
    address = {name: value for name, value in emulator.environment().items() if "KEY" not in name}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "BROWSER": "true", "PATH": path}
    (tmp_path / "work").mkdir()
    reader = Reader(tmp_path / "work", {**os.environ, **who, **address, **ours})
    yield reader
    reader.close()


@pytest.mark.slow
@pytest.mark.timeout(400)  # 25 commands, a watch and 32 drafts: fifteen seconds of CPU time
def test_the_tutorial(reader: Reader, emulator: Running, tmp_path: Path) -> None:
    """Every command runs, and prints what the page shows; the images of the last chapter are billed once."""
    chapters = [line for line, text in enumerate(prose(PAGE).split("\n"), 1) if text.startswith("## ")]
    of_before = 0
    for block in [it for it in blocks(PAGE) if not it.reason]:
        chapter = sum(line < block.line for line in chapters)
        if chapter != of_before:
            reader.leave_watch()
            of_before = chapter
        if block.file:
            (reader.place / block.file).parent.mkdir(parents=True, exist_ok=True)
            (reader.place / block.file).write_text(block.text, "utf-8")
        elif not block.commands or block.commands[0].startswith("qwenbuild watch"):
            reader.see(block)
        else:
            printed = reader.run(block.commands)
            assert re.fullmatch(expected(block), printed, re.DOTALL), f"{block.place}:\n{printed}"
    assert emulator.bill()["count"] == 10
    in_ci(reader, tmp_path / "clone")


def in_ci(reader: Reader, clone: Path) -> None:
    """Run the steps of the workflow in a clone, without a key and with an empty store.

    The address stays: at another one, images of the emulator would be out of date.
    """
    (job,) = workflow()["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "pip install" not in step.get("run", "pip install")]
    environ = {**reader.environ, "QWENBUILD_CACHE_DIR": f"{clone}-store", "CI": "1"}
    subprocess.run(["git", "clone", "-q", reader.place, clone], check=True)
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(steps)], cwd=clone, env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "all 10 outputs are what the lock pins"), done.stderr


def workflow() -> dict[str, Any]:
    """Return the workflow of the tutorial."""
    found: dict[str, Any] = yaml.safe_load(block_of(WORKFLOW, "docs/tutorial.md").text)
    return found


def test_the_workflow_is_safe() -> None:
    """No script contains an expression or sees a secret, and the job can only read."""
    scripts = [step.get("run", "") for job in workflow()["jobs"].values() for step in job["steps"]]
    assert [script for script in scripts if "${{" in script or "secrets." in script] == []
    assert workflow()["permissions"] == {"contents": "read"}
