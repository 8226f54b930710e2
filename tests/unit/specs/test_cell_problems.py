"""Tests of cell problems: each one names the cell and the place that sets the field."""

from __future__ import annotations

from qwenbuild.request import Size
from qwenbuild.specs.cell_problems import problems_of
from tests.support.workspace import Workspace


def test_each_limit_of_the_service_is_told(project: Workspace) -> None:
    """A prompt and a negative prompt that are too long, control characters, and a path that can't be."""
    project.write({"specs/a.toml": '[image.a]\nprompt = "x"\noutput = "a.png"\n'})
    [action] = project.actions()
    bad = action.request._replace(prompt="\x07" + "p" * 900, negative_prompt="\x00" + "n" * 600, size=Size(1, 1))
    found = problems_of(action.declaration, bad, action.model, "../x.png", ())
    assert [(problem.claim, str(problem.place)) for problem in found] == [
        ("the prompt of a/a holds the control character U+0007", "specs/a.toml:2:10"),
        ("the negative prompt of a/a holds the control character U+0000", "specs/a.toml:1:2"),
        ("the prompt of a/a is 101 characters too long", "specs/a.toml:2:10"),
        ("the negative prompt of a/a is 101 characters too long", "specs/a.toml:1:2"),
        ("not an output path: " + found[4].claim.partition(": ")[2], "specs/a.toml:3:10"),
    ]
    [empty] = problems_of(action.declaration, action.request._replace(prompt=" "), action.model, "a.png", ())
    assert empty.claim == "the prompt of a/a is empty"
