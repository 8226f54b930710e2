"""The engine: a build does what its plan says, and the Python API."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qwenbuild
from qwenbuild import Options, load
from qwenbuild.errors import ProjectBusy, ProjectError, QwenbuildError, UsageError
from qwenbuild.events import Event, Finished, Started
from qwenbuild.plan.plan import Plan
from tests.support.edits import EDITS, Place, made
from tests.support.workspace import Workspace

pytest_plugins = ("tests.support.edits",)

KEPT = ("up_to_date", "edited", "unknown", "orphans")  # counts that a plan and its build have in common


def steps_of(plan: Plan) -> list[tuple[str, str, str]]:
    """Return path, verdict and reason of each output."""
    return [(step.action.output, step.verdict, step.reason) for step in plan.steps]


def check_agreement(plan: Plan, finished: Finished, *, exact: bool) -> None:
    """Check that a build did what its plan said. `exact` must be False if stored bytes were damaged."""
    counts = plan.counts
    assert {name: getattr(finished, name) for name in KEPT} == {name: counts[name] for name in KEPT}
    assert finished.skipped == finished.submitted == finished.reattached == 0
    assert finished.rendered + finished.restored + finished.failed == counts["render"] + counts["restore"]
    if exact and not finished.failed:
        assert (finished.rendered, finished.restored) == (counts["render"], counts["restore"])


@pytest.mark.usefixtures("back_again")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 10_000)), min_size=1, max_size=5))
def test_a_build_does_what_its_plan_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """After any edits a build does what the plan before it said, and the build after it does nothing."""
    place = made(tmp_path_factory.mktemp("place"), settle_s=0)
    is_damaged = False
    for name, number in steps:
        EDITS[name](place, number)
        is_damaged |= name == "blob_damaged"
        check_round(place, exact=not is_damaged)


def check_round(place: Place, *, exact: bool) -> None:
    """Plan, build, and build again."""
    try:
        plan = load(place.root).plan()
        assert steps_of(load(place.root).plan()) == steps_of(plan)
    except QwenbuildError as error:
        with pytest.raises(type(error)):
            load(place.root).build()
        return
    finished = load(place.root).build()
    check_agreement(plan, finished, exact=exact)
    again = load(place.root).build()
    assert (again.rendered, again.restored, again.failed) == (0, 0, finished.failed)
    assert (again.edited, again.orphans) == (finished.edited, finished.orphans)
    assert list((place.root / ".qwenbuild").glob("tmp/*")) == []


# --- the API ---


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


def test_one_build_at_a_time(garden: Workspace) -> None:
    """While one build runs, another build and `clean` are refused; a plan is not."""
    seen: list[str] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, Started):
            for refused in (load(garden.root).build, load(garden.root).clean):
                with pytest.raises(ProjectBusy, match="another build of this project is running"):
                    refused()
            seen.extend(step.verdict for step in load(garden.root).plan().steps)

    assert load(garden.root).build(meanwhile).rendered == 3
    assert seen == ["render"] * 3
    assert load(garden.root).build().up_to_date == 3


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
