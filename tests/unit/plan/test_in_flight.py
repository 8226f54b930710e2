"""Tests of what is in flight: submissions that no action asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest

from qwenbuild import load
from qwenbuild.plan.in_flight import strays
from qwenbuild.provider import Provider, accounted
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.builds import Service
from tests.support.routes import lanes_of
from tests.support.workspace import Workspace


def test_a_stray(project: Workspace) -> None:
    """A submission that no action asks for is a stray if the provider can collect it."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": '[image.a]\nprompt = "a"\n'})
    engine = load(project.root)
    [action] = engine.actions()
    with contextlib.closing(State.of(project.root, create=True)) as state:
        state.begin_run()
        state.accepted(state.intend(action.key, action.request.as_dict(), "null", {}, forced=False), "task:1")

        def found(provider: Provider) -> list[str]:
            lanes = lanes_of(provider, lambda it: Submissions(state, None, it, project.root))
            declared = {action.request_key for action in engine.actions()}
            return [it.key for it in strays(lanes.collected_by(), declared, engine.store)]

        service = Service()
        service.name = "null"
        assert (found(engine.provider), found(service)) == ([], [])
        project.write({"specs/s.toml": '[image.b]\nprompt = "b"\n'})
        assert (found(engine.provider), found(service)) == ([], [action.key])


@pytest.mark.parametrize("default", ["singapore", "beijing"])
@pytest.mark.parametrize("region", ["singapore", "beijing"])
def test_two_regions(project: Workspace, monkeypatch: pytest.MonkeyPatch, default: str, region: str) -> None:
    """The lane of its region collects a stray; there is a warning only if no image uses that region."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-mine")
    other = "beijing" if default == "singapore" else "singapore"
    spec = '[image.a]\nprompt = "a"\n'
    config = f'[providers.dashscope]\nregion = "{default}"\n'
    project.write({"qwenbuild.toml": config, "specs/s.toml": f'{spec}[image.b]\nprompt = "b"\nregion = "{other}"\n'})
    engine = load(project.root)
    [action, _] = engine.actions()
    with engine.state(create=True) as state, engine.lanes(state) as lanes:
        [lane] = [it for it in lanes if account(it.provider)["region"] == region]
        lane.submissions.prepare()
        sent = lane.submissions.intend(
            "1" * 64, action.request, account(lane.provider), cell="s/old", forced=False, price=None, replaces="",
            is_stored=lambda: False,
        )  # fmt: skip
        assert sent
        lane.submissions.accept(sent, "task:1")
    plan = load(project.root).plan()
    assert ([it.key for it in plan.strays], plan.warnings) == (["1" * 64], ())
    project.write({"specs/s.toml": spec})
    plan = load(project.root).plan()
    is_used = region == default
    assert [it.key for it in plan.strays] == ["1" * 64] * is_used
    assert [it.facts for it in plan.warnings] == [(f"such as s/old: dashscope {region}",)] * (not is_used)


def account(provider: Provider) -> Mapping[str, str]:
    found = accounted(provider)
    assert found
    return found.account()
