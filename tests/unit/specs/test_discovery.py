"""Tests of finding a config file, and the specs that its glob matches."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.specs.discovery import find_config, glob_fault, path_fault, spec_folders, spec_name, spec_paths
from tests.support.workspace import Workspace


def test_a_config_is_the_whole_of_its_own_file(project: Workspace) -> None:
    """The whole of `qwenbuild.toml` is the config."""
    project.write({"qwenbuild.toml": 'out = "a"\n', "deep/x": ""})
    found = find_config(project.root / "deep")
    assert (found.root, found.source.shown, found.keys) == (project.root, "qwenbuild.toml", ())
    assert found.table == {"out": "a"}
    assert found.searched[-1] == project.root / "qwenbuild.toml"


def test_a_config_may_be_a_table_of_a_pyproject(tmp_path: Path) -> None:
    """The table is `tool.qwenbuild`, whatever its type is."""
    Workspace(tmp_path).write({"pyproject.toml": "[tool]\nqwenbuild = 5\n"})
    found = find_config(tmp_path)
    assert (found.root, found.source.shown, found.keys) == (tmp_path, "pyproject.toml", ("tool", "qwenbuild"))
    assert found.table == 5


def test_a_config_that_is_not_toml_is_an_error(project: Workspace) -> None:
    """The search does not go on to the folders above."""
    project.write({"inner/qwenbuild.toml": "torn = "})
    with pytest.raises(ProjectError, match="not valid TOML"):
        find_config(project.root / "inner")


def test_a_folder_outside_of_every_project_is_an_error(tmp_path: Path) -> None:
    """Another tool's pyproject is not a project."""
    Workspace(tmp_path).write({"pyproject.toml": "[tool.other]\nx = 1\n"})
    with pytest.raises(UsageError, match="no project here"):
        find_config(tmp_path)


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("specs/*.toml", ["a", "b"]),
        ("specs/**/*.toml", ["a", "b", "deep/a", "deep/er/c"]),
        ("specs/*/*.toml", ["deep/a"]),
        ("*.toml", ["qwenbuild", "top"]),
        ("specs/[a]*.toml", ["a"]),
        ("./specs/*.toml", ["a", "b"]),
        ("specs/a.toml", ["a"]),
        ("nothing/*.toml", []),
    ],
)
def test_specs_are_what_the_glob_matches(project: Workspace, glob: str, names: list[str]) -> None:
    """A name is the path below the folder in which the wildcards start; hidden files are left out."""
    project.write({"qwenbuild.toml": "", "top.toml": "", "specs/b.toml": "", "specs/a.toml": "",
                   "specs/.hidden.toml": "", "specs/a.txt": "", "specs/deep/a.toml": "",
                   "specs/deep/er/c.toml": ""})  # fmt: skip
    root = project.root
    paths = spec_paths(root, glob)
    assert [spec_name(root, glob, path) for path in paths] == names
    assert [path for path in paths if path.parent not in spec_folders(root, glob)] == []


@pytest.mark.parametrize("text", ["", "/abs", "../up", "a/../../b", "a\\..\\b", "nul\0"])
def test_a_path_must_stay_inside_the_project(text: str) -> None:
    """Absolute paths and `..` are refused, also for globs."""
    assert path_fault(text) == "must be a path inside the project"
    assert glob_fault(text) is not None


@pytest.mark.parametrize("text", ["x/" * 500_000 + "*.toml", "x" * 256, "é" * 128, "a/" + "x" * 256 + "/b"])
def test_a_path_has_a_length(text: str) -> None:
    """No system takes longer names, and looking for them would take minutes."""
    assert path_fault(text) == "must have at most 1,000 characters, and 255 bytes between two slashes"
    assert glob_fault(text) is not None
    assert path_fault("x" * 255 + "/" + "x" * 255) is None


@pytest.mark.parametrize("text", ["out", "build/images", "a..b", "./x"])
def test_a_path_inside_the_project_has_no_fault(text: str) -> None:
    """Two dots inside a file's name are allowed."""
    assert path_fault(text) is None


@pytest.mark.parametrize("glob", [".", "specs/", "specs/**", "**", "a**/b.toml", "specs/**.toml"])
def test_a_glob_must_match_files(glob: str) -> None:
    """A glob of folders is refused, and so are two stars that are only a part of a name."""
    assert glob_fault(glob) == 'must be a glob of files, such as "specs/*.toml" or "specs/**/*.toml"'


@pytest.mark.parametrize("glob", ["specs/*.toml", "specs/**/*.toml", "**/*.toml", "a.toml"])
def test_a_glob_that_matches_files_has_no_fault(glob: str) -> None:
    """The path of a single file is allowed too."""
    assert glob_fault(glob) is None
