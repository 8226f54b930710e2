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


def test_settings_without_a_mistake() -> None:
    """Nothing is raised."""
    CheckedSettings("p", Settings({"pace": 1}, builtin(), {}), ("pace",)).check()
