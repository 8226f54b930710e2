"""What views are told of a watch: revisions, prices and wishes."""

from __future__ import annotations

import asyncio

import pytest

from qwenbuild.engine import engine as engines
from qwenbuild.errors import UsageError
from qwenbuild.watch.live_state import Live
from tests.support.workspace import Workspace

SPEC = """
[image.ball]
prompt = "a ball"
seed = 1
[image.same]
prompt = "a ball"
seed = 1
[image.kite]
prompt = "a kite"
"""


@pytest.fixture
def live(project: Workspace) -> Live:
    """The state of a project with a plan, at the service's prices."""
    project.write({"specs/a.toml": SPEC})
    engine = engines.load(project.root)
    live = Live(engine)
    live.plan = engine.plan()
    return live


def test_a_burst_of_changes_is_told_once(live: Live) -> None:
    """A subscriber gets the newest revision, once, however often it grew since the last."""

    async def use() -> None:
        revisions = live.subscribe()
        for _ in range(100):
            live.changed()
        assert await anext(revisions) == 100
        waiting = asyncio.ensure_future(anext(revisions))
        await asyncio.sleep(0)
        assert not waiting.done()
        for _ in range(100):
            live.changed()
        assert await waiting == 200

    asyncio.run(use())


def test_each_subscriber_is_told(live: Live) -> None:
    """Two views see the same revisions; one that subscribes later is told of later ones alone."""

    async def use() -> None:
        first, second = live.subscribe(), live.subscribe()
        live.changed()
        assert [await anext(first), await anext(second)] == [1, 1]
        third = live.subscribe()
        live.changed()
        assert [await anext(third), await anext(first)] == [2, 2]

    asyncio.run(use())


def test_equal_requests_are_priced_once(live: Live) -> None:
    """Two cells of one request cost what one does, and what is not declared costs nothing."""
    one = live.price(["a/ball"])
    assert one["CNY"] > 0
    assert live.price(["a/ball", "a/same"]) == one
    assert live.price(["a/same"]) == one
    assert live.price(["a/ball", "a/kite"]) == {"CNY": 2 * one["CNY"]}
    assert live.price(["a/gone"]) == {}


def test_a_wish_holds_what_was_seen(live: Live) -> None:
    """It remembers the request that its price was shown for; force outlives a second, plain wish."""

    async def use() -> None:
        await live.render(["a/ball"], force=True)
        await live.render(["a/ball", "a/kite"])

    asyncio.run(use())
    assert live.plan is not None
    keys = {step.action.name: step.action.key for step in live.plan.steps}
    assert {name: (wish.key, wish.force) for name, wish in live.wishes.items()} == {
        "a/ball": (keys["a/ball"], True), "a/kite": (keys["a/kite"], False),
    }  # fmt: skip


def test_nothing_is_wished_for_in_vain(live: Live) -> None:
    """Unknown cells are refused as a whole, and everything while the files are wrong."""
    with pytest.raises(UsageError, match="not declared any more: a/gone"):
        live.wish(["a/ball", "a/gone"])
    live.is_faulty = True
    with pytest.raises(UsageError, match="the project's files have errors"):
        live.wish(["a/ball"])
    assert live.wishes == {}
