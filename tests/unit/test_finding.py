"""A finding reports an error as `doctor` shows it."""

from __future__ import annotations

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.finding import Finding, Level
from qwenbuild.problems import Problem


def test_a_finding_of_an_error() -> None:
    """The claim, the facts and the hint of the error are the finding's."""
    error = UsageError("no such folder", facts=["it is: x"], hint="name another")
    assert Finding.of_error("project", error) == Finding(
        "project", Level.FAIL, "no such folder", ("it is: x",), "name another"
    )


def test_a_finding_of_several_problems() -> None:
    """The first problem is shown with its place; the others are counted."""
    error = ProjectError([Problem("first"), Problem("second"), Problem("third")])
    found = Finding.of_error("specs", error, Level.WARN)
    assert found == Finding("specs", Level.WARN, "first", ("2 more mistakes; `qwenbuild plan` shows them all",))
