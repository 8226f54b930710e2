"""The command that opens a file in the user's editor."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.pages import editor

FILE = Path("/my project/specs/a.toml")


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("code --wait", ["code", "--wait", "-g", f"{FILE}:7"]),
        ("'/opt/VS Code/bin/code' -r", ["/opt/VS Code/bin/code", "-r", "-g", f"{FILE}:7"]),
        ("cursor", ["cursor", "-g", f"{FILE}:7"]),
        ("subl -n -w", ["subl", "-n", "-w", f"{FILE}:7"]),
        ("zed", ["zed", f"{FILE}:7"]),
        ("idea64.exe", ["idea64.exe", "--line", "7", str(FILE)]),
        ("pycharm.sh", ["pycharm.sh", "--line", "7", str(FILE)]),
        ("kate -b", ["kate", "-b", "--line", "7", str(FILE)]),
        ("gvim -f", ["gvim", "-f", "+7", str(FILE)]),
        ("emacs", ["emacs", "+7", str(FILE)]),
        ("emacsclient -n", ["emacsclient", "-n", "+7", str(FILE)]),
        ("open -t", ["open", "-t", str(FILE)]),
    ],
)
def test_editors_with_a_window_get_the_line(variable: str, words: list[str]) -> None:
    """Each editor gets the line in its own way; the options of the variable stay."""
    assert editor.command(FILE, 7, {"EDITOR": variable, "DISPLAY": ":0"}) == words


@pytest.mark.parametrize(
    "variable",
    ["", "  ", "vim", "/usr/bin/nvim", "nano -w", "hx", "emacs -nw", "emacsclient -t", "emacsclient", "ed", "true; rm",
     "env EDITOR=code code", "/usr/bin/env nvim", "nvim -p", "/home/me/bin/emacs"],
)  # fmt: skip
def test_other_editors_are_not_started(variable: str) -> None:
    """An editor of the terminal, one that nobody knows, and Emacs without a display give no command."""
    assert editor.command(FILE, 7, {"EDITOR": variable}) == []


def test_visual_comes_first() -> None:
    """VISUAL counts before EDITOR, unless it is empty."""
    assert editor.command(FILE, 1, {"VISUAL": "zed", "EDITOR": "code"})[0] == "zed"
    assert editor.command(FILE, 1, {"VISUAL": " ", "EDITOR": "code"})[0] == "code"
    assert editor.command(FILE, 1, {"VISUAL": "vim", "EDITOR": "code"}) == []


def test_a_variable_that_is_no_command_line() -> None:
    """The message shows the variable."""
    with pytest.raises(UsageError) as caught:
        editor.command(FILE, 1, {"EDITOR": "code 'x"})
    assert str(caught.value) == "error: EDITOR is no command line: No closing quotation\n  = EDITOR=code 'x"


def test_an_editor_is_started_without_a_shell(tmp_path: Path) -> None:
    """The editor gets its words as they are, runs in the project, and is not waited for."""
    script = tmp_path / "code"
    script.write_text('#!/bin/sh\npwd > seen.tmp\nprintf "%s\\n" "$@" >> seen.tmp\nmv seen.tmp seen\n')
    script.chmod(0o755)
    file = tmp_path / "a;touch b.toml"
    editor.start(editor.command(file, 3, {"EDITOR": str(script)}), tmp_path)
    while not (tmp_path / "seen").exists():
        time.sleep(0.01)
    assert (tmp_path / "seen").read_text().splitlines() == [str(tmp_path), "-g", f"{file}:3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code", "seen"]


def test_an_editor_that_is_not_there(tmp_path: Path) -> None:
    """The message names the command, and what to set."""
    with pytest.raises(UsageError) as caught:
        editor.start([str(tmp_path / "code"), "x"], tmp_path)
    assert str(caught.value) == (
        f"error: the editor can't be started: {tmp_path / 'code'}: No such file or directory\n"
        "  = hint: set VISUAL or EDITOR to a command that opens files"
    )
