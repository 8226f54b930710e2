"""Tests of the rules: the entries of `exclude` and `only` as labels, and what is wrong with them.

Most messages are in `tests/projects/exclude` and `tests/projects/only`.
"""

from __future__ import annotations

import itertools

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProjectError
from qwenbuild.specs import rules
from qwenbuild.specs.declaration import Declaration
from tests.support.workspace import Workspace


def declared(project: Workspace, image: str) -> Declaration:
    [found] = project.write({"specs/a.toml": f'[image.x]\nprompt = "A"\n{image}'}).declarations()
    return found


def test_an_entry_is_labels_of_a_model(project: Workspace) -> None:
    """A ratio is the size that each model has. Axes are in the order of the matrix; unknown ones are left out."""
    image = declared(project, 'matrix = { seed = [1], size = ["16:9"], flag = [true] }\n')
    entry = {"flag": True, "nosuch": 1, "size": "16:9"}
    found = [rules.rule(image, entry, builtin().model(name)) for name in ("qwen-image-plus", "qwen-image-2.0")]
    assert found == [[(1, "1664x928"), (2, "true")], [(1, "2688x1536"), (2, "true")]]


def test_an_axis_that_only_chooses_from_can_be_read(project: Workspace) -> None:
    """All values of the axis are made, so there are at most a million. Other images have no such limit."""
    axis = "matrix.n = { count = 1_000_001 }\n"
    rules.check_axes(declared(project, axis))
    with pytest.raises(ProjectError) as caught:
        rules.check_axes(declared(project, f"{axis}only = [{{ n = 1 }}]\n"))
    assert str(caught.value).splitlines()[:2] == [
        "error: axis n has 1,000,001 values; `only` chooses from at most 1,000,000",
        " --> specs/a.toml:3:12",
    ]


def test_included_values_are_known_to_only(project: Workspace) -> None:
    """An entry of `only` may name what only an include has; one of `exclude` may not."""
    text = 'matrix.mood = ["calm", "loud"]\ninclude = [{ mood = "wild" }]\n'
    project.write({"specs/a.toml": f'[image.x]\nprompt = "A"\n{text}only = [{{ mood = "wild" }}]\n'})
    assert [it.name for it in project.actions()] == ["a/x[mood=wild]"]
    project.write({"specs/a.toml": f'[image.x]\nprompt = "A"\n{text}exclude = [{{ mood = "wild" }}]\n'})
    assert project.complaint().startswith('error: axis mood has no value "wild": this excludes nothing\n')


@pytest.mark.parametrize("kind", ["exclude", "only"])
def test_too_many_sets_of_axes_are_refused(project: Workspace, kind: str) -> None:
    """A thousand entries that all name other axes would have to be compared with every cell."""
    axes = [f"a{number}" for number in range(12)]
    text = '[image.x]\nprompt = "A"\nmatrix.n = { count = 100_000 }\n'
    text += "".join(f'matrix.{axis} = ["v"]\n' for axis in axes)
    for chosen in itertools.islice(itertools.combinations(axes, 3), 201):
        text += f"[[image.x.{kind}]]\n" + "".join(f'{axis} = "v"\n' for axis in chosen)
    told = project.write({"specs/a.toml": text}).complaint()
    assert told.startswith(f"error: the {kind} entries take too long\n  --> specs/a.toml:16:3\n")
    assert "  = 201 different sets of axes, and 100,000 cells" in told
