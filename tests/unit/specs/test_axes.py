"""Tests of axes: each form that a spec can write, and the values that it resolves to."""

from __future__ import annotations

import pytest

from qwenbuild.errors import Findings, ProjectError
from qwenbuild.specs.axes import Resolver, table_row
from qwenbuild.specs.spec import DataFile, Range, Spec
from tests.support.workspace import Workspace


def spec_of(project: Workspace) -> Spec:
    project.write({"specs/a.toml": '[image.a]\nprompt = "x"\nmatrix.c = [{ id = "en" }]\n'})
    [found] = project.specs(Findings())
    return found


def test_each_form_stands_for_its_values(project: Workspace) -> None:
    """A list keeps its values, a table becomes a row, a range stays lazy, and one value becomes a list."""
    spec, resolver = spec_of(project), Resolver(project.project)
    keys = ("image", "a", "matrix", "c")
    assert resolver.resolve(spec, keys, ["x", 1]) == ["x", 1]
    assert resolver.resolve(spec, keys, "x") == ["x"]
    assert resolver.resolve(spec, keys, Range(start=5, count=3, step=2)) == range(5, 11, 2)
    rows = resolver.resolve(spec, keys, [{"id": "en"}, {"title": "y"}])
    assert [(str(row), dict(row)) for row in rows] == [("en", {"id": "en"}), ("2", {"title": "y"})]


def test_a_file_is_read_once_for_each_id(project: Workspace) -> None:
    """Images that share a file share its rows."""
    spec, resolver = spec_of(project), Resolver(project.project)
    project.write({"specs/data/c.csv": "id,title\nen,x\n"})
    keys = ("image", "a", "matrix", "c")
    first = resolver.resolve(spec, keys, DataFile(file="data/c.csv"))
    project.write({"specs/data/c.csv": "id,title\nzh,y\n"})
    assert resolver.resolve(spec, keys, DataFile(file="data/../data/c.csv")) is first
    assert list(map(str, resolver.resolve(spec, keys, DataFile(file="data/c.csv", id="title")))) == ["y"]


def test_a_link_within_the_project_may_be_followed(project: Workspace) -> None:
    """A data file may lie anywhere in the project."""
    spec, resolver = spec_of(project), Resolver(project.project)
    project.write({"shared/c.csv": "id\nen\n"})
    (project.root / "specs/c.csv").symlink_to("../shared/c.csv")
    for name in ("c.csv", "../shared/c.csv"):
        assert list(map(str, resolver.resolve(spec, ("image",), DataFile(file=name)))) == ["en"]


def test_an_id_of_a_table_is_a_text_or_a_number(project: Workspace) -> None:
    """The id becomes a part of cell names and paths."""
    spec, keys = spec_of(project), ("image", "a", "matrix", "c", 0)
    assert [str(table_row({"id": name}, 1, spec, keys)) for name in ("en", 5, 1.5, True)] == ["en", "5", "1.5", "true"]
    with pytest.raises(ProjectError, match="an id must be a text or a number") as caught:
        table_row({"id": {}}, 1, spec, keys)
    assert str(caught.value.problems[0].place) == "specs/a.toml:3:20"
