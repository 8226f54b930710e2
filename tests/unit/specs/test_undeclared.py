"""Undeclared variables are told beside an unknown filter or test, which keeps the template from being rendered."""

from __future__ import annotations

import pytest

from qwenbuild.errors import ProjectError
from tests.support.workspace import Workspace


def complaints(project: Workspace, spec: str, template: str = "") -> list[tuple[str, str]]:
    """Return (place, claim) of each problem."""
    project.write({"specs/a.toml": spec, "templates/t.j2": template})
    with pytest.raises(ProjectError) as caught:
        project.actions()
    return [(str(problem.place), problem.claim) for problem in caught.value.problems]


def test_a_prompt_in_a_spec(project: Workspace) -> None:
    """Axes, variables, names that qwenbuild sets, and Jinja's own are declared; so is what the template sets."""
    prompt = "{% set mine = 1 %}{{ colr | uper }} {{ mood }} {{ seed }} {{ mine }} {{ range(2) | join }}"
    spec = f"[image.a]\nprompt = '{prompt}'\nvars = {{ mood = 'x' }}\nmatrix.seed = [1]\n"
    assert complaints(project, spec) == [
        ("specs/a.toml:2:32", 'undefined variable "colr"'),
        ("specs/a.toml:2:39", "template syntax: No filter named 'uper'"),
    ]


def test_a_file(project: Workspace) -> None:
    """The place is in the file of the template."""
    spec = '[image.a]\ntemplate = "t.j2"\n'
    assert complaints(project, spec, "first\n{{ a is odder }}\n{{ b }}\n") == [
        ("templates/t.j2:2:4", 'undefined variable "a"'),
        ("templates/t.j2:2:9", "template syntax: No test named 'odder'"),
        ("templates/t.j2:3:4", 'undefined variable "b"'),
    ]


def test_other_mistakes_stand_alone(project: Workspace) -> None:
    """If a template can't be parsed, nothing is known about its variables."""
    assert complaints(project, "[image.a]\nprompt = '{{ colr'\n") == [
        ("specs/a.toml:2:10", "template syntax: unexpected end of template, expected 'end of print statement'")
    ]
