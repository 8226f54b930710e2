"""Outputs that need attention, by reason."""

from __future__ import annotations

from qwenbuild.events import ImageFinished, Outcome
from qwenbuild.problems import Problem
from qwenbuild.terminal.alike import Alike


def ended(name: str, outcome: Outcome, reason: str, *problems: Problem) -> ImageFinished:
    """Return the event of a finished output."""
    return ImageFinished(name, "x.png", outcome, reason, 0.1, problems)


def test_equal_reasons_are_one_group() -> None:
    """Ids make no difference; an output without problems is compared by its reason."""
    alike = Alike()
    for number in range(3):
        alike.add(ended(f"s/{number}", Outcome.FAILED, "torn", Problem("to\x1brn", facts=[f"request id: {number}"])))
    alike.add(ended("s/3", Outcome.EDITED, "by hand"))
    group = alike.add(ended("s/4", Outcome.EDITED, "by hand"))
    assert (group.is_new, group.first.name, group.names, group.claim) == (False, "s/3", ["s/3", "s/4"], "by hand")
    assert [(it.names, it.claim) for it in alike.groups()] == [
        (["s/0", "s/1", "s/2"], "to\\x1brn"), (["s/3", "s/4"], "by hand")
    ]  # fmt: skip
    assert (len(alike.taken()), alike.groups()) == (2, [])


def test_the_path_of_an_output_makes_no_difference() -> None:
    """Such as in the message that its file can't be written."""
    alike = Alike()
    for path in ("a/1.png", "a/2.png"):
        problem = Problem(f"/out/{path} can't be written", facts=[f"see {path}"])
        group = alike.add(ImageFinished(path, path, Outcome.FAILED, "x", 0.1, [problem]))
    assert group.names == ["a/1.png", "a/2.png"]


def test_what_failed_earlier_is_told_apart() -> None:
    """It was not sent again, because the service refused it."""
    alike = Alike()
    alike.add(ended("s/0", Outcome.FAILED, "no cats"))
    assert not alike.has_refused
    alike.add(ended("s/1", Outcome.FAILED, "not sent again: no cats"))
    assert alike.has_refused


def test_what_is_not_sent_again_is_told_apart_at_once() -> None:
    """Its hint names the option that sends it again; other failures have none."""
    alike = Alike()
    alike.add(ended("s/0", Outcome.FAILED, "torn", Problem("torn", hint="build again")))
    assert not alike.has_refused
    alike.add(ended("s/1", Outcome.FAILED, "refused", Problem("refused", hint="`--retry-failed` sends it again")))
    assert alike.has_refused
