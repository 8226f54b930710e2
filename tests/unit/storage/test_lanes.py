"""Tests of lanes: each provider sees its own submissions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.provider import Provider, Settings, accounted
from qwenbuild.providers.registry import create
from qwenbuild.request import Request, Size, Submission
from qwenbuild.routes import DEFAULT, Choice, Routes
from qwenbuild.storage.lanes import Lane, Lanes
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.builds import ScriptedProvider, Service
from tests.support.routes import routes_of

REQUEST = Request("other", "qwen-image-plus", "a dog", "", Size(1328, 1328), 1, False, False)
OTHER = Choice("other")


@pytest.fixture
def lanes(tmp_path: Path) -> Iterator[Lanes]:
    """The lanes of a scripted provider, and of a second one that can collect."""
    other = Service(price="1")
    other.name = "other"
    routes = Routes(ScriptedProvider(), lambda choice: other)

    def submissions_of(provider: Provider) -> Submissions:
        return Submissions(state, tmp_path / "ledger" if provider is other else None, provider, tmp_path)

    with contextlib.closing(State.of(tmp_path, create=True)) as state:
        made = Lanes(routes, submissions_of)
        yield made
        made.close()


@pytest.fixture
def regions(tmp_path: Path, default: str) -> Iterator[Lanes]:
    """The lanes of a service in two regions, of which one is the default."""

    def made(choice: Choice) -> Provider:
        settings = Settings({"region": choice.region or default}, builtin(), {"DASHSCOPE_API_KEY": "sk-mine"})
        return create("dashscope", settings)

    with contextlib.closing(State.of(tmp_path, create=True)) as state:
        lanes = Lanes(Routes(made(DEFAULT), made), lambda it: Submissions(state, tmp_path / "ledger", it, tmp_path))
        lanes.of(Choice(region="beijing" if default == "singapore" else "singapore"))
        yield lanes
        lanes.close()


def sent(lanes: Lanes, choice: Choice, key: str) -> Submission:
    return sent_by(lanes.of(choice), key)


def sent_by(lane: Lane, key: str, context: Mapping[str, str] | None = None) -> Submission:
    submissions = lane.submissions
    submissions.prepare()
    found = submissions.intend(
        key, REQUEST, context or {}, cell="a", forced=False, price=None, replaces="", is_stored=lambda: False
    )
    assert found
    submissions.accept(found, "task:1")
    return found


def test_a_lane_is_opened_once(lanes: Lanes) -> None:
    """Iterating yields the lanes of the choices that were asked for."""
    assert [lane.provider.name for lane in lanes] == ["scripted"]
    assert lanes.of(OTHER) is lanes.of(OTHER)
    assert [lane.provider.name for lane in lanes] == ["scripted", "other"]
    assert lanes.names == "scripted, other"


def test_own_submissions_of_all_lanes(lanes: Lanes) -> None:
    """Each is there once, with what its own provider says of it."""
    lanes.of(OTHER)
    sent(lanes, OTHER, "1" * 64)
    found = lanes.own()
    assert [(it.key, it.provider) for it in found] == [("1" * 64, "other")]


def test_each_is_there_once_whatever_its_id(lanes: Lanes, tmp_path: Path) -> None:
    """The ledger has submissions of other projects, too, so its ids differ from those of the state."""
    (tmp_path / "second").mkdir()
    with contextlib.closing(State.of(tmp_path / "second", create=True)) as state:
        provider = lanes.of(OTHER).provider
        second = Lanes(routes_of(provider), lambda it: Submissions(state, tmp_path / "ledger", it, tmp_path / "second"))
        sent(second, OTHER, "2" * 64)
        second.close()
    sent(lanes, OTHER, "1" * 64)
    assert [(it.key, lane) for it, lane in lanes.collected_by()] == [("1" * 64, lanes.of(OTHER))]


@pytest.mark.parametrize("region", ["singapore", "beijing"])
@pytest.mark.parametrize("default", ["singapore", "beijing"])
def test_the_lane_of_its_region_collects_an_image(regions: Lanes, region: str) -> None:
    """Both lanes have the same provider's name. The other one takes the image for that of another account."""
    [lane] = [it for it in regions if it.submissions.host.endswith("-intl.aliyuncs.com") == (region == "singapore")]
    account = accounted(lane.provider)
    assert account
    found = sent_by(lane, "1" * 64, account.account())
    assert [(it.uid, it.elsewhere, by) for it, by in regions.collected_by()] == [(found.uid, "", lane)]
    assert regions.own() == [it for it, _ in regions.collected_by()]
    [other] = [it for it in regions if it is not lane]
    assert [(bool(it.elsewhere), other.can_collect(it)) for it in other.submissions.own()] == [(True, False)]


def test_only_its_own_provider_can_collect_an_image(lanes: Lanes) -> None:
    """It must be accepted, held by nobody, and of the present account."""
    lane = lanes.of(OTHER)
    submission = replace(sent(lanes, OTHER, "1" * 64), handle="task:1", is_held=False)
    assert (lane.can_collect(submission), lanes.of().can_collect(submission)) == (True, False)
    for other in ({"handle": ""}, {"is_held": True}, {"elsewhere": "another account"}, {"provider": "scripted"}):
        assert not lane.can_collect(replace(submission, **other))
