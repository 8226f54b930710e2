"""Trusting: what a project asks for, and what stops without approval."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenbuild.engine.engine import load
from qwenbuild.engine.trusting import wishes
from qwenbuild.errors import Untrusted, UsageError
from qwenbuild.specs import approvals
from tests.support.workspace import Workspace

CONFIG = """\
[providers.dashscope]
base_url = "https://gateway.example/api/v1"

[remote]
url = "https://cache.example/team"
token_env = "QWENBUILD_REMOTE_TOKEN"
secret_env = "QWENBUILD_REMOTE_SECRET"

[models.qwen-image-plus]
price_cny = { singapore = "0" }
"""
ASKED = [
    "qwen-image-plus in singapore: 0 CNY",
    "DASHSCOPE_API_KEY to https://gateway.example",
    "https://cache.example/team",
    "QWENBUILD_REMOTE_TOKEN to https://cache.example",
    "QWENBUILD_REMOTE_SECRET to https://cache.example",
]


@pytest.fixture
def asking(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project that asks for much; the machine has a key."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-canary")
    return project.write({"qwenbuild.toml": CONFIG, "specs/s.toml": '[image.a]\nprompt = "x"\n'})


def test_all_wishes_are_found(asking: Workspace, tmp_path: Path) -> None:
    """Also links that only the specs show, and also if a spec has a mistake."""
    (tmp_path / "b.toml").write_text("[")
    (asking.root / "specs" / "b.toml").symlink_to(tmp_path / "b.toml")
    found = wishes(asking.root, os.environ)
    assert [item.value for item in found.new] == [*ASKED, f"specs/b.toml -> {tmp_path / 'b.toml'}"]
    assert (found.root, found.approved) == (asking.root, ())


def test_only_what_changed_asks_again(asking: Workspace) -> None:
    """An approval is about one server, one variable and one price."""
    approvals.record(asking.root, wishes(asking.root, os.environ).new)
    assert wishes(asking.root, os.environ).new == ()
    asking.write({"qwenbuild.toml": CONFIG.replace("gateway.example", "other.example")})
    found = wishes(asking.root, os.environ)
    assert [item.value for item in found.new] == ["DASHSCOPE_API_KEY to https://other.example"]
    assert len(found.approved) == len(ASKED) - 1


def test_a_plan_goes_on_and_tells(asking: Workspace) -> None:
    """It asks no server, and counts the catalogue's price."""
    engine = load(asking.root)
    plan = engine.plan()
    assert engine.remote is None
    assert "5 things that you have not approved" in str(plan.warnings[0])
    assert str(plan.cost["CNY"]) == "0.220177"


def test_a_build_that_would_pay_stops(asking: Workspace) -> None:
    """Before anything is sent. Free work goes on without the remote cache."""
    with pytest.raises(Untrusted, match="5 things"):
        load(asking.root).build()
    assert load(asking.root, provider="draft").build().complete


def test_an_unapproved_remote_alone_stops_a_build_that_would_pay(asking: Workspace) -> None:
    """It may hold what the build would buy."""
    asking.write({"qwenbuild.toml": '[remote]\nurl = "https://cache.example/team"\n'})
    with pytest.raises(Untrusted, match="images would come from https://cache"):
        load(asking.root).build()


def test_a_project_that_asks_for_nothing(project: Workspace) -> None:
    """The vendor's own addresses, a higher price and another project's approvals ask for nothing."""
    config = '[providers.dashscope]\nbase_url = "https://dashscope.aliyuncs.com/api/v1"\n'
    project.write({"qwenbuild.toml": config, "specs/s.toml": '[image.a]\nprompt = "x"\n'})
    assert wishes(project.root, os.environ).new == ()
    with pytest.raises(UsageError, match="no project here"):
        wishes(Path("/"), os.environ)


def test_what_the_user_names_needs_no_approval(asking: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment and the command line are the user's."""
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", "https://gateway.example/api/v1")
    asking.write({"qwenbuild.toml": CONFIG.partition("[models")[0]})
    engine = load(asking.root, remote="https://cache.example/team")
    assert engine.remote is not None
    assert engine.project.trust.refused == []


def test_what_a_profile_asks_for(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """`trust` shows it before anybody chooses the profile."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-canary")
    project.write({
        "qwenbuild.toml": 'provider = "null"\n[providers.dashscope]\nbase_url = "https://gateway.example"\n'
                          '[profiles.real]\nprovider = "dashscope"\n[profiles.odd]\nprovider = "nosuch"\n',
        "specs/a.toml": '[image.a]\nprompt = "x"\n',
    })  # fmt: skip
    assert [item.value for item in wishes(project.root, os.environ).new] == [ASKED[1]]
