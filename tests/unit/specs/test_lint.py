"""Tests of lint: unused variables and templates, and axes that change no request."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.engine.scaffold import SPEC, TEMPLATE
from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.specs import lint_rules
from tests.support.workspace import Workspace

REPOSITORY = Path(__file__).parents[3]


CONFIG = 'provider = "null"\n'


def found(project: Workspace, *select: str, config: str = CONFIG) -> list[tuple[str, str, str]]:
    """Return (rule, claim, place) of what is found about the cells that are named, by default about all."""
    project.write({"qwenbuild.toml": config})
    return [
        (remark.rule, remark.problem.claim, str(remark.problem.place))
        for remark in load(project.root, select=select).lint()
    ]


def test_this_repositorys_own_project_has_no_finding(tmp_path: Path) -> None:
    """Its specs and templates use all that they declare."""
    for name in ("specs", "templates"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    assert found(Workspace(tmp_path)) == []


def test_a_new_project_has_no_finding(tmp_path: Path) -> None:
    """Nor has what `init` writes."""
    project = Workspace(tmp_path).write({"specs/poster.toml": SPEC, "templates/poster.j2": TEMPLATE})
    assert found(project) == []


def test_parameters_are_no_templates(project: Workspace) -> None:
    """A text in them that looks like one is found at every depth, in each place that sets some."""
    project.write({
        "specs/a.toml": 'parameters.fine = "{ a } 100 %"\n[image.x]\nprompt = "x"\n'
                        'parameters.style = { names = ["ink", "{{ ink }}"] }\n',
        "qwenbuild.toml": 'provider = "null"\nmodels.qwen-image-plus.parameters.mode = "{% if a %}1{% endif %}"\n'
                          'models.qwen-image-max.parameters.mode = "{{ not_used }}"\n',
    })  # fmt: skip
    assert [(it.rule, it.problem.claim, str(it.problem.place)) for it in load(project.root).lint()] == [
        ("template-syntax", 'the parameter "mode" holds `{% if a %}` as text', "qwenbuild.toml:2:42"),
        ("template-syntax", 'the parameter "style" holds `{{ ink }}` as text', "specs/a.toml:4:38"),
    ]


# --- variables ---


def test_unused_variables(project: Workspace) -> None:
    """A variable of a spec must be read by one of its images, that of an image by this image."""
    project.write({
        "specs/a.toml": """
            output = "{{ spec }}/{{ image }}-{{ in_path }}.png"
            [vars]
            in_prompt = "a"
            in_path = "b"
            brand = "c"
            [image.x]
            prompt = "{{ in_prompt }}"
            vars = { mood = "calm" }
            [image.y]
            prompt = "{{ mood }}"
            vars = { mood = "wild" }
            """,
    })  # fmt: skip
    assert found(project) == [
        (lint_rules.UNUSED_VARIABLE, 'no template reads the variable "brand"', "specs/a.toml:6:13"),
        (lint_rules.UNUSED_VARIABLE, 'no template reads the variable "mood"', "specs/a.toml:9:22"),
    ]
    assert found(project, "a/y") == found(project)[:1]


def test_variables_that_templates_read(project: Workspace) -> None:
    """Included files, macros and parents count, and a negative prompt."""
    project.write({
        "specs/a.toml": 'negative_prompt = "{{ avoid }}"\n[vars]\navoid = "a"\nin_parent = "b"\nin_part = "c"\n'
                        'in_macro = "d"\n"caf\u00e9" = "e"\n[image.x]\ntemplate = "x.j2"\n',
        "templates/x.j2": '{% extends "base.j2" %}{% block b %}{% include "part.j2" %}{{ cafe\u0301 }}{% endblock %}',
        "templates/base.j2": "{{ in_parent }}{% block b %}{% endblock %}",
        "templates/part.j2": '{% import "macros.j2" as m with context %}{{ m.f() }}{{ in_part }}',
        "templates/macros.j2": "{% macro f() %}{{ in_macro }}{% endmacro %}",
    })  # fmt: skip
    assert found(project) == []


def test_a_variable_that_another_name_hides(project: Workspace) -> None:
    """An axis of the same name comes first, and so does a variable of the image."""
    project.write({
        "specs/a.toml": """
            [vars]
            mood = "calm"
            look = "flat"
            [image.x]
            prompt = "{{ mood }} {{ look }}"
            matrix.mood = ["wild", "sad"]
            vars.look = "round"
            """,
    })  # fmt: skip
    assert [claim for _, claim, _ in found(project)] == [
        'the variable "mood" is never used',
        'the variable "look" is never used',
    ]


def test_defaults_of_the_config(project: Workspace) -> None:
    """A default must be read by one image of the project. A variable that all specs replace is never used."""
    spec = '[vars]\nlook = "flat"\n[image.x]\nprompt = "{{ brand }} {{ look }}"\n'
    config = CONFIG + '[defaults]\nnegative_prompt = "{{ avoid }}"\n[defaults.vars]\n'
    project.write({"specs/a.toml": spec, "specs/b.toml": spec})
    config += 'brand = "a"\navoid = "b"\nlook = "c"\nmood = "d"\n'
    assert found(project, config=config) == [
        (lint_rules.UNUSED_VARIABLE, 'the variable "look" is never used', "qwenbuild.toml:7:1"),
        (lint_rules.UNUSED_VARIABLE, 'no template reads the variable "mood"', "qwenbuild.toml:8:1"),
    ]


@pytest.mark.parametrize("name", ["{% include layout %}", "{% include layout ~ '.j2' ignore missing %}"])
def test_computed_includes_are_not_judged(project: Workspace, name: str) -> None:
    """They may read any variable and any file."""
    project.write({
        "specs/a.toml": f'vars = {{ layout = "a.j2", brand = "b" }}\n[image.x]\nprompt = "p {name}"\n',
        "templates/a.j2": "one", "templates/b.j2": "two",
    })  # fmt: skip
    assert found(project) == []


# --- templates ---


def test_unused_templates(project: Workspace) -> None:
    """Only files that look like templates are named, and only if everything is selected."""
    project.write({
        "specs/a.toml": '[image.x]\ntemplate = "x.txt"\n[image.y]\nprompt = "{% include \'parts/y.j2\' %}"\n',
        "templates/x.txt": "x", "templates/parts/y.j2": "y", "templates/parts/old.j2": "\n  {# old #}\n",
        "templates/notes.txt": "", "templates/README.txt": "about", "templates/font.ttf": b"\x00",
        "templates/.hidden.j2": "", "templates/broken.jinja": b"\xff",
    })  # fmt: skip
    assert found(project) == [
        (lint_rules.UNUSED_TEMPLATE, 'nothing uses the template "broken.jinja"', "templates/broken.jinja"),
        (lint_rules.UNUSED_TEMPLATE, 'nothing uses the template "notes.txt"', "templates/notes.txt"),
        (lint_rules.UNUSED_TEMPLATE, 'nothing uses the template "parts/old.j2"', "templates/parts/old.j2:2:3"),
    ]
    assert found(project, "a/x") == []


# --- axes ---


def test_an_axis_that_changes_no_request(project: Workspace) -> None:
    """The finding counts the duplicates and names two of them; the path of an output is no part of a request."""
    project.write({
        "specs/a.toml": """
            [image.x]
            prompt = "A {{ animal }}"
            output = "{{ animal }}-{{ style }}.png"
            matrix = { animal = ["cat", "dog"], style = ["flat", "ink", "clay", "neon", "photo"] }
            """,
    })  # fmt: skip
    [remark] = load(project.write({"qwenbuild.toml": 'provider = "draft"\n'}).root).lint()
    assert remark.rule == lint_rules.IDLE_AXIS
    assert str(remark.problem) == (
        "error: axis `style` changes no request: 8 of 10 cells are duplicates\n"
        " --> specs/a.toml:5:49\n"
        "  |\n"
        '5 |             matrix = { animal = ["cat", "dog"], style = ["flat", "ink", "clay", "neon", "photo"] }\n'
        "  |                                                 ^^^^^\n"
        "  = a/x[animal=cat,style=flat]\n"
        "  = a/x[animal=cat,style=ink] asks for the same image\n"
        "  = hint: is `{{ style }}` missing in the template? else remove the axis"
    )


def test_shared_axes(project: Workspace) -> None:
    """One that no image names is unused. One that an image names, and that changes nothing, is shown at its place."""
    project.write({
        "specs/a.toml": '[axes]\nmood = ["calm", "wild"]\nlook = ["flat"]\n'
                        '[image.x]\nprompt = "x"\naxes = ["mood", "take"]\n',
    })  # fmt: skip
    assert found(project, config=CONFIG + "[axes]\ntake = [1, 2]\nother = [1]\n") == [
        (lint_rules.IDLE_AXIS, "axis `take` changes no request: 2 of 4 cells are duplicates", "qwenbuild.toml:3:1"),
        (lint_rules.UNUSED_AXIS, 'no image names the axis "other"', "qwenbuild.toml:4:1"),
        (lint_rules.IDLE_AXIS, "axis `mood` changes no request: 2 of 4 cells are duplicates", "specs/a.toml:2:1"),
        (lint_rules.UNUSED_AXIS, 'no image names the axis "look"', "specs/a.toml:3:1"),
    ]


def test_an_unknown_variable_of_the_command_line(project: Workspace) -> None:
    """A typo in `--var` does not pass in silence here, either; a profile's variable that nothing reads is found."""
    project.write({
        "qwenbuild.toml": 'provider = "null"\n[profiles.p.defaults.vars]\nidle = 1\n',
        "specs/s.toml": '[image.a]\nprompt = "{{ who }}"\n',
    })  # fmt: skip
    with pytest.raises(UsageError, match="--var hwo"):
        load(project.root, variables=["who=x", "hwo=x"]).lint()
    [remark] = load(project.root, variables=["who=x"], profile="p").lint()
    assert (remark.rule, str(remark.problem.place)) == ("unused-variable", "qwenbuild.toml:3:1")


@pytest.mark.parametrize(
    ("prompt", "fields", "expected"),
    [
        ("{{ k.prompt }}", "", ["size", "Seed"]),
        ("{{ k.prompt }}", 'size = "{{ k.size }}"\n', ["Seed"]),
        ("{{ k.prompt }}", 'size = "{{ k[\'size\'] }}"\nseed = "{{ k.Seed }}"\n', []),
        ("{{ k.prompt }} {{ k.size }}", "", ["Seed"]),
        ("{{ k.prompt }} {{ k | tojson }}", "", []),
        ("{% include k.prompt %}", "", []),
    ],
)
def test_columns_that_have_the_name_of_a_field(
    project: Workspace, prompt: str, fields: str, expected: list[str]
) -> None:
    """A column sets no field by its name; templates that use the whole row may read each column."""
    project.write({
        "specs/k.csv": "id,size,Seed,prompt\na,16:9,1,hi.j2\nb,1:1,2,ho.j2\n",
        "specs/a.toml": f'[image.x]\nprompt = "{prompt}"\n{fields}matrix.k = {{ file = "k.csv" }}\n',
        "templates/hi.j2": "hi", "templates/ho.j2": "ho",
    })  # fmt: skip
    found = [it.problem for it in load(project.root).lint() if it.rule == "unread-column"]
    assert [problem.claim for problem in found] == [f'the column "{name}" of k sets no field' for name in expected]
    assert all(str(problem.place) == "specs/a.toml:{}:8".format(4 + fields.count("\n") - 1) for problem in found)


# --- what a plan sees ---


def quick(project: Workspace, config: str = CONFIG) -> list[str]:
    """Return the claims of a plan's remarks."""
    return [it.problem.claim for it in load(project.write({"qwenbuild.toml": config}).root).plan().remarks]


def test_a_plan_sees_idle_axes_first(project: Workspace) -> None:
    """A plan has the remarks that need no rendered prompt."""
    project.write({
        "specs/a.toml": '[vars]\nmood = "calm"\n[image.x]\nprompt = "A {{ animal }} {{ \'{{ b }}\' }}"\n'
                        'matrix = { animal = ["cat", "dog"], style = ["flat", "ink"] }\n',
        "templates/old.j2": "x",
    })  # fmt: skip
    assert quick(project) == [
        "axis `style` changes no request: 2 of 4 cells are duplicates",
        'no template reads the variable "mood"',
        'nothing uses the template "old.j2"',
    ]
    assert quick(project, 'provider = "draft"\n') == quick(project)


@pytest.mark.parametrize(
    "files",
    [
        {"specs/a.toml": '[vars]\nmood = "calm"\n[image.x]\nprompt = "a mood"\n'},
        {
            "specs/a.toml": '[vars]\nmood = "calm"\npart = "b.j2"\n[image.x]\nprompt = "{% include part %}"\n',
            "templates/b.j2": "{{ mood }}",
        },
    ],
)
def test_a_plan_does_not_doubt_a_variable_whose_name_stands_in_a_text(
    project: Workspace, files: dict[str, str]
) -> None:
    """To parse all templates would take a plan too long, so a word is enough, also in a file that may be included."""
    assert quick(project.write(files)) == []


def test_a_strict_plan_with_remarks_is_an_error(project: Workspace) -> None:
    """It has all of them; a selection without remarks passes."""
    project.write({
        "qwenbuild.toml": CONFIG,
        "specs/a.toml": '[image.x]\nprompt = "x"\nmatrix.a = [1, 2]\n[image.y]\nprompt = "y"\nvars.look = "flat"\n'
                        '[image.z]\nprompt = "z"\n',
    })  # fmt: skip
    with pytest.raises(ProjectError) as caught:
        load(project.root, strict=True).plan()
    assert [problem.claim for problem in caught.value.problems] == [
        "axis `a` changes no request: 1 of 2 cells are duplicates",
        'no template reads the variable "look"',
    ]
    assert len(load(project.root, strict=True, select=["a/z"]).plan().steps) == 1
