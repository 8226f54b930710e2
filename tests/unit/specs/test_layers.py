"""Tests of layers: which place sets a field or a variable."""

from __future__ import annotations

import itertools

import pytest

from qwenbuild import load
from qwenbuild.specs import layers
from qwenbuild.specs.declaration import declare
from qwenbuild.specs.findings import Findings
from qwenbuild.specs.given import Given
from qwenbuild.specs.layers import Kind
from qwenbuild.specs.project import find
from tests.support.workspace import Workspace

PLACES = {
    Kind.IMAGE: '[image.a]\nprompt = "x"\nvars = { who = "image" }\nseed = 1\n',
    Kind.SPEC: 'seed = 2\nvars = { who = "spec" }\n',
    Kind.CONFIG: '[defaults]\nseed = 3\nvars = { who = "config" }\n',
}
SEEDS = {Kind.IMAGE: 1, Kind.SPEC: 2, Kind.CONFIG: 3}


@pytest.mark.parametrize("kinds", [it for size in range(1, 4) for it in itertools.combinations(PLACES, size)])
def test_the_nearest_place_wins(project: Workspace, kinds: tuple[Kind, ...]) -> None:
    """The image comes before the top of its spec, and that before the defaults of the config."""
    image = PLACES[Kind.IMAGE] if Kind.IMAGE in kinds else '[image.a]\nprompt = "x"\n'
    top = PLACES[Kind.SPEC] if Kind.SPEC in kinds else ""
    config = PLACES[Kind.CONFIG] if Kind.CONFIG in kinds else ""
    [declaration] = project.write({"qwenbuild.toml": config, "specs/a.toml": top + image}).declarations()
    nearest = layers.setting(declaration.layers, "seed")
    assert nearest and nearest.kind is kinds[0]
    assert nearest.place("seed").source.endswith(f"seed = {SEEDS[kinds[0]]}")
    assert layers.variables(declaration.layers) == {"who": kinds[0].value}


def test_places_in_texts(project: Workspace) -> None:
    """A token is found in its line of a text, in any table of the layer."""
    spec = '[image.a]\nprompt = "x"\noutput = "{{ who }}.png"\nvars.who = """\nAnn\nBo"""\n'
    [declaration] = project.write({"specs/a.toml": spec}).declarations()
    layer = declaration.layers[0]
    found = [layer.place_in("output")(1, "who"), layer.place_in("vars", "who")(2, "Bo")]
    assert [(it.line, it.column, it.width) for it in found] == [(3, 14, 3), (6, 1, 2)]


def test_parameters_of_all_places_are_sent(project: Workspace) -> None:
    """Of two with one name the nearer wins, as a whole; those of the model are the farthest."""
    project.write({
        "qwenbuild.toml": 'models.qwen-image-max.parameters = { a = "model", b = "model", c = { x = 1 }, e = 1 }\n'
                          'defaults.parameters = { b = "config", c = { y = 1 }, d = "config" }\n',
        "specs/a.toml": 'parameters = { c = { z = 1 }, d = "spec" }\n[image.a]\nprompt = "x"\n'
                        'parameters.d = "image"\nmatrix.model = ["qwen-image-max", "qwen-image-plus"]\n',
    })  # fmt: skip
    assert [it.request.parameters for it in project.actions()] == [
        '{"a":"model","b":"config","c":{"z":1},"d":"image","e":1}', '{"b":"config","c":{"z":1},"d":"image"}'
    ]  # fmt: skip


PRECEDENCE = {
    Kind.OPTION: "",
    Kind.IMAGE: 'vars.who = "image"\n',
    Kind.SPEC: 'vars = { who = "spec" }\n',
    Kind.PROFILE: '[profiles.p.defaults]\nvars = { who = "profile" }\n',
    Kind.CONFIG: '[defaults]\nvars = { who = "config" }\n',
}


@pytest.mark.parametrize("kinds", [it for size in range(1, 6) for it in itertools.combinations(PRECEDENCE, size)])
def test_what_the_command_line_gives_has_its_place(project: Workspace, kinds: tuple[Kind, ...]) -> None:
    """`--var` comes before the image, the image before its spec, that before the profile, and the defaults are last."""
    text = {kind: written if kind in kinds else "" for kind, written in PRECEDENCE.items()}
    profiled = text[Kind.PROFILE] or "[profiles.p]\n"
    project.write({
        "qwenbuild.toml": text[Kind.CONFIG] + profiled,
        "specs/a.toml": f'{text[Kind.SPEC]}[image.a]\nprompt = "{{{{ who }}}}"\n{text[Kind.IMAGE]}',
    })  # fmt: skip
    given = Given({"who": "option"} if Kind.OPTION in kinds else {}, "p")
    [declaration] = declare(find(project.root, given=given), project.specs(Findings()), Findings())
    assert layers.variables(declaration.layers) == {"who": kinds[0].value}


def test_one_variable_has_one_name(project: Workspace) -> None:
    """A name in another form of Unicode is the same one: `--var` reaches it nevertheless."""
    project.write({
        "qwenbuild.toml": '[defaults.vars]\n"e\u0301" = 1\n',
        "specs/a.toml": '[image.a]\nprompt = "{{ \u00e9 }}"\n',
    })  # fmt: skip
    assert project.prompts() == ["1"]
    [action] = load(project.root, provider="null", variables=["e\u0301=2"]).actions()
    assert action.request.prompt == "2"


def test_variables_of_all_places_are_seen(project: Workspace) -> None:
    """Each place adds its variables to those of the others."""
    project.write({
        "qwenbuild.toml": '[defaults.vars]\na = "config"\nb = "config"\nc = "config"\n',
        "specs/a.toml": 'vars = { b = "spec", c = "spec" }\n[image.a]\nprompt = "{{ a }} {{ b }} {{ c }}"\n'
                        'vars.c = "image"\n',
    })  # fmt: skip
    assert project.prompts() == ["config spec image"]
