"""The steps of a plan in groups: with one verdict and one reason."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.plan.reasons import Group, grouped
from tests.support.workspace import Workspace

SPEC = """
[image.a]
prompt = "a {{ thing }} in red light"
output = "a/{{ thing }}-{{ seed }}.png"
matrix = { thing = ["cat", "dog", "cow"], seed = { start = 1, count = 4 } }
[image.b]
prompt = "red light"
matrix = { seed = [1, 2] }
"""


@pytest.fixture
def built(project: Workspace) -> Workspace:
    """A project with 12 cells of one image and 2 of another, all of them built."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})
    assert load(project.root).build().rendered == 14
    return project


def groups(built: Workspace, spec: str, most: int = 500) -> list[tuple[str, int, int, int]]:
    """Return (reason, count, compared, number of images) of each group of what is left to do with another spec."""
    built.write({"specs/s.toml": spec})
    steps = [step for step in load(built.root).plan().steps if step.verdict != "up_to_date"]
    found = grouped(steps, most=most)
    assert sum(group.count for group in found) == len(steps)
    return [(group.reason, group.count, group.compared, len(group.images)) for group in found]


def test_one_change_of_several_images_is_one_group(built: Workspace) -> None:
    """Its first cells are in the order of the plan."""
    blue = SPEC.replace("red", "blue")
    assert groups(built, blue) == [("prompt changed: -red +blue", 14, 14, 2)]
    [group] = grouped(load(built.root).plan().steps, names=2)
    assert [step.action.name for step in group.first] == ["s/a[seed=1,thing=cat]", "s/a[seed=2,thing=cat]"]


def test_a_change_with_values_of_each_cell_is_grouped_by_its_kind(built: Workspace) -> None:
    """A few differences are groups of their own, many are told by the fields."""
    own = SPEC.replace("in red light", "no. {{ seed * 7 }}")
    assert groups(built, own) == [("prompt changed", 12, 12, 1)]
    few = SPEC.replace("in red light", "{{ thing | upper }}")
    assert sorted(groups(built, few)) == [
        (f"prompt changed: -in -red -light +{thing}", 4, 4, 1) for thing in ("CAT", "COW", "DOG")
    ]


def test_of_many_changes_some_are_compared(built: Workspace) -> None:
    """If all of these have one reason, it stands for their image; else the others are a group of their own."""
    assert groups(built, SPEC.replace("red", "blue"), most=4) == [("prompt changed: -red +blue", 14, 4, 2)]
    few = groups(built, SPEC.replace("in red light", "{{ thing | upper }}"), most=4)
    assert few[0] == ("its request changed, not compared", 8, 0, 1)
    assert sorted(few[1:]) == [
        ("prompt changed: -in -red -light +CAT", 2, 2, 1),
        ("prompt changed: -in -red -light +COW", 1, 1, 1),
        ("prompt changed: -in -red -light +DOG", 1, 1, 1),
    ]


def test_causes_that_name_something_of_their_own_are_one_group(built: Workspace) -> None:
    """Such as the cell with the same request."""
    same = '[image.c]\nprompt = "c {{ n % 2 }}"\nseed = 1\nmatrix = { n = { start = 1, count = 6 } }\n'
    assert groups(built, same) == [("same request as another cell", 4, 4, 1), ("never rendered", 2, 2, 1)]


def test_verdicts_are_never_mixed(built: Workspace) -> None:
    """An output that was deleted is restored, or rendered if its image is gone."""
    for path in (built.root / "out/a").iterdir():
        path.unlink()
    [group] = grouped(step for step in load(built.root).plan().steps if step.verdict != "up_to_date")
    assert group == Group(group.verdict, "output deleted", 12, 12, {"s/a"}, group.first)
    assert (group.verdict, len(group.first)) == ("restore", 5)


def test_an_unknown_earlier_request_is_told_as_such(built: Workspace) -> None:
    """The state may have lost it."""
    import sqlite3

    built.write({"specs/s.toml": SPEC.replace("red", "blue")})
    steps = load(built.root).plan().steps
    state = sqlite3.connect(built.root / ".qwenbuild/state.sqlite3")
    state.execute("DELETE FROM requests")
    state.commit()
    state.close()
    assert [(it.reason, it.count) for it in grouped(steps)] == [("its request changed", 14)]
