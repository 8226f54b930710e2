"""The examples of the README run: its commands in a copy of this repository, its TOML and its Python.

A block that can't run has a comment before it: `<!-- not run: REASON -->`. In a `console` block the
lines that begin with `$ ` are run, except for the installation. The other lines are the expected
output, in which `…` stands for any text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.specs import user_config
from tests.support.workspace import Workspace

REPOSITORY = Path(__file__).parents[2]
INSTALL = "python -m pip install . && "
KNOWN = ("console", "toml", "python", "text")


@dataclass(frozen=True)
class Block:
    """A fenced block that begins at `line`; `reason` says why it is not run, and is empty otherwise."""

    line: int
    language: str
    text: str
    reason: str


def blocks(*languages: str) -> list[Block]:
    """Return the blocks in these languages that run."""
    return [block for block in every_block() if block.language in languages and not block.reason]


def every_block() -> list[Block]:
    """Return every fenced block."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    fence = re.compile(r"(?:^<!-- not run: ([^>]+) -->\n)?^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Block(text.count("\n", 0, found.start(2)) + 1, found[2], found[3], (found[1] or "").strip())
        for found in fence.finditer(text)
    ]


@pytest.fixture
def copy(tmp_path: Path) -> Workspace:
    """A copy of this repository's project: its config, specs and templates."""
    for name in ("specs", "templates"):
        shutil.copytree(REPOSITORY / name, tmp_path / "clone" / name)
    shutil.copy(REPOSITORY / "qwenbuild.toml", tmp_path / "clone")
    return Workspace(tmp_path / "clone")


def test_every_block_is_run_or_says_why_not() -> None:
    """Every block is in a language that these tests run, or says why it is not run."""
    wrong = [f"line {block.line}" for block in every_block() if block.language not in KNOWN]
    assert wrong == []
    assert [f"line {block.line}" for block in blocks("text")] == []


@pytest.mark.timeout(400)  # two dozen commands, among them builds of all worked examples: half a minute of CPU time
def test_commands(copy: Workspace) -> None:
    """All commands run in one shell, one after another, and print what the README shows."""
    lines = ["set -e"]
    shown: list[tuple[Block, str]] = []
    for block in blocks("console"):
        commands = [line[2:].removeprefix(INSTALL) for line in block.text.splitlines() if line.startswith("$ ")]
        shown.append((block, "".join(f"{line}\n" for line in block.text.splitlines() if not line.startswith("$ "))))
        lines += [*commands, "echo '--- next block ---'"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=copy.root, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    printed = done.stdout.split("--- next block ---\n")
    assert done.returncode == 0, f"{shown[len(printed) - 1][0]}\n{done.stderr}"
    for (block, expected), found in zip(shown, printed, strict=False):
        pattern = ".*".join(map(re.escape, expected.split("…")))
        assert not expected or re.fullmatch(pattern, found, re.DOTALL), f"line {block.line}: {found}"


def test_specs_and_configs(tmp_path: Path) -> None:
    """Each TOML block is a spec or a config that can be planned, or the user's own config."""
    own = user_config.path()
    assert own
    own.parent.mkdir(parents=True)
    for block in blocks("toml"):
        if "sole_user" in block.text or "[trust." in block.text:
            own.write_text(block.text, "utf-8")
            said = user_config.read()
            assert said.of_provider("dashscope").sole_user or said.approved(Path("/home/me/work/posters"))
            own.unlink()
            continue
        files = {"qwenbuild.toml": 'provider = "null"\n', "specs/poster.toml": '[image.x]\nprompt = "p"\n'}
        files["specs/poster.toml" if "[image." in block.text else "qwenbuild.toml"] = block.text
        template = "{{ brand }} {{ mood }} {{ palette }}"
        place = Workspace(tmp_path / str(block.line)).write({**files, "templates/poster.j2": template})
        assert load(place.root).plan().renders != [], f"line {block.line}"


def test_python(copy: Workspace) -> None:
    """Each Python block runs at the root of a project."""
    for block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", block.text], cwd=copy.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"line {block.line}: {done.stderr}"
