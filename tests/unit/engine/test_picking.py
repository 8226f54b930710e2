"""Picking: what `Engine.pick` stars and drops, and what `picked` selects."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.errors import UsageError
from qwenbuild.storage.picks import Pick
from tests.support.workspace import Workspace


@pytest.fixture
def root(project: Workspace) -> Path:
    """A project of three cells, of which two are rendered."""
    project.write({
        "qwenbuild.toml": 'provider = "null"\n',
        "specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2, 3] }\n',
    })  # fmt: skip
    load(project.root, where=["seed=1,2"]).build()
    return project.root


def test_a_star_takes_the_present_image(root: Path) -> None:
    """Note and rank stay until they are given anew; "" and 0 take them away."""
    engine = load(root)
    images = [output.image for output in engine.plan().records.values()]
    assert engine.pick(["s/a[seed=1]"], "calm", 2).starred == ["s/a[seed=1]"]
    assert engine.pick(["out/s/a-1.png", "s/a[seed=3]"]).starred == ["s/a[seed=1]", "s/a[seed=3]"]
    assert [*engine.picks()] == [Pick("s/a[seed=1]", images[0], 2, "calm"), Pick("s/a[seed=3]")]
    engine.pick(["s/a[seed=1]"], note="", rank=0)
    assert [*engine.picks()] == [Pick("s/a[seed=1]", images[0]), Pick("s/a[seed=3]")]


def test_the_selection_of_the_options_counts(root: Path) -> None:
    """As for every other command."""
    assert load(root, where=["seed=2"]).pick(["s/a"]).starred == ["s/a[seed=2]"]
    assert load(root, picked=True).pick(note="x").starred == ["s/a[seed=2]"]
    assert load(root, select=["s/a"], exclude=["s/a[seed=3]"]).pick(drop=True).dropped == ["s/a[seed=2]"]


def test_a_star_is_dropped_by_its_name(root: Path) -> None:
    """Even if the specs can't be read. A near name is told."""
    engine = load(root)
    engine.pick(["s/a"])
    (root / "specs/s.toml").write_text("no TOML")
    assert engine.pick(["s/a[seed=1]"], drop=True).dropped == ["s/a[seed=1]"]
    (root / "specs/s.toml").write_text('[image.b]\nprompt = "a"\n')
    with pytest.raises(UsageError) as refused:
        engine.pick(["s/a[seed=4]"], drop=True)
    assert str(refused.value) == (
        'error: nothing is named "s/a[seed=4]"\n  = images: s/b\n  = hint: did you mean "s/a[seed=3]"?'
    )
    with pytest.raises(UsageError, match="none of these cells is starred"):
        engine.pick(["s/b"], drop=True)


def test_nothing_is_starred(root: Path) -> None:
    """The message says how a star is made."""
    engine = load(root, picked=True)
    with pytest.raises(UsageError) as refused:
        engine.plan()
    assert str(refused.value) == "error: no cell is starred\n  = hint: `qwenbuild pick CELL` stars one"
    assert (load(root).stars(), load(root).pick(["s/a[seed=1]"]).dropped) == ([], [])
    with pytest.raises(UsageError, match="none of the 1 starred cells is selected"):
        load(root, picked=True, where=["seed=2"]).plan()


def test_only_starred_cells_are_linted_cleaned_and_planned(root: Path) -> None:
    """`picked` is part of every selection."""
    load(root).pick(["s/a[seed=2]"])
    engine = load(root, picked=True)
    assert [step.action.name for step in engine.plan().steps] == ["s/a[seed=2]"]
    assert engine.lint() == load(root, where=["seed=2"]).lint()
    assert engine.clean() == [("s/a-2.png", True)]
    assert (root / "out/s/a-1.png").exists()


def test_a_plan_depends_on_the_stars(root: Path) -> None:
    """A watch follows the file, also if it does not exist yet."""
    engine = load(root)
    assert engine.picks_path in engine.plan().inputs
    assert engine.picks_path in engine.inputs
