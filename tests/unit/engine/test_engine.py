"""The engine: the Python API of one project."""

from __future__ import annotations

import pytest

import qwenbuild
from qwenbuild import Options, load
from qwenbuild.errors import ProjectError, UsageError
from tests.support.workspace import Workspace


@pytest.fixture
def garden(project: Workspace) -> Workspace:
    """A project of three images."""
    spec = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2] }\n[image.b]\nprompt = "b"\n'
    return project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})


def test_the_api(garden: Workspace) -> None:
    """Three calls load, plan and build a project; every public name can be imported."""
    engine = qwenbuild.load(garden.root, where=["seed=1"])
    assert [step.action.name for step in engine.plan().steps] == ["s/a[seed=1]"]
    finished = engine.build()
    assert (finished.rendered, finished.exit_code) == (1, 0)
    for name in qwenbuild.__all__:
        assert getattr(qwenbuild, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
        qwenbuild.nosuch  # noqa: B018


def test_loading_from_anywhere_inside(garden: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project is found from any of its folders, and paths may be texts."""
    assert load(garden.root / "specs").project.root == garden.root
    monkeypatch.chdir(garden.root / "specs")
    assert load().project.root == load(".").project.root == load("..").project.root == garden.root
    with pytest.raises(UsageError, match="no project here"):
        load(garden.root.parent)
    with pytest.raises(UsageError, match="no such folder"):
        load("nosuch")


def test_options(garden: Workspace) -> None:
    """Choices replace options; an unknown choice is a TypeError."""
    options = Options(where=["seed=1"], force=True)
    assert load(garden.root, options, where=["seed=2"]).options == Options(where=["seed=2"], force=True)
    with pytest.raises(TypeError):
        load(garden.root, nosuch=1)


def test_files_are_read_anew(garden: Workspace) -> None:
    """An engine sees edits between its calls."""
    engine = load(garden.root)
    assert engine.build().rendered == 3
    garden.write({"specs/t.toml": '[image.c]\nprompt = "c"\n'})
    assert [spec.name for spec in engine.specs()] == ["s", "t"]
    assert len(engine.actions()) == 4
    assert engine.build().rendered == 1
    last = engine.last_run()
    assert last is not None
    assert (last["summary"]["rendered"], last["summary"]["up_to_date"]) == (1, 3)


def test_no_specs(garden: Workspace) -> None:
    """A project without specs is an error."""
    (garden.root / "specs/s.toml").unlink()
    with pytest.raises(ProjectError) as caught:
        load(garden.root).plan()
    assert caught.value.problems[0].claim == "no specs: nothing matches specs/*.toml"


def test_an_orphan_that_is_declared_again(garden: Workspace) -> None:
    """An orphan that is declared again is up to date."""
    load(garden.root).build()
    spec = (garden.root / "specs/s.toml").read_text()
    garden.write({"specs/s.toml": '[image.b]\nprompt = "b"\n'})
    assert len(load(garden.root).plan().orphans) == 2
    garden.write({"specs/s.toml": spec})
    plan = load(garden.root).plan()
    assert (plan.counts["up_to_date"], plan.orphans) == (3, [])
