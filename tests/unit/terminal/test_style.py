"""Units, colours, and problems as text."""

from __future__ import annotations

import contextlib
import io
from decimal import Decimal

import pytest

from qwenbuild.problems import Place, Problem
from qwenbuild.terminal import style


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

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
    """A time is shown in a suitable unit."""
    assert style.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5 * 10**9, "5.0 GB")],
)
def test_byte_sizes(count: int, text: str) -> None:
    """A number of bytes is shown in a suitable unit."""
    assert style.byte_size(count) == text


def test_money() -> None:
    """Amounts have two decimal places and a currency."""
    assert style.money({"CNY": Decimal("1.1"), "USD": "0.056"}) == "1.10 CNY + 0.06 USD"
    assert style.money({}) == ""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: bool) -> None:
    """Terminals are coloured unless they are dumb; NO_COLOR forbids it everywhere, FORCE_COLOR else allows it."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert style.coloured(Terminal()) == expected
    assert style.coloured(io.StringIO()) == (expected and "FORCE_COLOR" in environ)
    assert (style.styled("x", Terminal(), fg="red") != "x") == expected


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_force_color_can_be_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """These values force nothing, as elsewhere."""
    monkeypatch.setenv("FORCE_COLOR", value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert not style.coloured(io.StringIO())


@pytest.mark.parametrize(("each_s", "text"), [(12.34, "12.3/s"), (1, "1.0/s"), (0.5, "30.0/min")])
def test_rates(each_s: float, text: str) -> None:
    """A rate is shown by the second, or by the minute if it is low."""
    assert style.rate(each_s) == text


def test_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """Problems are written to standard error as code frames, each followed by an empty line, then counted."""
    first = Problem("no \x1b[31m such", Place("a.toml", 2, 5, 3, "x = foo"), "a name", hint="try bar")
    style.problems([first, Problem("torn", facts=["one"])])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "error: no \\x1b[31m such\n --> a.toml:2:5\n  |\n2 | x = foo\n  |     ^^^ a name\n  = hint: try bar\n\n"
        "error: torn\n  = one\n\n2 errors\n"
    )


def test_how_to_learn_more(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line names one error, or the first three; it is there once, and only if an error has a name."""
    style.problems([Problem("a", name="x")])
    assert capsys.readouterr().err == "error: a\n\n`qwenbuild explain-error x` says more about it\n"
    style.problems([Problem("a", name=name) for name in ("x", "", "y", "x", "z", "v", "w")])
    *_, count, last = capsys.readouterr().err.splitlines()
    assert (count, last) == ("7 errors", "`qwenbuild explain-error NAME` says more about x, y, z and 2 more")


def test_problems_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the claim is coloured."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with contextlib.redirect_stderr(terminal):
        style.problems([Problem("torn")])
    assert terminal.getvalue() == "\x1b[31m\x1b[1merror:\x1b[0m \x1b[1mtorn\x1b[0m\n\n"


def test_warnings_stand_below_themselves_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of a claim, a fact or a hint begins at the first column of the next one."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    problem = Problem("one two three four five six seven", facts=["x" * 40], hint="short")
    assert style.warning_lines(problem, stream=Terminal()) == [
        "warning: one two three four five six",
        "         seven",
        "  =",
        f"    {'x' * 31}",
        f"    {'x' * 9}",
        "  = hint: short",
    ]
    assert style.warning_lines(problem, stream=io.StringIO())[0] == "warning: one two three four five six seven"
