"""Readings of a project for a watch: the plan, the stars, and what is wrong."""

from __future__ import annotations

from qwenbuild.engine.engine import load
from qwenbuild.watch.reading import read
from tests.support.workspace import Workspace

SPEC = '[image.ball]\nprompt = "a ball"\nmatrix.seed = [1, 2]\n'
STARS = 'version = 1\n[[pick]]\ncell = "a/ball[seed=1]"\n'


def test_a_reading_has_the_plan_and_the_stars(project: Workspace) -> None:
    """Without a mistake there is a plan, no fault, and every star."""
    project.write({"specs/a.toml": SPEC, "picks.toml": STARS})
    reading = read(load(project.root), is_config_new=False)
    assert reading.plan is not None and reading.picks is not None
    assert (len(reading.plan.steps), [*reading.picks.by_cell]) == (2, ["a/ball[seed=1]"])
    assert (reading.fault, reading.of_picks) == (None, ())


def test_a_mistake_in_the_stars_spoils_no_plan(project: Workspace) -> None:
    """The plan is made, and the mistake has its place."""
    project.write({"specs/a.toml": SPEC, "picks.toml": STARS.replace("cell", "cel")})
    reading = read(load(project.root), is_config_new=False)
    assert reading.plan is not None
    assert (reading.fault, reading.picks) == (None, None)
    assert str(reading.of_picks[0].place) == "picks.toml:3:1"


def test_a_mistake_in_the_stars_is_told_once(project: Workspace) -> None:
    """If only starred cells are asked for, the plan has the same fault."""
    project.write({"specs/a.toml": SPEC, "picks.toml": STARS.replace("cell", "cel")})
    reading = read(load(project.root, picked=True), is_config_new=False)
    assert reading.fault is not None
    assert (reading.plan, reading.picks, reading.of_picks) == (None, None, ())


def test_the_engine_stays_while_the_config_has_a_mistake(project: Workspace) -> None:
    """A config is read only on demand; a faulty one, and one that is gone, is the fault."""
    project.write({"specs/a.toml": SPEC})
    engine = load(project.root)
    project.write({"qwenbuild.toml": "nonsense = 1"})
    assert read(engine, is_config_new=False).fault is None
    faulty = read(engine, is_config_new=True)
    assert faulty.engine is engine
    assert 'unknown key "nonsense"' in str(faulty.fault)
    project.write({"qwenbuild.toml": 'provider = "null"'})
    again = read(engine, is_config_new=True)
    assert again.engine is not engine
    assert (again.engine.provider.name, again.fault) == ("null", None)
