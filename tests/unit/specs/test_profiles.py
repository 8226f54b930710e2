"""Tests of profiles: what they override, and mistakes in them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.specs.given import Given
from qwenbuild.specs.project import Project, find
from tests.support.workspace import Workspace

CONFIG = """\
provider = "null"
[budget]
max_cost = 5
[profiles.print]
provider = "draft"
region = "beijing"
budget.max_cost = 20
[profiles.web.defaults]
size = "16:9"
"""


def under(project: Workspace, profile: str) -> Project:
    """Return the project under a profile."""
    return find(project.root, given=Given(profile=profile))


@pytest.mark.parametrize(
    ("profile", "provider", "max_cost"), [("", "null", 5), ("print", "draft", 20), ("web", "null", 5)]
)
def test_a_profile_overrides_what_it_sets(project: Workspace, profile: str, provider: str, max_cost: int) -> None:
    """All else stays as the config has it."""
    project.write({"qwenbuild.toml": CONFIG})
    config = under(project, profile).config
    assert (config.provider, config.budget.max_cost) == (provider, Decimal(max_cost))


_fields = st.fixed_dictionaries({}, optional={
    "model": st.sampled_from(["qwen-image-plus", "qwen-image"]), "size": st.sampled_from(["1:1", "16:9"]),
    "seed": st.integers(0, 9), "negative_prompt": st.just("dust"), "watermark": st.booleans(),
    "output": st.just("x/{{ image }}-{{ hue }}.png"),
    "vars": st.fixed_dictionaries({"who": st.sampled_from(["Ann", "Bo"])}),
})  # fmt: skip


def toml(table: dict[str, Any]) -> str:
    """Return the fields as TOML, a line each."""
    names = "".join(f"vars.{name} = {json.dumps(value)}\n" for name, value in table.get("vars", {}).items())
    return tomli_w.dumps({name: value for name, value in table.items() if name != "vars"}) + names


@given(_fields, _fields, _fields)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_profile_that_is_not_chosen_changes_nothing(
    project: Workspace, defaults: dict[str, Any], top: dict[str, Any], profile: dict[str, Any]
) -> None:
    """Specs of today keep their keys and paths, whatever profiles the config declares."""
    image = '[image.a]\nprompt = "{{ who | default }} {{ hue }}"\nmatrix.hue = ["red", "blue"]\n'
    project.write({"qwenbuild.toml": f"[defaults]\n{toml(defaults)}", "specs/s.toml": toml(top) + image})
    before = [(action.key, action.output, action.name) for action in project.actions()]
    project.write({"qwenbuild.toml": f"[defaults]\n{toml(defaults)}[profiles.p.defaults]\n{toml(profile)}"})
    assert [(action.key, action.output, action.name) for action in project.actions()] == before


def test_an_unknown_profile(project: Workspace) -> None:
    """The nearest name is suggested, and without profiles it is said how one is declared."""
    project.write({"qwenbuild.toml": CONFIG})
    with pytest.raises(UsageError) as caught:
        under(project, "prnt")
    assert (caught.value.claim, caught.value.hint) == ('no profile "prnt"', 'did you mean "print"?')
    assert list(caught.value.facts) == ["profiles: print, web"]
    project.write({"qwenbuild.toml": ""})
    with pytest.raises(UsageError) as caught:
        under(project, "print")
    assert caught.value.hint == "the config declares them: [profiles.NAME]"


@pytest.mark.parametrize(
    ("config", "claim", "line", "hint"),
    [
        ("[profiles.a]\nregoin = 'x'\n", 'unknown key "regoin" in [profiles.a]', 2, 'did you mean "region"?'),
        ("[profiles.a.budget]\nmaxcost = 1\n", 'unknown key "maxcost" in [profiles.a.budget]', 2,
         'did you mean "max_cost"?'),
        ("[profiles.a.defaults]\nsizes = '1:1'\n", 'unknown key "sizes" in [profiles.a.defaults]', 2,
         'did you mean "size"?'),
        ("[defaults]\nmodell = 'x'\n", 'unknown key "modell" in [defaults]', 2, 'did you mean "model"?'),
        ("[axes.a]\ncount = 2\nstrat = 1\n", 'unknown key "strat" in [axes.a]', 3, 'did you mean "start"?'),
        ("[profiles.a]\nprofile = 'b'\n", 'unknown key "profile" in [profiles.a]', 2, None),
        ("[profiles.a.defaults.vars]\nsize = 1\n",
         '"size" is a name that qwenbuild sets; a variable can\'t take it', 2, None),
        ("[profiles.'-a']\n", 'not a profile\'s name: "-a"', 1, None),
        ("[profiles.'']\n", 'not a profile\'s name: ""', 1, None),
        (f"[profiles.{'a' * 201}]\n", f'not a profile\'s name: "{"a" * 201}"', 1, None),
        ("[profiles.a]\nprovider = 3\n", "provider: wrong type, a whole number", 2, None),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(
    project: Workspace, config: str, claim: str, line: int, hint: str | None
) -> None:
    """Also if nobody chooses the profile."""
    project.write({"qwenbuild.toml": config})
    with pytest.raises(ProjectError) as caught:
        find(project.root)
    [problem] = caught.value.problems
    assert problem.place and (problem.claim, problem.place.line) == (claim, line)
    assert hint is None or problem.hint == hint
