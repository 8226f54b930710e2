"""What `explain-error` shows."""

from __future__ import annotations

import pytest

from qwenbuild.error_entries import Entry, of_group
from qwenbuild.terminal import error_view


def test_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """It has the name, why the error happens, the remedy in steps, and an example."""
    steps = ("one", "two")
    error_view.show(
        [
            Entry("a-b", "x", "a title", "word " * 19 + "end", steps, "x = 1\n\n[y]"),
            Entry("c", "x", "t", "w", ["r"], ""),
        ]
    )
    assert capsys.readouterr().out == (
        "a-b: a title\n"
        "\n"
        "       why  word word word word word word word word word word word word word word word word word\n"
        "            word word end\n"
        "\n"
        "    remedy  1. one\n"
        "            2. two\n"
        "\n"
        "   example  x = 1\n"
        "\n"
        "            [y]\n"
        "\n"
        "c: t\n"
        "\n"
        "       why  w\n"
        "\n"
        "    remedy  r\n"
    )


def test_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """Each name has a line with its title; the last line says how to go on."""
    error_view.show_groups(["emulator"])
    assert capsys.readouterr().out == (
        "The emulator (emulator)\n"
        "  not-a-fault               the emulator can't inject this fault\n"
        "  emulator-draws-for-money  the emulator draws only with free providers\n"
        "\n"
        "`qwenbuild explain-error NAME` says why an error happens and what to do\n"
    )
    error_view.show_groups(["data", "emulator"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(of_group("data")) + len(of_group("emulator")) + 5
    assert lines[-1].endswith("; `qwenbuild explain-error data` lists one group")
