"""The views of a watch: lines in a pipe, and the status of a terminal line by line."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.events import Drafted, Finished, ImageFinished, Outcome, Replanned, Serving, Started, Stopping
from qwenbuild.problems import Place, Problem
from qwenbuild.terminal.watch_view import WatchLines, WatchStatus
from qwenbuild.watch.watcher import Watch
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2, 3, 4, 5] }\n'
PLAN = {"render": 2, "up_to_date": 1}


@pytest.fixture
def status(project: Workspace) -> WatchStatus:
    """The status of a watch over five cells that cost money; nothing has been read."""
    project.write({"specs/s.toml": SPEC})
    return WatchStatus(Watch(load(project.root, region="beijing")))


def texts(status: WatchStatus, height: int = 40) -> list[str]:
    """Return the lines of the status without their styles."""
    return [line for _, line in status.lines(height)]


def test_lines_of_readings(capsys: pytest.CaptureFixture[str]) -> None:
    """The first reading is `watching`; later ones name at most three files; errors keep the last good plan."""
    view = WatchLines()
    view.emit(Replanned((), PLAN, {"CNY": "0.40"}, 0.1))
    view.emit(Replanned(["a", "b", "c", "d\x1b"], PLAN, {}, 0.1))
    view.emit(Replanned(["a"], PLAN, {}, 0.1, [Problem("torn")]))
    assert capsys.readouterr().err == (
        "  watching 2 to render, 1 up to date, 0.40 CNY\n"
        "   changed a, b, c and 1 more: 2 to render, 1 up to date\n"
        "error: torn\n\n   changed a: keeping the last good plan\n"
    )


def test_lines_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    """Each build counts its images from 1; the end of a build has no line."""
    view = WatchLines()
    view.emit(Serving("http://127.0.0.1:1/"))
    view.emit(Drafted("s/\x1ba", "s/a.png", "d"))
    for _ in range(2):
        view.emit(Started("null", {"render": 1, "restore": 0, "reattach": 0, "failed": 0}))
        view.emit(ImageFinished("s/a", "s/a.png", Outcome.RENDERED, "new", 0.1))
        view.emit(Stopping("interrupted", 0))
        view.emit(Finished(1, 0, 0, 0, 0, 0, 0.1))
    image = "    [1/1] rendered   s/a (new)\n"
    assert capsys.readouterr().err == (f"      page http://127.0.0.1:1/\n   drafted s/\\x1ba\n{image}{image}")


def test_a_status_before_the_first_plan(status: WatchStatus) -> None:
    """Before the first reading there is no plan and no cost."""
    assert texts(status) == ["  watching  project"]


def test_a_status_with_a_plan(status: WatchStatus, project: Workspace) -> None:
    """The plan has counts and a reason; the keys show the price."""
    status.live.plan = load(project.root, region="beijing").plan()
    status.changed = ["specs/s.toml"]
    status.address, status.has_keys = "http://127.0.0.1:1/", True
    assert texts(status) == [
        "  watching  project",
        "   changed  specs/s.toml",
        "      plan  5 to render",
        "       why  never rendered",
        "      cost  1.00 CNY to render",
        "      page  http://127.0.0.1:1/",
        "            r render (1.00 CNY) · o open page · q quit",
    ]
    assert status.stale == [f"s/a[seed={seed}]" for seed in range(1, 6)]


def test_a_status_with_errors_fits_the_terminal(status: WatchStatus) -> None:
    """Code frames are cut to the height of the terminal, and the rest is counted; `r` is not offered."""
    status.live.is_faulty, status.has_keys = True, True
    status.live.problems = [Problem(f"mistake {number}", Place("s.toml", 1)) for number in range(10)]
    lines = texts(status, height=10)
    assert lines[:3] == ["  watching  project", "error: mistake 0", " --> s.toml:1:1"]
    assert lines[-2:] == ["            and 14 more lines", "            q quit"]
    assert len(lines) == 9
    status.live.problems = [Problem("torn", name="toml-syntax")]
    assert texts(status)[1:3] == ["error: torn", "`qwenbuild explain-error toml-syntax` says more about it"]


def test_a_status_with_failures(status: WatchStatus) -> None:
    """At most three failures are listed."""
    for number in range(5):
        event = ImageFinished(f"s/{number}", "p", Outcome.FAILED, "torn \x1b", 0.1)
        status.live.events[event.name] = event
    assert texts(status)[1:] == [
        *(f"    failed  s/{number}  torn \\x1b" for number in range(3)),
        "            and 2 more",
    ]
