"""The live state of a watch: revisions, prices and wishes."""

from __future__ import annotations

import asyncio

import pytest

from qwenbuild.engine import engine as engines
from qwenbuild.errors import UsageError
from qwenbuild.watch.live_state import Live, UnderWay
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


def test_a_burst_of_changes_is_one_revision(live: Live) -> None:
    """A subscriber gets only the newest of several revisions."""

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


def test_each_subscriber_gets_each_revision(live: Live) -> None:
    """Two subscribers get the same revisions; a later subscriber gets only later revisions."""

    async def use() -> None:
        first, second = live.subscribe(), live.subscribe()
        live.changed()
        assert [await anext(first), await anext(second)] == [1, 1]
        third = live.subscribe()
        live.changed()
        assert [await anext(third), await anext(first)] == [2, 2]

    asyncio.run(use())


def test_equal_requests_are_priced_once(live: Live) -> None:
    """Two cells with one request cost as much as one cell; undeclared cells cost nothing."""
    one = live.price(["a/ball"])
    assert one["CNY"] > 0
    assert live.price(["a/ball", "a/same"]) == one
    assert live.price(["a/same"]) == one
    assert live.price(["a/ball", "a/kite"]) == {"CNY": 2 * one["CNY"]}
    assert live.price(["a/gone"]) == {}


def test_a_wish_keeps_the_request_that_was_priced(live: Live) -> None:
    """A wish has the key of the request whose price was shown; a later plain wish does not remove `force`."""

    async def use() -> None:
        await live.render(["a/ball"], force=True)
        await live.render(["a/ball", "a/kite"])

    asyncio.run(use())
    assert live.plan is not None
    keys = {step.action.name: step.action.key for step in live.plan.steps}
    assert {name: (wish.key, wish.force) for name, wish in live.wishes.items()} == {
        "a/ball": (keys["a/ball"], True), "a/kite": (keys["a/kite"], False),
    }  # fmt: skip


def test_what_is_being_rendered_is_not_queued_again(live: Live) -> None:
    """A second page may ask for a cell whose render has been ordered; another request of that cell is queued."""
    assert live.plan is not None
    ball, kite = (next(it for it in live.plan.steps if it.action.name == name) for name in ("a/ball", "a/kite"))
    old = kite._replace(action=kite.action._replace(key="0" * 64))
    live.under_way = UnderWay({ball.action.output: ball, kite.action.output: old}, set(), 2, 0.0)
    live.wish(["a/ball", "a/kite"], force=True)
    assert [*live.wishes] == ["a/kite"]


def test_stars_are_known_at_once(live: Live) -> None:
    """The page needs no reading of the files to see its own star."""

    async def use() -> None:
        await live.pick(["a/ball"])
        assert [*live.picks.by_cell] == ["a/ball"]
        await live.pick(["a/ball"], note="round")
        assert live.picks.by_cell["a/ball"].note == "round"
        await live.pick(["a/ball"], drop=True)

    before = live.revision
    asyncio.run(use())
    assert (len(live.picks), live.revision) == (0, before + 3)


def test_keeping_is_shown_before_it_is_written(live: Live) -> None:
    """A project whose cells are all chosen has no diff."""
    found = asyncio.run(live.keep(["a/ball"]))
    assert (found["diff"], found["said"]) == ("", ["Unchanged, because no cell of theirs is chosen: a/same, a/kite"])


def test_impossible_wishes_are_refused(live: Live) -> None:
    """A wish with an unknown cell is refused as a whole, and every wish while the files have errors."""
    with pytest.raises(UsageError, match="not declared any more: a/gone"):
        live.wish(["a/ball", "a/gone"])
    live.is_faulty = True
    with pytest.raises(UsageError, match="the project's files have errors"):
        live.wish(["a/ball"])
    assert live.wishes == {}
