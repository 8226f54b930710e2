"""The views of a build in a pipe and as JSON; the e2e tests show the live view on a real terminal."""

from __future__ import annotations

import json
import re

import pytest

from qwenbuild.events import (
    Delayed,
    Finished,
    ImageFinished,
    ImageWaiting,
    LookingUp,
    NotSent,
    Outcome,
    Started,
    Stopping,
    Warned,
)  # fmt: skip
from qwenbuild.problems import Problem
from qwenbuild.terminal.build_view import JsonView, LineView, QuietView, view
from qwenbuild.terminal.live_view import LiveView
from qwenbuild.terminal.style import clock, local_time

PLAN = {
    "render": 2, "restore": 1, "reattach": 1, "failed": 0, "up_to_date": 5, "edited": 1, "unknown": 1, "orphans": 2,
}  # fmt: skip


def ended(outcome: Outcome, reason: str = "why", *problems: Problem) -> ImageFinished:
    """Return the event of a finished output."""
    return ImageFinished("s/\x1ba", "s/a.png", outcome, reason, 0.1, problems)


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe each image that was made has a counted line; images that need attention show the cause."""
    shown = LineView()
    shown.emit(Started("null", PLAN))
    for event in (
        ended(Outcome.RENDERED), ended(Outcome.UP_TO_DATE), ended(Outcome.REATTACHED), ended(Outcome.SKIPPED),
        ended(Outcome.EDITED, "by \x1b hand"), ended(Outcome.FAILED, "torn", Problem("torn", hint="mend")),
        ended(Outcome.SUBMITTED),
    ):  # fmt: skip
        shown.emit(event)
    assert capsys.readouterr() == (
        "",
        "    [1/4] rendered   s/\\x1ba (why)\n"
        "    [2/4] reattached s/\\x1ba (why)\n"
        "    edited s/\\x1ba\n           by \\x1b hand\n"
        "    failed s/\\x1ba\n           error: torn\n             = hint: mend\n"
        "    [4/4] submitted  s/\\x1ba (why)\n",
    )


def test_failures_of_earlier_builds_are_counted_in_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    """They end first, without a request; no image has a higher number than there are."""
    shown = LineView()
    shown.emit(Started("null", {**PLAN, "render": 1, "restore": 0, "reattach": 0, "failed": 2}))
    for outcome in (Outcome.FAILED, Outcome.FAILED, Outcome.RENDERED):
        shown.emit(ended(outcome))
    assert capsys.readouterr().err.splitlines()[-1] == "    [3/3] rendered   s/\\x1ba (why)"


def test_equal_failures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The first one is shown in full, the others with some names at the end. Ids make no difference."""
    shown = LineView()
    for number in range(8):
        problem = Problem("torn" if number < 7 else "lost", facts=(f"request id: {number}",))
        shown.emit(ImageFinished(f"s/{number}", "s/a.png", Outcome.FAILED, "torn", 0.1, [problem]))
    shown.emit(Finished(0, 0, 0, 8, 0, 0, 1.0))
    assert capsys.readouterr().err == (
        "    failed s/0\n           error: torn\n             = request id: 0\n"
        "    failed s/7\n           error: lost\n             = request id: 7\n"
        "    failed 6 more, for the same reason as s/0: s/1, s/2, s/3, s/4, s/5 and 1 more\n"
        "8 failed in 1 s\n"
    )


def test_delays_and_refused_models(capsys: pytest.CaptureFixture[str]) -> None:
    """A reason for delays has one line, whichever images it concerns; what was not sent is counted."""
    shown = LineView()
    for cell, reason in (("a", "slower: \x1b"), ("b", "slower: \x1b"), ("b", "broken")):
        shown.emit(Delayed(f"s/{cell}", "x.png", reason, 1e9))
    shown.emit(NotSent("m", 1, "not activated"))
    shown.emit(NotSent("n", 1200, "not activated"))
    assert capsys.readouterr().err == (
        f"   waiting  s/a, tried again at {clock(1e9)}: slower: \\x1b\n"
        f"   waiting  s/b, tried again at {clock(1e9)}: broken\n"
        "  not sent  1 more image of m: not activated\n"
        "  not sent  1,200 more images of n: not activated\n"
    )


def test_looking_up(capsys: pytest.CaptureFixture[str]) -> None:
    """The number of lost answers is shown while the service is asked about them."""
    shown = LineView()
    shown.emit(LookingUp(1))
    shown.emit(LookingUp(1200))
    assert capsys.readouterr().err == (
        "looking up  1 lost answer: asking the service what became of them\n"
        "looking up  1,200 lost answers: asking the service what became of them\n"
    )


@pytest.mark.parametrize(("kind", "cells"), [(LineView, ["a", "b"]), (LiveView, ["a"])])
def test_waiting(capsys: pytest.CaptureFixture[str], kind: type[LineView], cells: list[str]) -> None:
    """A pipe has a line for each image that another build renders; a terminal has one for each project."""
    shown = kind()
    for cell in ("a", "b"):
        shown.emit(ImageWaiting(f"s/{cell}", f"s/{cell}.png", "/home/me/\x1bother", 0.0))
    since = local_time(0.0)
    assert capsys.readouterr().err == "".join(
        f"   waiting s/{cell} (being rendered by /home/me/\\x1bother since {since})\n" for cell in cells
    )


def test_stopping(capsys: pytest.CaptureFixture[str]) -> None:
    """A build that stops says why, and how many renders are still in flight."""
    shown = LineView()
    shown.emit(Stopping("interrupted", 3))
    shown.emit(Stopping("interrupted", 0))
    shown.emit(Stopping("the disk is full", 1))
    shown.emit(Stopping("no key", 1, [Problem("no key", hint="set one")]))
    assert capsys.readouterr().err == (
        "stopping; 3 renders are in flight and will be kept. Press Ctrl-C again to leave at once.\n"
        "stopping. Press Ctrl-C again to leave at once.\n"
        "  stopping  the disk is full\n"
        "  stopping\nerror: no key\n  = hint: set one\n"
    )


def test_named_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """When the build has ended, one line says how to learn more about what failed, and about what stopped it."""
    shown = LineView()
    shown.emit(ended(Outcome.FAILED, "torn", Problem("torn", name="bad-image")))
    shown.emit(Stopping("full", 0, [Problem("full", name="disk-full")]))
    before = capsys.readouterr().err
    shown.emit(Finished(0, 0, 0, 1, 0, 0, 1.0))
    line = "`qwenbuild explain-error NAME` says more about disk-full, bad-image\n"
    assert (before.count("explain-error"), capsys.readouterr().err.splitlines(keepends=True)[0]) == (0, line)


def test_many_images_have_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """With the numbers of outcomes; failures are told at once, those alike at the end."""
    shown = LineView()
    shown.emit(Started("null", {**PLAN, "render": 1000, "restore": 0, "reattach": 0}))
    for at in range(1000):
        failed = at % 500 == 10
        problems = [Problem("torn")] if failed else []
        outcome = Outcome.FAILED if failed else Outcome.RENDERED
        shown.emit(ImageFinished(f"s/{at}", "s/a.png", outcome, "torn", 0.1, problems))
    shown.emit(Finished(998, 0, 0, 2, 0, 0, 1.0))
    lines = [re.sub(r" in .*", "", line) for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "    failed s/10",
        "           error: torn",
        *(f"[{done:>5,}/1,000] {done - 1} rendered, 1 failed" for done in range(100, 600, 100)),
        *(f"[{done:>5,}/1,000] {done - 2} rendered, 2 failed" for done in range(600, 1100, 100)),
        "    failed 1 more, for the same reason as s/10: s/510",
        "998 rendered, 2 failed",
    ]


def test_a_verbose_build_has_a_line_for_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    """However many there are."""
    shown = LineView(is_verbose=True)
    shown.emit(Started("null", {**PLAN, "render": 1000, "restore": 0, "reattach": 0}))
    for _ in range(2):
        shown.emit(ended(Outcome.RENDERED))
    assert capsys.readouterr().err.splitlines() == [
        " [1/1000] rendered   s/\\x1ba (why)",
        " [2/1000] rendered   s/\\x1ba (why)",
    ]


def test_a_quiet_build_says_only_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of images that were made, and no summary."""
    shown = QuietView()
    shown.emit(Started("null", PLAN))
    shown.emit(LookingUp(1))
    shown.emit(Delayed("s/a", "x.png", "slower", 1e9))
    shown.emit(ended(Outcome.RENDERED))
    shown.emit(Warned([Problem("no remote")]))
    shown.emit(ended(Outcome.FAILED, "torn", Problem("torn")))
    shown.emit(ended(Outcome.FAILED, "torn", Problem("torn")))
    shown.emit(Finished(1, 0, 0, 2, 0, 0, 1.0, orphans=3))
    assert capsys.readouterr().err == (
        "warning: no remote\n"
        "    failed s/\\x1ba\n           error: torn\n"
        "    failed 1 more, for the same reason as s/\\x1ba: s/\\x1ba\n"
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each event is one line of standard output, even if its text has line breaks."""
    shown = JsonView()
    shown.emit(Started("null", PLAN))
    shown.emit(ended(Outcome.FAILED, "two\nlines \u2028", Problem("a\nb")))
    shown.close()
    lines = capsys.readouterr().out.split("\n")
    assert [json.loads(line)["event"] for line in lines[:-1]] == ["started", "image_finished"]
    assert json.loads(lines[1])["reason"] == "two\nlines \u2028"


def test_which_view() -> None:
    """Without a terminal the view prints lines, or JSON if asked for."""
    assert type(view(as_json=True)) is JsonView
    assert type(view(as_json=False)) is LineView
    assert type(view(as_json=False, is_quiet=True)) is QuietView
