"""What `lint` found, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from qwenbuild.problems import Place, Problem
from qwenbuild.specs.lint_rules import IDLE_AXIS, UNUSED_VARIABLE, Remark
from qwenbuild.terminal import lint_view

VARIABLE = Remark(
    UNUSED_VARIABLE,
    Problem('no template reads the variable "\x1b"', Place("specs/a.toml", 2, 1, 1, "b = 1"), hint="a hint"),
)
AXIS = Remark(IDLE_AXIS, Problem("axis `b`", facts=["one", "two"]))


def test_frames_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Each remark begins with its rule; the last line counts."""
    lint_view.show([VARIABLE, AXIS], as_json=False)
    assert capsys.readouterr().out == (
        'unused-variable: no template reads the variable "\\x1b"\n'
        " --> specs/a.toml:2:1\n"
        "  |\n"
        "2 | b = 1\n"
        "  | ^\n"
        "  = hint: a hint\n"
        "\n"
        "idle-axis: axis `b`\n"
        "  = one\n"
        "  = two\n"
        "\n"
        "2 found: 1 unused-variable, 1 idle-axis\n"
        "`qwenbuild explain-error NAME` says more about unused-variable, idle-axis\n"
    )


def test_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A project without a finding gets one line."""
    lint_view.show([], as_json=False)
    assert capsys.readouterr().out == "nothing found\n"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each remark is an object, and so is the end."""
    lint_view.show([VARIABLE, AXIS], as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {
            "event": "finding", "rule": "unused-variable", "claim": 'no template reads the variable "\x1b"',
            "path": "specs/a.toml", "line": 2, "column": 1, "facts": [], "hint": "a hint",
        },
        {"event": "finding", "rule": "idle-axis", "claim": "axis `b`", "facts": ["one", "two"], "hint": None},
        {"event": "linted", "findings": 2, "rules": {"unused-variable": 1, "idle-axis": 1}},
    ]  # fmt: skip


def test_the_first_remarks_of_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """Three are shown without frames and facts; the others are counted."""
    lint_view.show_first([VARIABLE, AXIS])
    assert capsys.readouterr().err == (
        'warning: no template reads the variable "\\x1b"\n --> specs/a.toml:2:1\n  = hint: a hint\nwarning: axis `b`\n'
    )
    lint_view.show_first([AXIS] * 5)
    assert capsys.readouterr().err == "warning: axis `b`\n" * 3 + "         …  2 more: `qwenbuild lint`\n"
