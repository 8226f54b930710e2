"""An explanation as text; the e2e tests compare a whole one."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

from qwenbuild import load
from qwenbuild.terminal import explain_view
from tests.support.workspace import Workspace

SPEC = """\
[image.a]
prompt = "a {{ colour }} ball"
negative_prompt = "blurry"
prompt_extend = true
matrix = { colour = ["red", "blue"] }
"""


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def shown(project: Workspace, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the explanation of the first cell."""
    explain_view.show(load(project.root, provider="null", where=["colour=*"]).explain()[:1])
    return capsys.readouterr().out


def test_a_cell_that_was_never_built(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The explanation has a verdict, fields with their sources, and the prompt; nothing is compared."""
    project.write({"specs/s.toml": SPEC})
    lines = shown(project, capsys).splitlines()
    assert lines[:2] == ["s/a[colour=red]", "    render  never rendered"]
    fields = [line.strip() for line in lines if re.match(r" +(prompt extend|watermark|negative prompt) ", line)]
    assert fields == [
        "negative prompt  blurry           specs/s.toml:3",
        "prompt extend  true             specs/s.toml:4",
        "watermark  false            default",
    ]
    assert lines[-4:] == [
        "          prompt  specs/s.toml:2",
        "  a red ball",
        "",
        "          colour  red  axis colour, specs/s.toml:5",
    ]


def test_a_changed_prompt_in_a_pipe_and_on_a_terminal(
    project: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe changes are marked as in git's word diff; on a terminal they are coloured."""
    project.write({"specs/s.toml": SPEC})
    load(project.root, provider="null").build()
    project.write({"specs/s.toml": SPEC.replace("ball", "\u202e box")})
    text = shown(project, capsys)
    assert "  a red [-ball-]{+\\u202e box+}\n" in text
    assert text.splitlines()[-2] == "earlier images of this output, newest first"
    assert text.splitlines()[-1].endswith("  in the store")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with contextlib.redirect_stdout(terminal):
        explain_view.show(load(project.root, provider="null", where=["colour=red"]).explain())
    assert "a red \x1b[31m\x1b[9mball\x1b[0m\x1b[32m\x1b[1m\\u202e box\x1b[0m" in terminal.getvalue()
    assert "\x1b[36mred\x1b[0m" in terminal.getvalue()


def test_two_explanations_are_separated(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe an empty line separates two explanations."""
    project.write({"specs/s.toml": SPEC})
    explain_view.show(load(project.root, provider="null").explain())
    assert "\n\ns/a[colour=blue]\n" in capsys.readouterr().out
