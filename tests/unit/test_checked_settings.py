"""Checked settings: all mistakes of a provider's table are told at once, each with its key."""

from __future__ import annotations

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.checked_settings import CheckedSettings
from qwenbuild.errors import UsageError, WrongSettings
from qwenbuild.provider import Settings


def refuse() -> int:
    raise UsageError("not a number")


def test_all_mistakes_are_told_at_once() -> None:
    """A value that can't be read has a default, so that the others are read, too."""
    checked = CheckedSettings("p", Settings({"pace": 1, "pase": 2}, builtin(), {}), ("pace", "wait"))
    assert checked.read("wait", lambda: 7, 1) == 7
    assert checked.read("pace", refuse, 1) == 1
    with pytest.raises(WrongSettings) as caught:
        checked.check()
    assert [(key, error.claim) for key, error in caught.value.faults] == [
        ("pase", 'unknown key "pase" in [providers.p]'), ("pace", "not a number")
    ]  # fmt: skip
    assert [problem.claim for problem in caught.value.problems] == [
        'unknown key "pase" in [providers.p]', "not a number"
    ]  # fmt: skip


def test_numbers() -> None:
    """Each has a default, and a limit below."""
    table = {"wait_s": 2, "jobs": 3, "poll_s": True, "most": 0, "late_s": float("inf")}
    checked = CheckedSettings("p", Settings(table, builtin(), {}), tuple(table))
    assert (checked.seconds("wait_s", 9.0), checked.seconds("rest_s", 9.0)) == (2.0, 9.0)
    assert (checked.count("jobs", 9), checked.count("more", 9)) == (3, 9)
    checked.seconds("poll_s", 9.0), checked.count("most", 9), checked.seconds("late_s", 1800.0)
    with pytest.raises(WrongSettings) as caught:
        checked.check()
    assert [(error.claim, error.hint) for _, error in caught.value.faults] == [
        ("[providers.p] poll_s is not a number of seconds above 0", "such as 9"),
        ("[providers.p] most is not a whole number above 0", "such as 9"),
        ("[providers.p] late_s is not a number of seconds above 0", "such as 1800"),
    ]


def test_settings_without_a_mistake() -> None:
    """Nothing is raised."""
    CheckedSettings("p", Settings({"pace": 1}, builtin(), {}), ("pace",)).check()
