"""The findings of `doctor` as text and as JSON."""

from __future__ import annotations

import json

import pytest

from qwenbuild.finding import Finding, Level
from qwenbuild.terminal import doctor_view

FINE = Finding("store", Level.OK, "the store can be written", ("12 images",), name="disk-full")
LATE = Finding("clock", Level.WARN, "the clock is \x1b late", hint="set it")
BROKEN = Finding("key", Level.FAIL, "there is no API key", hint="set DASHSCOPE_API_KEY", name="no-api-key")


def test_findings_have_facts_and_hints(capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding is a claim with its facts and its hint; the last lines count, and name what is wrong."""
    assert doctor_view.show([FINE, LATE, BROKEN], as_json=False) == 1
    assert capsys.readouterr().out == (
        "  ok  store      the store can be written\n"
        "                 12 images\n"
        "warn  clock      the clock is \\x1b late\n"
        "                 hint: set it\n"
        "FAIL  key        there is no API key\n"
        "                 hint: set DASHSCOPE_API_KEY\n"
        "1 to fix, 1 to look at\n"
        "`qwenbuild explain-error no-api-key` says more about it\n"
    )


def test_warnings_fail_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 0 as long as nothing must be fixed."""
    assert doctor_view.show([LATE], as_json=False) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to fix, 1 to look at"
    assert doctor_view.show([], as_json=False) == 0
    assert capsys.readouterr().out == "nothing to fix\n"


def test_findings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding is a line, with a name if something is wrong; the last line counts the levels."""
    assert doctor_view.show([FINE, BROKEN], as_json=True) == 1
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "finding", "subject": "store", "level": "ok", "claim": "the store can be written",
         "facts": ["12 images"], "hint": None},
        {"event": "finding", "subject": "key", "level": "fail", "claim": "there is no API key", "facts": [],
         "hint": "set DASHSCOPE_API_KEY", "name": "no-api-key"},
        {"event": "examined", "ok": 1, "warn": 0, "fail": 1},
    ]  # fmt: skip
