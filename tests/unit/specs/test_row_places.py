"""Row places: an error that comes from a row of data names the cell, the file and the line."""

from __future__ import annotations

import pytest

from qwenbuild.specs.findings import Findings
from qwenbuild.specs.row_places import RowPlaces
from tests.support.workspace import Workspace

SPEC = """\
[image.a]
prompt = "{{ r.title }} {{ 1 / r.n | int }}"
matrix = { r = { file = "data/rows.csv" }, seed = [1, 2], size = ["1:1", "16:9"] }
"""


@pytest.mark.parametrize("bad", [["b"], ["b", "d"]])
def test_each_bad_row_is_told_once(project: Workspace, bad: list[str]) -> None:
    """And not once for each size and seed."""
    rows = "".join(f"{name},{0 if name in bad else 1},x\n" for name in "abcde")
    project.write({"specs/s.toml": SPEC, "specs/data/rows.csv": "id,n,title\n" + rows})
    text = project.complaint()
    assert text.count("division by zero") == len(bad)
    for name in bad:
        line = "abcde".index(name) + 2
        assert f"= cell: s/a[r={name},seed=1,size=1328x1328]\n  = row: specs/data/rows.csv:{line} (r={name})" in text


def test_a_prompt_that_is_too_long_is_told_once_for_each_row(project: Workspace) -> None:
    """Its message names the cell itself."""
    spec = SPEC.replace("{{ 1 / r.n | int }}", "")
    project.write({"specs/s.toml": spec, "specs/data/rows.csv": f"id,title\na,{'x' * 801}\nb,y\nc,{'x' * 900}\n"})
    text = project.complaint()
    assert text.count("too long") == 2
    assert text.count("cell:") == 0
    assert "row: specs/data/rows.csv:4 (r=c)" in text


def test_twenty_rows_are_shown_in_full(project: Workspace) -> None:
    """Of the others, the lines."""
    rows = "".join(f"{number},{number == 30:d},x\n" for number in range(50))
    project.write({"specs/s.toml": SPEC, "specs/data/rows.csv": "id,n,title\n" + rows})
    text = project.complaint()
    assert text.count("row: specs/data/rows.csv") == 20
    assert text.endswith(
        "error: s/a: 29 more problems like these\n"
        "  = specs/data/rows.csv: lines 22-31, 33-51\n"
        "  = hint: --all-errors shows all of them"
    )


def test_a_file_that_can_not_be_read_any_more(project: Workspace) -> None:
    """The row is named without its line."""
    project.write({"specs/s.toml": SPEC, "specs/data/rows.csv": "id,n,title\na,0,x\n"})
    [declaration] = project.declarations()
    [values, *_] = [action.values for action in project.write({"specs/s.toml": SPEC.replace("1 /", "")}).actions()]
    (project.root / "specs/data/rows.csv").unlink()
    assert [*map(str, RowPlaces(declaration).of(values))] == ["row: specs/data/rows.csv (r=a)"]


def test_problems_without_rows_are_told_as_before(project: Workspace) -> None:
    """Once for each claim and place."""
    findings = Findings()
    project.write({"specs/s.toml": '[image.a]\nprompt = "{{ x }}"\nmatrix = { seed = [1, 2] }\n'})
    assert project.complaint().count("undefined variable") == 1
    assert "cell:" not in project.complaint()
    findings.raise_if_any()
