"""What a person reads: units, problems, plans and provenance as text."""

from __future__ import annotations

import contextlib
import io
from decimal import Decimal
from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.plan.plan import Plan
from qwenbuild.problems import Place, Problem
from qwenbuild.provider import ServiceTask
from qwenbuild.request import Request, Size, Submission
from qwenbuild.terminal import console, plan_view, style
from tests.support.workspace import Workspace


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.01 s"), (0.004, "0.01 s"), (0.0849, "0.085 s"), (1.26, "1.3 s"), (9.99, "10 s"), (42.4, "42 s"),
        (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.9, "1 h 0 min"), (7500, "2 h 5 min"), (90_000, "25 h 0 min"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    """Seconds are shown in the unit that suits them."""
    assert style.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5 * 10**9, "5.0 GB")],
)
def test_byte_sizes(count: int, text: str) -> None:
    """Bytes are shown in the unit that suits them."""
    assert style.byte_size(count) == text


def test_money() -> None:
    """Amounts have two digits and their currency."""
    assert style.money({"CNY": Decimal("1.1"), "USD": "0.056"}) == "1.10 CNY + 0.06 USD"
    assert style.money({}) == ""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: bool) -> None:
    """Colour is for terminals, unless NO_COLOR is set to something or the terminal can't."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert style.coloured(Terminal()) == expected
    assert not style.coloured(io.StringIO())
    assert (style.styled("x", Terminal(), fg="red") != "x") == expected


def test_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """Problems go to standard error as code frames, each with an empty line after it, and are counted."""
    first = Problem("no \x1b[31m such", Place("a.toml", 2, 5, 3, "x = foo"), "a name", hint="try bar")
    style.problems([first, Problem("torn", facts=["one"])])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "error: no \\x1b[31m such\n --> a.toml:2:5\n  |\n2 | x = foo\n  |     ^^^ a name\n  = hint: try bar\n\n"
        "error: torn\n  = one\n\n2 errors\n"
    )


def test_problems_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the same text is coloured."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with contextlib.redirect_stderr(terminal):
        style.problems([Problem("torn")])
    assert terminal.getvalue() == "\x1b[31m\x1b[1merror:\x1b[0m \x1b[1mtorn\x1b[0m\n\n"


def test_a_plan(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan ends with its counts, what each model costs, and the shortest time."""
    max_model = 'prompt = "b"\nmodel = "qwen-image-max"\n'
    spec = '[image.a]\nprompt = "a"\nmatrix = { seed = { start = 1, count = 9 } }\n'
    project.write({"specs/s.toml": f"{spec}[image.b]\n{max_model}[image.c]\n{max_model}seed = 0\n"})
    plan_view.show_plan(load(project.root, region="beijing").plan(), every=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "    render  s/a[seed=1]  never rendered"
    assert lines[9] == "    render  s/b          never rendered"
    assert lines[-5:] == [
        "11 to render",
        "      cost  1.80 CNY  (qwen-image-plus: 9 at 0.2)",
        "      cost  1.00 CNY  (qwen-image-max: 2 at 0.5)",
        "    in all  2.80 CNY",
        lines[-1],
    ]
    assert lines[-1].endswith(" at least, by the service's limits")


def test_a_long_plan(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand lines are listed and the others counted; asked for, all are."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = { start = 1, count = 1100 } }\n'})
    plan = load(project.root).plan()
    plan_view.show_plan(plan, every=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[999].split() == ["render", "s/a[seed=1000]", "never", "rendered"]
    assert lines[1000:1002] == [
        "         …  100 more, not listed; `plan --all` lists every one",
        "1,100 to render",
    ]
    plan_view.show_plan(plan, every=True)
    assert len(capsys.readouterr().out.splitlines()) == 1103


def test_an_empty_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan of nothing says so."""
    plan_view.show_plan(Plan([]), every=True)
    assert capsys.readouterr().out == "nothing is selected\n"


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (
            {"generator": "qwenbuild", "action_key": "k", "request": {"model": "m", "seed": 7, "negative_prompt": "",
             "prompt": "two\nlines"}, "provider": "null"},
            "          model  m\n           seed  7\n     action key  k\n       provider  null\n\ntwo\nlines\n",
        ),
        ({"request": "torn", "x": {"y": ["\x1b"]}}, "x  {\"y\": [\"\\u001b\"]}\n\n\n"),
        ({}, "\n\n"),
    ],
)  # fmt: skip
def test_provenance(provenance: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Provenance is shown as aligned facts and the prompt, whatever an image carries."""
    console.show_provenance(provenance)
    assert capsys.readouterr().out == expected


def test_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    """The project's submissions come first, then the account's tasks, of which its own are marked."""
    request = Request("f", "m", "a \x1b ball", "", Size(8, 8), 1, False, False)
    mine = [Submission(1, "k", request, "p", handle, {}, 0.0, False) for handle in ("task:t1", "")]
    tasks = [ServiceTask("t1", "RUNNING", "m", 0.0, "task:t1"), ServiceTask("t2", "PENDING", "m")]
    console.show_tasks(mine, tasks, whole=True, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["to", "unknown", "RUNNING", "PENDING"]
    assert lines[0].endswith("8x8 seed 1  a \\x1b ball")
    assert lines[2].endswith("  t1  m  this project's")
    assert lines[3].endswith("  t2  m")
    console.show_tasks(mine, tasks[:1], whole=False, as_json=False)
    assert capsys.readouterr().out.splitlines() == lines[2:3]
    console.show_tasks([], [], whole=True, as_json=False)
    assert capsys.readouterr().out == "nothing is in flight\n"
