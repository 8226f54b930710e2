"""Builds: a build does what its plan says, and two of one project never run at once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild import load
from qwenbuild.errors import ProjectBusy, QwenbuildError
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


def test_one_build_at_a_time(project: Workspace) -> None:
    """While one build runs, another build and `clean` are refused; a plan is not."""
    matrix = "matrix = { seed = [1, 2, 3] }"
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": f'[image.a]\nprompt = "a"\n{matrix}\n'})
    seen: list[str] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, Started):
            for refused in (load(project.root).build, load(project.root).clean):
                with pytest.raises(ProjectBusy, match="another build of this project is running"):
                    refused()
            seen.extend(step.verdict for step in load(project.root).plan().steps)

    assert load(project.root).build(meanwhile).rendered == 3
    assert seen == ["render"] * 3
    assert load(project.root).build().up_to_date == 3
