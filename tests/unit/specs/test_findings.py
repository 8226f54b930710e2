"""Findings: each problem is told once, in the order of the files, and not too many of one image."""

from __future__ import annotations

import pytest

from qwenbuild.errors import MOST_PROBLEMS, ProjectError
from qwenbuild.problems import Place, Problem
from qwenbuild.specs.findings import DataRow, Findings


def problem(claim: str, line: int = 1, path: str = "a.toml") -> Problem:
    return Problem(claim, Place(path, line, 1, 1, "x"))


def raised(findings: Findings) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        findings.raise_if_any()
    return [it.claim for it in caught.value.problems]


def test_no_findings_raise_nothing() -> None:
    """`raise_if_any` returns if there is no problem."""
    Findings().raise_if_any()


def test_a_problem_is_shown_once_for_each_place() -> None:
    """Many cells may have the same problem."""
    findings = Findings()
    findings.add([problem("x"), problem("x"), problem("x", 2)], "a/b")
    findings.add([problem("x")], "a/c")
    assert raised(findings) == ["x", "x"]


def test_problems_are_in_the_order_of_files_and_lines() -> None:
    """Problems without a place come first."""
    findings = Findings()
    findings.add([problem("5", 1, "b.toml"), problem("4", 10), problem("3", 9), Problem("1"), problem("2", 2)])
    assert raised(findings) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("number", "more"), [(20, []), (21, ["a/b: 1 more problem like these"]),
                                              (1520, ["a/b: 1,500 more problems like these"])])  # fmt: skip
def test_problems_of_an_image_are_capped_and_counted(number: int, more: list[str]) -> None:
    """Twenty problems are shown for each image."""
    findings = Findings()
    findings.add((problem(str(line), line) for line in range(number)), "a/b")
    findings.add([problem("other")], "a/c")
    claims = raised(findings)
    assert claims[MOST_PROBLEMS + 1 :] == more
    assert "other" in claims


def test_problems_of_a_file_are_all_shown() -> None:
    """The limit applies only to problems of images."""
    findings = Findings()
    findings.add(problem(str(line), line) for line in range(50))
    assert len(raised(findings)) == 50


def test_rows_that_lack_the_same_column_are_told_once() -> None:
    """The first row is shown, the others are counted with their lines. Other problems of rows are told apart."""
    findings = Findings()
    for line in (2, 3, 4, 9):
        cell = f"a/b[row=r{line}]"
        rows = [DataRow("d.csv", line, f"row=r{line}")]
        findings.add([problem('"row" has no field "x"'), problem(f"{cell}: {line} too long", 2)], "a/b", cell, rows)
    with pytest.raises(ProjectError) as caught:
        findings.raise_if_any()
    first, *others = caught.value.problems
    assert (first.claim, first.facts) == (
        '"row" has no field "x"',
        ["cell: a/b[row=r2]", "row: d.csv:2 (row=r2)", "3 more rows have the same problem", "d.csv: lines 3-4, 9"],
    )
    assert [it.claim for it in others] == [f"a/b[row=r{line}]: {line} too long" for line in (2, 3, 4, 9)]


def test_rows_with_the_same_problem_in_full() -> None:
    """With --all-errors, each row is told."""
    findings = Findings(None)
    for line in range(30):
        lacking = problem("undefined field")
        findings.add([lacking], "a/b", f"a/b[row={line}]", [DataRow("d.csv", line, f"row={line}")])
    assert raised(findings) == ["undefined field"] * 30


def test_the_same_problem_beyond_the_cap() -> None:
    """It is counted like the others."""
    findings = Findings(1)
    findings.add([problem("first")], "a/b")
    for line in (2, 3):
        lacking = problem("undefined field")
        findings.add([lacking], "a/b", f"a/b[row={line}]", [DataRow("d.csv", line, f"row={line}")])
    findings.add([problem("other image")], "a/c")
    assert raised(findings) == ["first", "other image", "a/b: 2 more problems like these"]
