"""Tests of axes: each form that a spec can write, and the values that it resolves to."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.specs.axes import Resolver, WrittenAxis, data_files, table_row, written
from qwenbuild.specs.fields import DataFile, Range
from qwenbuild.specs.findings import Findings
from tests.support.workspace import Workspace


def axis_of(project: Workspace, values: Any) -> WrittenAxis:
    """Return an axis with these values, as the spec `specs/a.toml` might write it."""
    project.write({"specs/a.toml": '[image.a]\nprompt = "x"\nmatrix.c = [{ id = "en" }]\n'})
    [spec] = project.specs(Findings())
    return WrittenAxis(values, spec.source, ("image", "a", "matrix", "c"), spec.path.parent)


def test_each_form_stands_for_its_values(project: Workspace) -> None:
    """A list keeps its values, a table becomes a row, a range stays lazy, and one value becomes a list."""
    resolver = Resolver(project.project)
    assert resolver.resolve(axis_of(project, ["x", 1])) == ["x", 1]
    assert resolver.resolve(axis_of(project, "x")) == ["x"]
    assert resolver.resolve(axis_of(project, Range(start=5, count=3, step=2))) == range(5, 11, 2)
    rows = resolver.resolve(axis_of(project, [{"id": "en"}, {"title": "y"}]))
    assert [(str(row), dict(row)) for row in rows] == [("en", {"id": "en"}), ("2", {"title": "y"})]


def test_a_file_is_read_once_for_each_id(project: Workspace) -> None:
    """Images that share a file share its rows."""
    resolver = Resolver(project.project)
    project.write({"specs/data/c.csv": "id,title\nen,x\n"})
    first = resolver.resolve(axis_of(project, DataFile(file="data/c.csv")))
    project.write({"specs/data/c.csv": "id,title\nzh,y\n"})
    assert resolver.resolve(axis_of(project, DataFile(file="data/../data/c.csv"))) is first
    assert list(map(str, resolver.resolve(axis_of(project, DataFile(file="data/c.csv", id="title"))))) == ["y"]


def test_a_link_within_the_project_may_be_followed(project: Workspace) -> None:
    """A data file may lie anywhere in the project."""
    resolver = Resolver(project.project)
    project.write({"shared/c.csv": "id\nen\n", "specs/a.toml": ""})
    (project.root / "specs/c.csv").symlink_to("../shared/c.csv")
    for name in ("c.csv", "../shared/c.csv"):
        assert list(map(str, resolver.resolve(axis_of(project, DataFile(file=name))))) == ["en"]


def test_an_id_of_a_table_is_a_text_or_a_number(project: Workspace) -> None:
    """The id becomes a part of cell names and paths."""
    place = partial(axis_of(project, []).place, 0)
    assert [str(table_row({"id": name}, 1, place)) for name in ("en", 5, 1.5, True)] == ["en", "5", "1.5", "true"]
    with pytest.raises(ProjectError, match="an id must be a text or a number") as caught:
        table_row({"id": {}}, 1, place)
    assert str(caught.value.problems[0].place) == "specs/a.toml:3:20"


def test_includes_are_the_axes_of_an_image_without_a_matrix(project: Workspace) -> None:
    """Each value stands where an include first gives it. Rows are numbered by their include."""
    project.write({"specs/a.toml": """\
[image.a]
prompt = "x"
[[image.a.include]]
n = 1
copy = { title = "x" }
[[image.a.include]]
n = 1
copy = { title = "y" }
[[image.a.include]]
copy = { id = [] }
n = 2
"""})  # fmt: skip
    [spec] = project.specs(Findings())
    axes = written(project.project, spec, "a")
    assert {name: axis.values for name, axis in axes.items()} == {
        "n": [1, 2],
        "copy": [{"title": "x"}, {"title": "y"}, {"id": []}],
    }
    assert [str(axes["n"].place(at)) for at in range(2)] == ["specs/a.toml:4:5", "specs/a.toml:11:5"]
    assert str(axes["n"].place(key=True)) == "specs/a.toml:4:1"
    with pytest.raises(ProjectError) as caught:
        Resolver(project.project).resolve(axes["copy"])
    assert str(caught.value.problems[0].place) == "specs/a.toml:10:15"
    first = replace(axes["copy"], values=axes["copy"].values[:2], entries=axes["copy"].entries[:2])
    assert [*map(str, Resolver(project.project).resolve(first))] == ["1", "2"]


def test_data_files_of_a_project(project: Workspace) -> None:
    """Those of the config, the shared axes of specs, and the images; they may be missing."""
    project.write({
        "qwenbuild.toml": '[axes]\na = { file = "a.csv" }\nb = [1]\n',
        "specs/s.toml": 'axes.c = { file = "c.csv" }\n[image.x]\nprompt = "x"\nmatrix.d = { file = "../d.csv" }\n'
                        '[image.y]\nprompt = "y"\nmatrix.e = { count = 2 }\n',
    })  # fmt: skip
    found = data_files(project.project, project.specs(Findings()))
    assert sorted(path.resolve().relative_to(project.root.resolve()).as_posix() for path in found) == [
        "a.csv", "d.csv", "specs/c.csv"
    ]  # fmt: skip
