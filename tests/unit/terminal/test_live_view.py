"""The view of a build on a terminal; the e2e tests show it on a real one."""

from __future__ import annotations

import pytest

from qwenbuild.events import Finished, ImageFinished, Outcome, Started
from qwenbuild.problems import Problem
from qwenbuild.terminal.live_view import LiveView

PLAN = {"render": 40, "restore": 0, "reattach": 0, "failed": 0}


def test_failures_stay_when_the_build_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    """By reason, in full; of very many reasons the first ones."""
    shown = LiveView(out="out/")
    shown.emit(Started("null", PLAN))
    for at in range(30):
        shown.emit(ImageFinished(f"s/{at}", "s/a.png", Outcome.FAILED, "torn", 0.1, [Problem(f"torn {at // 2}")]))
    assert capsys.readouterr().err == ""
    shown.emit(Finished(0, 0, 0, 30, 0, 0, 1.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "    failed s/0",
        "           error: torn 0",
        "    failed 1 more, for the same reason as s/0: s/1",
        "    failed s/2",
    ]
    assert lines[30:] == [
        "         … 10 more, for 5 other reasons; `qwenbuild status` lists them",
        "30 failed in 1 s",
        "      next  `qwenbuild build` tries again what failed, and only that",
    ]


def test_what_is_in_flight_and_what_failed_is_below_the_bar() -> None:
    """Names keep both ends; the last reasons are shown, with the last cell of each."""
    shown = LiveView()
    shown.emit(Started("null", PLAN))
    for at in range(8):
        shown.finished_image(
            ImageFinished(f"s/{at}", "s/a.png", Outcome.FAILED, "x", 0.1, [Problem(f"torn {at // 2}")]), made=False
        )
    shown._running = {f"s/{'long' * 40}[seed={at}]": None for at in range(3)}
    long = "long" * 7
    assert list(shown._below()) == [
        (f" in flight  s/{long[:26]}…{long[:20]}[seed=0] and 2 more", "dim"),
        ("    failed  s/3 and 1 more: torn 1", "red"),
        ("    failed  s/5 and 1 more: torn 2", "red"),
        ("    failed  s/7 and 1 more: torn 3", "red"),
    ]


def test_failures_are_shown_if_the_build_breaks_off(capsys: pytest.CaptureFixture[str]) -> None:
    """Then no summary follows."""
    shown = LiveView()
    shown.emit(Started("null", PLAN))
    shown.emit(ImageFinished("s/a", "s/a.png", Outcome.FAILED, "torn", 0.1, [Problem("torn")]))
    shown.close()
    shown.close()
    assert capsys.readouterr().err == "    failed s/a\n           error: torn\n"


def test_a_verbose_build_has_a_line_for_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    """Above the block."""
    shown = LiveView(is_verbose=True)
    shown.emit(Started("null", PLAN))
    shown.emit(ImageFinished("s/a", "s/a.png", Outcome.RENDERED, "new", 0.1))
    shown.close()
    assert capsys.readouterr().err == "   [1/40] rendered   s/a (new)\n"
