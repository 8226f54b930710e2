from __future__ import annotations

import io
import os
import re
import time

import pytest

from qwenbuild.noop import Asked, Found
from qwenbuild.noop_answers import coloured, last_build, nothing_to_do, orphaned, set_colour, shown
from qwenbuild.noop_snapshot import Snapshot, pack


def found(*status: str, orphans: int = 0) -> Found:
    """Return what a snapshot with this `status` knows about 1,234 outputs."""
    parts = [[], [], [text.encode() for text in status], []]
    return Found(1234, orphans, 0, Snapshot("", pack([], [], parts, [], b"")))


@pytest.mark.parametrize(
    ("when", "colours"), [("auto", ("", "1")), ("always", (None, "1")), ("never", ("1", None))]
)  # fmt: skip
def test_colours_are_set_for_the_whole_command(
    when: str, colours: tuple[str | None, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment says so, to the programs that it starts, too; `auto` leaves it as it is."""
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    set_colour(when)
    assert (os.environ.get("NO_COLOR"), os.environ.get("FORCE_COLOR")) == colours
    assert coloured(io.StringIO()) == (when != "never")


def test_lines_that_a_build_prints() -> None:
    """Numbers have separators, and one thing is not several things."""
    assert nothing_to_do(1234, 0.001) == "nothing to do: 1,234 up to date in 0.01 s\n"
    assert orphaned(1) == "1 output is no longer declared; `qwenbuild clean --orphans` removes it"
    assert orphaned(2) == "2 outputs are no longer declared; `qwenbuild clean --orphans` removes them"


def test_the_last_build_has_its_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its difference from UTC, as all times are shown."""
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    assert last_build(0.0, "2 rendered") == "last build 1970-01-01 02:00:00+02:00: 2 rendered"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lock", "--check"], "up to date: qwenbuild.lock\n"),
        (["plan"], "1,234 up to date\n"),
        (["status", "--json"], "{}\n"),
        (["status"], "a/b     1,200 up to date\na/long  34 up to date\n"),
    ],
)
def test_what_commands_print(arguments: list[str], expected: str) -> None:
    """Each command has the counts in its own form."""
    known = found("{}\n", "", "", "a/b", "1200", "a/long", "34")
    assert shown(Asked(arguments), known, in_colour=False) == expected


def test_a_status_with_orphans_and_a_last_build() -> None:
    """Both have a line below those of the images."""
    text = shown(Asked(["status"]), found("", "0.5", "1 rendered", "a/b", "1", orphans=1), in_colour=True)
    image, orphans, last = text.splitlines()
    assert (image, orphans) == ("a/b  \x1b[2m1 up to date\x1b[0m", orphaned(1))
    assert re.fullmatch(r"last build \S+ \S+: 1 rendered", last)
