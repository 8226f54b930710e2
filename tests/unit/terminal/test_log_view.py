"""The view of `log`: builds and images."""

from __future__ import annotations

import json
import sys

import pytest

from qwenbuild.engine.history import PastImage
from qwenbuild.storage.history import Written
from qwenbuild.storage.records import Run
from qwenbuild.terminal import log_view
from qwenbuild.terminal.style import local_time

WHEN = local_time(1_790_000_000.0)
RUN = Run(12, 1_790_000_000.0, 1_790_000_005.0, {"cost": {}}, 4.0, 0)
IMAGE = PastImage(Written("s/a.png", "k" * 64, "1234567890abcdef", 1_790_000_000.0, ""), "s/a", 12, "first", True)


def line(run: Run, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line of a build behind its number and time."""
    log_view.show_builds([run], as_json=False)
    return capsys.readouterr().out.rstrip("\n").removeprefix(f"12  {WHEN}  ")


@pytest.mark.parametrize(
    ("summary", "code", "dropped", "said"),
    [
        ({"rendered": 4, "failed": 1, "up_to_date": 9_000, "cost": {"CNY": "0.80"}}, 1, 0,
         "4 rendered, 1 failed  0.80 CNY  exit 1"),
        ({"restored": 2, "cost": {}}, 0, 3, "2 restored, 3 dropped  free  exit 0"),
        ({"up_to_date": 3, "cost": {}}, 0, 0, "nothing to do  free  exit 0"),
        ({"rendered": 1}, None, 0, "1 rendered  –  exit –"),
        ({"rendered": 1, "cost": {"\x1b[2J": "1"}}, 0, 0, "1 rendered  1.00 \\x1b[2J  exit 0"),
    ],
)  # fmt: skip
def test_a_build(
    summary: dict[str, object], code: int | None, dropped: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its line says what it did; what an older version did not record is a dash."""
    run = RUN._replace(summary=summary, exit_code=code, dropped=("x",) * dropped)
    assert line(run, capsys) == f"       4 s  {said}"


def test_a_build_that_has_not_ended(capsys: pytest.CaptureFixture[str]) -> None:
    """It is running, or was killed: nobody knows what it did."""
    run = Run(12, 1_790_000_000.0, None, None)
    assert line(run, capsys) == "         –  has not ended: it is running, or was killed"
    assert log_view.build_dict(run) == {
        "event": "build", "number": 12, "started_at_s": 1_790_000_000.0, "finished_at_s": None, "seconds": None,
        "outcomes": {}, "dropped": [], "cost": None, "exit_code": None,
    }  # fmt: skip


def test_a_summary_without_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    """How long it took is not known."""
    assert line(RUN._replace(seconds=None), capsys) == "         –  nothing to do  free  exit 0"


def test_builds(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers are aligned; without any build, the view says so."""
    log_view.show_builds([RUN, RUN._replace(number=7)], as_json=False)
    assert [it.split("  2")[0] for it in capsys.readouterr().out.splitlines()] == ["12", " 7"]
    log_view.show_builds([], as_json=False)
    assert capsys.readouterr().out == "no build is on record\n"
    log_view.show_builds([RUN._replace(dropped=("a.png",))], as_json=True)
    table = json.loads(capsys.readouterr().out)
    assert (table["seconds"], table["outcomes"], table["dropped"], table["cost"]) == (4.0, {}, ["a.png"], {})


def test_images(capsys: pytest.CaptureFixture[str]) -> None:
    """The images of several outputs are named; an image that the store lost is told."""
    other = PastImage(IMAGE.written._replace(path="s/b\x1b.png"), "", None, "second", False)
    log_view.show_images([IMAGE, other], as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"12  {WHEN}  1234567890ab  s/a  first",
        f" –  {WHEN}  1234567890ab  s/b\\x1b.png  second; gone from the store",
    ]
    log_view.show_images([IMAGE], as_json=False)
    assert capsys.readouterr().out == f"12  {WHEN}  1234567890ab  first\n"
    log_view.show_images([], as_json=False)
    assert capsys.readouterr().out == "no image was written there\n"
    log_view.show_images([IMAGE], as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "event": "image", "name": "s/a", "path": "s/a.png", "image": "1234567890abcdef", "key": "k" * 64,
        "at_s": 1_790_000_000.0, "build": 12, "change": "first", "kept": True,
    }  # fmt: skip


def test_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are cut to its width, and the code of a failure is red."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "50")
    log_view.show_images([PastImage(IMAGE.written, "s/a", 12, "x" * 99, True)], as_json=False)
    assert capsys.readouterr().out == f"12  {WHEN}  1234567890ab  xxxx…\n"
    run = RUN._replace(summary={"failed": 1, "cost": {}}, exit_code=1)
    assert line(run, capsys).endswith("free  \x1b[31mexit 1\x1b[0m")
