"""Tests of globs: the same files as pathlib finds, and bounded work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.specs import globs
from tests.support.workspace import Workspace

FILES = [
    "a.toml", "b.txt", ".h.toml", "s/a.toml", "s/b.toml", "s/t/a.toml", "s/t/u/b.toml", "s/.x/a.toml", "t/s/t/a.toml",
    "s/[a].toml", "s/é.toml",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    Workspace(root).write(dict.fromkeys(FILES, ""))
    (root / "link").symlink_to("s")
    (root / "s/broken").symlink_to("nowhere")
    (root / "s/self").symlink_to("self")
    return root


_PARTS = ["**", "*", "s", "t", "*.toml", "a.toml", "[st]", "?", ".*", "link", "nosuch", "[!s]*", "é.toml"]


_parts = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=5).filter(lambda parts: parts[-1] != "**")


@given(parts=_parts)
def test_a_glob_finds_what_pathlib_finds(tree: Path, parts: list[str]) -> None:
    """Whatever the pattern is; the config refuses those that end with `**`."""
    glob = "/".join(parts)
    assert set(globs.matches(tree, glob)) == set(tree.glob(glob))


def test_many_double_stars_cost_no_more_than_one(tmp_path: Path) -> None:
    """pathlib's time grows with the depth, to the power of the number of stars."""
    deep = tmp_path
    for number in range(60):
        deep = deep / str(number)
    deep.mkdir(parents=True)
    (deep / "a.toml").touch()
    assert globs.matches(tmp_path, "/".join(["**"] * 30 + ["*.toml"])) == [deep / "a.toml"]
    assert globs.matches(tmp_path, "/".join(["**", "*"] * 12 + ["a.toml"])) == [deep / "a.toml"]


def test_links_to_a_folder_above_end_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two links and forty stars would be a billion folders."""
    monkeypatch.setattr(globs, "MOST_BEHIND_LINKS", 10_000)
    (tmp_path / "a").symlink_to(".")
    (tmp_path / "b").symlink_to(".")
    with pytest.raises(ProjectError) as caught:
        globs.matches(tmp_path, "*/" * 39 + "*.toml")
    assert str(caught.value).startswith("error: specs: */*/")
    assert "looks at more than 10,000 files behind links" in str(caught.value)
    assert globs.matches(tmp_path, "**/*.toml") == []


def test_a_large_folder_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, so it is the same on every machine."""
    monkeypatch.setattr(globs, "MOST_ENTRIES", 20)
    Workspace(tmp_path).write({f"d/{number}.toml": "" for number in range(20)})
    assert len(globs.matches(tmp_path, "d/*.toml")) == 20
    with pytest.raises(ProjectError, match="looks at more than 20 files"):
        globs.matches(tmp_path, "**/*.toml")


def test_a_folder_that_nobody_may_list_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by pathlib."""
    Workspace(tmp_path).write({"open/a.toml": "", "shut/a.toml": ""})
    scan = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("shut"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert globs.matches(tmp_path, "**/*.toml") == [tmp_path / "open/a.toml"]
