"""Tests of actions: their names, and their requests made a second time."""

from __future__ import annotations

import pytest

from qwenbuild.catalogue import Model
from qwenbuild.errors import ProjectError
from qwenbuild.request import Request
from qwenbuild.specs import expand
from qwenbuild.specs.declaration import Value
from qwenbuild.specs.findings import Findings
from qwenbuild.specs.template import Templates
from tests.support.routes import family_of
from tests.support.workspace import Workspace

HOUSE = '[image.house]\nprompt = "A house"\n'


def test_names_have_sorted_axes(project: Workspace) -> None:
    """A cell's name does not depend on the order in which the spec writes the axes."""
    project.write({"specs/a.toml": HOUSE + 'matrix = { size = "1:1", seed = [7], mood = ["a, b"], flag = true }\n'})
    [action] = project.actions()
    assert action.name == 'a/house[flag=true,mood="a, b",seed=7,size=1328x1328]'
    assert action.cell == {"size": "1328x1328", "seed": "7", "mood": "a, b", "flag": "true"}


@pytest.mark.parametrize("labelled", [False, True], ids=["", "labelled"])
def test_a_request_that_was_not_kept_is_made_again(project: Workspace, labelled: bool) -> None:
    """The second request has the action's key, even if the files have changed or are gone."""
    project.write({
        "specs/a.toml": """
[image.poster]
template = "poster.j2"
negative_prompt = "{{ hue }}"
output = "{{ hue }}-{{ size }}-{{ seed }}-{{ model }}.png"
matrix = { seed = { start = 5, count = 30 }, hue = ["red", "blue"], size = ["1:1", "16:9"], watermark = [true, false] }
include = [{ seed = 3, hue = "green", size = "1:1", watermark = true }]
""",
        "templates/poster.j2": "{% include 'part.j2' %} {{ width }}",
        "templates/part.j2": "a {{ hue }} dog, {{ seed }}",
    })  # fmt: skip
    templates = Templates(project.root / "templates", "templates")
    [declaration] = project.declarations()
    routes = family_of("family", labelled=labelled)
    made = [list(expand.cells(templates, declaration, routes, Findings(), keep=keep)) for keep in (True, False)]
    assert len(made[0]) == 241
    project.write({"templates/poster.j2": "another"})
    (project.root / "templates/part.j2").unlink()
    for kept, unkept in zip(*made, strict=True):
        assert unkept.request == kept.request
        assert unkept.request.key == unkept.key == kept.key
        assert (unkept.output, unkept.name, unkept.labels) == (kept.output, kept.name, kept.labels)


def test_another_request_is_not_taken_for_the_one_that_was_planned(project: Workspace) -> None:
    """A request with another key is refused, because its image would be stored under a wrong key."""

    class Other:
        is_escaped = False

        def earlier(self, values: tuple[Value, ...], model: Model) -> None:
            return None

        def request(self, values: tuple[Value, ...], model: Model) -> Request:
            return request._replace(prompt="another")

    project.write({"specs/a.toml": '[image.x]\nprompt = "a ball"\n'})
    [action] = project.actions()
    request = action.request
    with pytest.raises(ProjectError, match="the request of a/x came out differently the second time"):
        _ = action._replace(source=Other()).request
