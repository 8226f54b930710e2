"""Cleaning removes only outputs that qwenbuild wrote and nobody edited."""

from __future__ import annotations

import pytest

from qwenbuild import load
from tests.support.workspace import Workspace


@pytest.fixture
def garden(project: Workspace) -> Workspace:
    """A project of three images, which was built."""
    spec = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2] }\n[image.b]\nprompt = "b"\n'
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})
    load(project.root).build()
    return project


def test_edited_outputs_are_kept(garden: Workspace) -> None:
    """Each output is returned with whether it was removed; the state forgets the removed ones."""
    garden.write({"out/s/a-1.png": "mine"})
    expected = [("s/a-1.png", False), ("s/a-2.png", True), ("s/b.png", True)]
    assert load(garden.root).clean(dry_run=True) == expected
    assert (garden.root / "out/s/b.png").exists()
    assert load(garden.root).clean() == expected
    assert load(garden.root).clean() == [("s/a-1.png", False)]
    assert load(garden.root).build().restored == 2


def test_a_selection(garden: Workspace) -> None:
    """Only the selected outputs are removed."""
    assert load(garden.root, where=["seed=2"]).clean() == [("s/a-2.png", True)]
    assert load(garden.root, select=["s/b"]).clean() == [("s/b.png", True)]
    assert load(garden.root, exclude=["s/b"]).clean(dry_run=True) == [("s/a-1.png", True)]


def test_orphans(garden: Workspace) -> None:
    """With `orphans_only`, outputs that a spec declares stay."""
    garden.write({"specs/s.toml": '[image.b]\nprompt = "b"\n'})
    assert load(garden.root).clean(orphans_only=True) == [("s/a-1.png", True), ("s/a-2.png", True)]
    assert load(garden.root).clean(orphans_only=True) == []
