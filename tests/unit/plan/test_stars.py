"""Stars: which image a cell has, what has become of it, and what is said about it."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.engine.engine import Engine
from qwenbuild.plan import stars
from qwenbuild.plan.stars import Since, Starred
from qwenbuild.storage.picks import Pick, Picks
from tests.support.workspace import Workspace


@pytest.fixture
def engine(project: Workspace) -> Engine:
    """Two images, of which the first is rendered."""
    project.write({
        "qwenbuild.toml": 'provider = "null"\n',
        "specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2] }\n[image.b]\nprompt = "b"\n',
    })  # fmt: skip
    load(project.root, select=["s/a"]).build()
    return load(project.root)


def images(engine: Engine) -> dict[str, str]:
    """Return the first digits of each cell's image."""
    plan = engine.plan()
    return {step.action.name: stars.image_of(step, plan)[:4] for step in plan.steps}


def test_the_image_of_a_cell(engine: Engine) -> None:
    """It is the file in `out/`, also if the spec wants another one; else what the store has of the wanted one."""
    one, two = (image[:4] for image in (it.image for it in engine.plan().records.values()))
    assert images(engine) == {"s/a[seed=1]": one, "s/a[seed=2]": two, "s/b": ""}
    (engine.project.out / "s/a-1.png").unlink()
    assert images(engine)["s/a[seed=1]"] == one
    spec = engine.project.root / "specs/s.toml"
    spec.write_text(spec.read_text().replace('"a"', '"new"'))
    assert images(engine) == {"s/a[seed=1]": "", "s/a[seed=2]": two, "s/b": ""}


def test_the_image_of_a_clone(engine: Engine) -> None:
    """The lock says what the files are."""
    before = images(engine)
    (engine.project.root / ".qwenbuild/state.sqlite3").unlink()
    assert images(engine) == before
    spec = engine.project.root / "specs/s.toml"
    spec.write_text(spec.read_text().replace('"a"', '"new"'))
    assert images(engine) == before


def test_what_has_become_of_the_stars(engine: Engine) -> None:
    """The best rank comes first. A star without an image has nothing to compare."""
    plan = engine.plan()
    digest = stars.image_of(plan.steps[0], plan)
    given = [Pick("s/a[seed=1]", digest, 2), Pick("s/a[seed=2]", digest, 1), Pick("s/b"), Pick("s/c", digest)]
    found = stars.of_plan(plan, Picks({pick.cell: pick for pick in given}))
    assert [(star.pick.cell, star.since) for star in found] == [
        ("s/a[seed=2]", Since.CHANGED), ("s/a[seed=1]", Since.SAME), ("s/b", Since.NOT_RENDERED),
        ("s/c", Since.NO_CELL),
    ]  # fmt: skip
    assert found[1] == Starred(given[0], digest, Since.SAME)
    assert found[1].as_dict() == {
        "event": "pick", "cell": "s/a[seed=1]", "image": digest, "rank": 2, "note": "", "image_now": digest,
        "state": "same",
    }  # fmt: skip


def test_what_is_said(engine: Engine) -> None:
    """One line about what has changed, and one about cells that no spec declares."""
    plan, zeros = engine.plan(), 64 * "0"
    one = Picks({"s/a[seed=1]": Pick("s/a[seed=1]", zeros)})
    both = Picks({**one.by_cell, "s/a[seed=2]": Pick("s/a[seed=2]", zeros), "s/b": Pick("s/b", zeros)})
    assert [problem.claim for problem in stars.changed(plan, one)] == [
        "1 starred image has changed since it was starred: s/a[seed=1]"
    ]
    assert [problem.claim for problem in stars.changed(plan, both)] == [
        "2 starred images have changed since they were starred: s/a[seed=1], s/a[seed=2]"
    ]
    assert stars.unknown(plan.actions, both) == []
    strangers = Picks({cell: Pick(cell) for cell in ("s/a[seed=3]", "t/x", "s/b")})
    assert [problem.claim for problem in stars.unknown(plan.actions, strangers)] == [
        "2 starred cells are declared by no spec: s/a[seed=3], t/x"
    ]
