"""Tests of prompt sources: each construct of a template, and templates that changed."""

from __future__ import annotations

import pytest

from qwenbuild.specs import prompt_sources
from tests.support.workspace import Workspace


def segments(project: Workspace, prompt: str, templates: dict[str, str] | None = None) -> list[prompt_sources.Segment]:
    spec = f"[image.it]\nprompt = '''{prompt}'''\nmatrix = {{ mood = ['calm'] }}\n"
    spec += "[vars]\nbrand = 'Acme'\nwords = ['a', 'b']\n"
    project.write({"specs/s.toml": spec, **{f"templates/{name}": text for name, text in (templates or {}).items()}})
    (action,) = project.actions()
    return prompt_sources.of(project.project, [action])[action.output]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("plain", [("plain", ())]),
        ("a {{ mood }} dog", [("a ", ()), ("calm", ("mood",)), (" dog", ())]),
        ("{{ mood | upper }}", [("CALM", ("mood",))]),
        ("{{ mood ~ brand }}", [("calmAcme", ("brand", "mood"))]),
        ("{% for w in words %}{{ w }},{% endfor %}", [("a", ("words",)), (",", ()), ("b", ("words",)), (",", ())]),
        ("{% set x = brand %}{{ x }}", [("Acme", ("brand",))]),
        ("{% if mood == 'calm' %}yes{% endif %}", [("yes", ())]),
        ("{{ 1 + 1 }}", [("2", ())]),
        ("  {{ mood }}  ", [("calm", ("mood",))]),
        ("{% filter upper %}a {{ mood }}{% endfilter %}", [("A ", ()), ("CALM", ("mood",))]),
        ("{% macro m(x) %}is {{ x }}{% endmacro %}{{ m(mood) }}", [("is ", ()), ("calm", ("mood",))]),
        (
            "{% filter title %}a {{ mood }}{% endfilter %}",
            [("A Calm", ())],
        ),  # the filter must see where each word starts
        ("{{ '' }}{{ mood[:0] }}x", [("x", ())]),
    ],
)
def test_each_construct(project: Workspace, prompt: str, wanted: list[prompt_sources.Segment]) -> None:
    """Each part of a prompt names the axes and variables that it came from."""
    assert segments(project, prompt) == wanted


def test_blocks_and_imports(project: Workspace) -> None:
    """Parts that other files print have their sources, too."""
    templates = {"base.j2": "{% block a %}{% endblock %} by {{ brand }}",
                 "m.j2": "{% macro m(x) %}<{{ x }}>{% endmacro %}"}  # fmt: skip
    prompt = '{% extends "base.j2" %}{% from "m.j2" import m %}{% block a %}{{ mood }}{% endblock %}'
    assert segments(project, prompt, templates) == [("calm", ("mood",)), (" by ", ()), ("Acme", ("brand",))]


def test_templates_that_changed_since_the_plan_give_no_sources(project: Workspace) -> None:
    """If a template changed, the prompt is one part without sources."""
    project.write({"specs/s.toml": "[image.it]\ntemplate = 't.j2'\nvars = { x = 'y' }", "templates/t.j2": "a {{ x }}"})
    (action,) = project.actions()
    for changed in ("b {{ x }}", "{{ gone }}"):
        project.write({"templates/t.j2": changed})
        assert prompt_sources.of(project.project, [action])[action.output] == [("a y", ())]
