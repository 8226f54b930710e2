"""The view of `diff`: a line for each output that differs."""

from __future__ import annotations

import json
import sys

import pytest

from qwenbuild.plan.comparison import Comparison, Difference, Made, Side
from qwenbuild.terminal import diff_view

OLD, NEW = Made("s/a\x1b", "k", "1"), Made("s/b", "l", "2")
FOUND = Comparison(
    Side("build 1", {}), Side("HEAD\x1b", {}),
    [Difference("added", "b.png", None, NEW, "added"),
     Difference("changed", "a.png", OLD, OLD, "prompt changed: -red +blue\x1b")],
)  # fmt: skip


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has the kind, the cell and the reason; the number of each kind comes last."""
    diff_view.show(FOUND, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "     added  s/b",
        "   changed  s/a\\x1b  prompt changed: -red +blue\\x1b",
        "1 added, 1 changed between build 1 and HEAD\\x1b",
    ]
    diff_view.show(Comparison(FOUND.old, FOUND.new, []), as_json=False)
    assert capsys.readouterr().out == "nothing differs between build 1 and HEAD\\x1b\n"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each difference has both sides; the counts come last."""
    diff_view.show(FOUND, as_json=True)
    added, changed, compared = map(json.loads, capsys.readouterr().out.splitlines())
    assert added == {
        "event": "difference", "kind": "added", "name": "s/b", "path": "b.png", "reason": "added", "old": None,
        "new": {"key": "l", "image": "2"},
    }  # fmt: skip
    assert (changed["old"], changed["reason"]) == ({"key": "k", "image": "1"}, "prompt changed: -red +blue\x1b")
    assert compared == {
        "event": "compared", "old": "build 1", "new": "HEAD\x1b", "added": 1, "changed": 1, "repinned": 0,
        "dropped": 0,
    }  # fmt: skip


def test_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines fit it: names are shortened in the middle, reasons at the end."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "50")
    long = Difference("changed", "a.png", OLD, Made("s/" + "word " * 20 + "end", "k", "1"), "prompt " * 9)
    diff_view.show(Comparison(FOUND.old, FOUND.new, [long]), as_json=False)
    [line, _] = capsys.readouterr().out.splitlines()
    assert line == "   changed  s/word word …ord word end  prompt pro…"
    assert len(line) == 50
