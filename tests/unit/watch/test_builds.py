"""The builds of a watch: which cells an order has, and which of them are built."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.engine import engine as engines
from qwenbuild.engine.engine import Engine
from qwenbuild.events import Event, Finished, ImageStarted
from qwenbuild.watch import builds
from qwenbuild.watch.builds import Order
from qwenbuild.watch.live_state import Wish
from tests.support.workspace import Workspace

pytest_plugins = ("tests.support.emulated",)

PRICED = '[providers.dashscope]\nsubmits = "1000/second"\n'
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
def engine(project: Workspace, emulator: Running, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A project with three cells, two of them with one request, at a local service that charges."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    project.write({"qwenbuild.toml": PRICED, "specs/a.toml": SPEC})
    return engines.load(project.root)


def carried_out(engine: Engine, order: Order | None) -> Finished:
    """Run the build of an order and return its result."""
    assert order is not None

    def take(event: Event) -> None:
        order.take(event)

    return asyncio.run(builds.carry_out(engine, order, take))


def wishes_for(engine: Engine, *names: str, force: bool = False) -> dict[str, Wish]:
    keys = {step.action.name: step.action.key for step in engine.plan().steps}
    return {name: Wish(keys[name], force) for name in names}


def paths(order: Order | None) -> list[str]:
    return sorted(order.left) if order else []


def test_a_cell_that_is_edited_after_its_order_is_left_out(
    project: Workspace, emulator: Running, engine: Engine
) -> None:
    """If a save comes between an order and its build, the build renders only the requests that were ordered."""
    order = builds.paid_order(engine.plan(), (), Decimal(10))
    assert paths(order) == ["a/ball.png", "a/kite.png", "a/same.png"]
    project.write({"specs/a.toml": SPEC.replace("a kite", "a half-written")})
    assert carried_out(engine, order).rendered == 1
    assert emulator.bill()["count"] == 1
    assert not (project.root / "out/a/kite.png").exists()
    assert order is not None
    assert (paths(order), order.edited) == (["a/kite.png"], order.keys)


def test_a_step_that_the_budget_skips_does_not_count_as_edited(engine: Engine) -> None:
    """A step that the budget skips is not in `edited`, so the watch does not order it again."""
    order = builds.paid_order(engine.plan(), (), Decimal(0))
    finished = carried_out(engine, order)
    assert (finished.rendered, finished.skipped) == (0, 3)
    assert order is not None
    assert order.edited == set()
    assert paths(order) == ["a/ball.png", "a/kite.png", "a/same.png"]


def test_wishes_become_one_order_forced_ones_first(engine: Engine) -> None:
    """An order has either forced or plain wishes, and removes them from the waiting wishes."""
    plan = engine.plan()
    wishes = {**wishes_for(engine, "a/ball"), **wishes_for(engine, "a/kite", force=True)}
    first = builds.wished_order(plan, wishes, Decimal(1))
    assert first is not None
    assert (paths(first), first.force, first.max_cost, list(first.wishes)) == (
        ["a/kite.png"], True, Decimal(1), ["a/kite"],
    )  # fmt: skip
    second = builds.wished_order(plan, wishes, None)
    assert second is not None
    assert (paths(second), second.force, wishes) == (["a/ball.png"], False, {})


def test_a_wish_for_an_earlier_request_is_dropped(project: Workspace, engine: Engine) -> None:
    """A wish counts only while its cell has the request that the price was shown for."""
    wishes = wishes_for(engine, "a/kite")
    project.write({"specs/a.toml": SPEC.replace("a kite", "two kites")})
    assert builds.wished_order(engine.plan(), wishes, None) is None
    assert wishes == {}


def test_only_force_renders_again_what_is_up_to_date(engine: Engine) -> None:
    """A wish without `force` for a cell that is up to date gives no order."""
    carried_out(engine, builds.wished_order(engine.plan(), wishes_for(engine, "a/kite"), None))
    plan = engine.plan()
    assert builds.wished_order(plan, wishes_for(engine, "a/kite"), None) is None
    assert paths(builds.wished_order(plan, wishes_for(engine, "a/kite", force=True), None)) == ["a/kite.png"]


def test_what_is_free_is_ordered_once_without_a_budget(project: Workspace, engine: Engine) -> None:
    """A free order has only images that are in the store, and no image that costs money."""
    assert builds.free_order(engine.plan(), ()) is None
    carried_out(engine, builds.wished_order(engine.plan(), wishes_for(engine, "a/ball"), None))
    order = builds.free_order(engine.plan(), ())
    assert order is not None
    assert (paths(order), order.max_cost) == (["a/same.png"], Decimal(0))
    assert builds.free_order(engine.plan(), order.keys) is None
    assert carried_out(engine, order).restored == 1


def test_an_order_is_obsolete_once_a_waiting_step_is_not_wanted(engine: Engine) -> None:
    """Images that were started are finished and kept, so only waiting steps can make an order obsolete."""
    order = builds.paid_order(engine.plan(), (), Decimal(10))
    assert order is not None
    wanted = {path: step.action.key for path, step in order.left.items()}
    assert not order.is_obsolete(wanted)
    del wanted["a/kite.png"]
    assert order.is_obsolete(wanted)
    order.take(ImageStarted("a/kite", "a/kite.png", "render", "never rendered"))
    assert not order.is_obsolete(wanted)
