"""Tests of lanes: each provider sees its own submissions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild.provider import Provider
from qwenbuild.request import Request, Size, Submission
from qwenbuild.routes import Choice, Routes
from qwenbuild.storage.lanes import Lanes
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.builds import ScriptedProvider

REQUEST = Request("other", "qwen-image-plus", "a dog", "", Size(1328, 1328), 1, False, False)
OTHER = Choice("other")


class Service(ScriptedProvider):
    async def collect(self, submission: Submission, journal: object) -> None:
        raise NotImplementedError


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


def sent(lanes: Lanes, choice: Choice, key: str) -> Submission:
    submissions = lanes.of(choice).submissions
    submissions.prepare()
    found = submissions.intend(
        key, REQUEST, {}, cell="a", forced=False, price=None, replaces="", is_stored=lambda: False
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


def test_only_its_own_provider_can_collect_an_image(lanes: Lanes) -> None:
    """It must be accepted, held by nobody, and of the present account."""
    lane = lanes.of(OTHER)
    submission = replace(sent(lanes, OTHER, "1" * 64), handle="task:1", is_held=False)
    assert (lane.can_collect(submission), lanes.of().can_collect(submission)) == (True, False)
    for other in ({"handle": ""}, {"is_held": True}, {"elsewhere": "another account"}, {"provider": "scripted"}):
        assert not lane.can_collect(replace(submission, **other))
