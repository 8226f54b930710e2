"""The views of a build in a pipe and as JSON; the e2e tests show the live view on a real terminal."""

from __future__ import annotations

import json

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
)  # fmt: skip
from qwenbuild.problems import Problem
from qwenbuild.terminal.build_view import JsonView, LineView, LiveView, view
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


@pytest.mark.parametrize(
    ("finished", "text"),
    [
        (Finished(0, 0, 12_345, 0, 0, 0, 0.018), "nothing to do: 12,345 up to date in 0.02 s\n"),
        (
            Finished(2, 1, 3, 0, 0, 0, 65.2, reattached=4, submitted=5, cost={"CNY": "0.44"}),
            "2 rendered, 4 reattached, 1 restored, 5 submitted, 3 up to date in 1 min 5 s, 0.44 CNY\n",
        ),
        (
            Finished(0, 0, 0, 1, 2, 3, 5, skipped=4, orphans=6, interrupted=True),
            "1 failed, 3 unknown, 2 edited, 4 skipped in 5 s\n"
            "interrupted: all finished images are kept; build again to continue\n"
            "unknown images may have been billed; --resubmit sends them again\n"
            "edited files were kept; --overwrite replaces them\n"
            "6 outputs are no longer declared; `qwenbuild clean --orphans` removes them\n",
        ),
        (
            Finished(0, 0, 3, 0, 0, 0, 0.5, orphans=1),
            "nothing to do: 3 up to date in 0.50 s\n"
            "1 output is no longer declared; `qwenbuild clean --orphans` removes it\n",
        ),
    ],
)
def test_the_summary(finished: Finished, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary has counts, time and cost, then what to do about images that are left."""
    LineView().emit(finished)
    assert capsys.readouterr().err == text


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
