"""The engine: what it plans it builds, whatever was edited before; and its API."""

from __future__ import annotations

import pytest
from edits import EDITS, Place, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild import load
from qwenbuild.errors import QwenbuildError
from qwenbuild.events import Finished
from qwenbuild.plan import Plan

pytest_plugins = ("edits",)

KEPT = ("up_to_date", "edited", "unknown", "orphans")  # what a build counts as its plan does


def told(plan: Plan) -> list[tuple[str, str, str]]:
    """Return what a plan tells: each output's path, verdict and reason."""
    return [(step.action.output, step.verdict, step.reason) for step in plan.steps]


def check_agreement(plan: Plan, finished: Finished, *, exact: bool) -> None:
    """Check that a build did what its plan said; not `exact` where stored bytes were damaged."""
    counts = plan.counts
    assert {name: getattr(finished, name) for name in KEPT} == {name: counts[name] for name in KEPT}
    assert finished.skipped == finished.submitted == finished.reattached == 0
    assert finished.rendered + finished.restored + finished.failed == counts["render"] + counts["restore"]
    if exact and not finished.failed:
        assert (finished.rendered, finished.restored) == (counts["render"], counts["restore"])


@pytest.mark.usefixtures("back_again")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 10_000)), min_size=1, max_size=8))
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
        assert told(load(place.root).plan()) == told(plan)
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
