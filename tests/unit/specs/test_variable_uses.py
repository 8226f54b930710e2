"""Tests of variable uses: which images depend on which variables, and variables that nothing knows."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.errors import UsageError
from tests.support.workspace import Workspace

SPEC = """\
vars = { brand = "Acme" }
[image.a]
prompt = "{{ brand }} {{ headline }}"
output = "{{ folder }}/a.png"
[image.b]
template = "b.j2"
negative_prompt = "{{ avoid }}"
[image.c]
prompt = "plain"
matrix.mood = ["calm", "wild"]
[image.d]
prompt = "{% include part %}"
vars.part = "part.j2"
"""
GIVEN = ("headline=Hi", "folder=f", "avoid=dust", "inner=x")


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project whose templates read variables in several ways."""
    return project.write({
        "qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC,
        "templates/b.j2": "{% include 'part.j2' %}", "templates/part.j2": "{{ inner }}", "templates/bad.j2": "{{ ",
    })  # fmt: skip


def test_what_each_image_depends_on(place: Workspace) -> None:
    """Templates of all fields count, files that they include, and any file if its name is computed."""
    plan = load(place.root, variables=[*GIVEN, "brand=New"]).plan()
    assert {step.action.declaration.image_name: plan.uses.of(step.action) for step in plan.steps} == {
        "a": ("brand=New", "folder=f", "headline=Hi"), "b": ("avoid=dust", "inner=x"), "c": (), "d": ("inner=x",),
    }  # fmt: skip
    assert plan.summary["vars"] == ["avoid=dust", "brand=New", "folder=f", "headline=Hi", "inner=x"]


def test_a_plan_says_nothing_of_what_is_not_given(project: Workspace) -> None:
    """Without profile and variables the last line of a plan has neither."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": '[image.a]\nprompt = "x"\n'})
    assert {"vars", "profile"}.isdisjoint(load(project.root).plan().summary)


@pytest.mark.parametrize(
    ("variable", "claim", "hint"),
    [
        ("brnd=x", "--var brnd: no spec declares this variable, and no template reads it",
         'did you mean "brand"?'),
        ("hedline=x", "--var hedline: no spec declares this variable", 'did you mean "headline"?'),
        ("mood=x", "mood is an axis of s/c: --var sets variables only", "-w mood=VALUE selects cells of the axis"),
    ],
)  # fmt: skip
def test_variables_without_effect_are_refused(place: Workspace, variable: str, claim: str, hint: str) -> None:
    """A typo does not pass in silence; an axis is selected, not set."""
    with pytest.raises(UsageError) as caught:
        load(place.root, variables=[*GIVEN, variable]).plan()
    assert (caught.value.claim.startswith(claim), caught.value.hint) == (True, hint)


def test_the_selection_does_not_count(place: Workspace) -> None:
    """An image that is not selected needs its variables, too, or the project can't be read."""
    assert len(load(place.root, variables=GIVEN, select=["s/c"]).plan().steps) == 2


def test_a_variable_that_is_an_axis_elsewhere(place: Workspace) -> None:
    """It is given to the images that read it; the others keep their axis."""
    place.write({"specs/t.toml": '[image.x]\nprompt = "{{ mood }}"\n'})
    plan = load(place.root, variables=[*GIVEN, "mood=new"]).plan()
    assert [step.action.request.prompt for step in plan.steps if step.action.declaration.spec.name == "t"] == ["new"]
    assert sum(step.action.declaration.image_name == "c" for step in plan.steps) == 2
