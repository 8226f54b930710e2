"""Tests of the provider that command line, profile and config choose for all images."""

from __future__ import annotations

from typing import Any

import pytest

from qwenbuild import load
from qwenbuild.errors import UsageError
from qwenbuild.provider import accounted
from tests.support.workspace import Workspace

CONFIG = """\
provider = "dashscope"
[providers.dashscope]
region = "singapore"
[profiles.china]
region = "beijing"
interface = "async"
[profiles.free]
provider = "null"
region = "beijing"
[profiles.wrong]
provider = "nul"
"""


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, ("dashscope", "singapore", "sync")),
        ({"profile": "china"}, ("dashscope", "beijing", "async")),
        ({"profile": "china", "region": "singapore"}, ("dashscope", "singapore", "async")),
        ({"profile": "china", "provider": "null"}, ("null",)),
        ({"profile": "free"}, ("null",)),
        ({"profile": "free", "provider": "dashscope"}, ("dashscope", "beijing", "sync")),
    ],
)
def test_the_nearest_choice_wins(project: Workspace, choices: dict[str, Any], expected: tuple[str, ...]) -> None:
    """The command line comes before the profile, and that before the config."""
    project.write({"qwenbuild.toml": CONFIG})
    provider = load(project.root, None, **choices).provider
    account = accounted(provider)
    of_service = account.account() if account else {}
    found = (provider.name, *(of_service[name] for name in ("region", "interface") if of_service))
    assert found == expected


def test_an_unknown_provider_of_a_profile(project: Workspace) -> None:
    """The message is that of the command line."""
    project.write({"qwenbuild.toml": CONFIG})
    with pytest.raises(UsageError, match='unknown provider "nul"'):
        load(project.root, profile="wrong")


def test_other_options_find_the_project_again(project: Workspace) -> None:
    """An engine with another profile has that profile's config, also after the config was saved."""
    project.write({"qwenbuild.toml": CONFIG})
    engine = load(project.root)
    other = engine.with_options(profile="free", variables=["a=1"])
    assert (other.provider.name, other.project.given.variables) == ("null", {"a": 1})
    assert (other.is_locking, other.reloaded().provider.name) == (True, "null")


def test_an_image_comes_before_the_profile(project: Workspace) -> None:
    """What it does not choose is the profile's."""
    spec = '[image.a]\nprompt = "a"\nregion = "singapore"\n[image.b]\nprompt = "b"\n'
    project.write({"qwenbuild.toml": CONFIG, "specs/s.toml": spec})
    engine = load(project.root, profile="china")
    found = [accounted(engine.routes.provider(action.choice)) for action in engine.actions()]
    accounts = [account.account() for account in found if account]
    assert [(it["region"], it["interface"]) for it in accounts] == [("singapore", "async"), ("beijing", "async")]
