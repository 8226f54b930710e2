"""The cost of builds: UNKNOWN images, `--resubmit`, and budgets."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.events import Outcome
from qwenbuild.plan.plan import Verdict

from .studio import Studio, cards, unresolved

pytest_plugins = ("tests.support.emulated",)

PRICE = Decimal("0.220177")  # qwen-image-plus in Singapore, in CNY


def test_an_unknown_image_is_not_sent_again_automatically(emulator: Running, tmp_path: Path) -> None:
    """Every build and plan reports the lost answer, builds with exit code 1, until the user says `--resubmit`."""
    studio = Studio.make(tmp_path, emulator, cards(3))
    emulator.inject("drop-after:sync:1")
    first = studio.run("build")
    assert first.code == 1
    assert "unknown cards/card[no=" in first.err
    assert "the answer was lost: the request may have been billed" in first.err
    assert "--resubmit" in first.err
    assert emulator.bill()["count"] == 3

    for _ in range(2):
        again = studio.here("build", "--json")
        assert (again.code, again.finished["unknown"], again.finished["up_to_date"]) == (1, 1, 2)
    plan = studio.here("plan")
    assert "unknown  cards/card[no=" in plan.out
    assert "an earlier build sent it and lost the answer: it may have been billed" in plan.out
    assert "cost" not in plan.out
    assert emulator.bill()["count"] == 3

    plan = studio.here("plan", "--resubmit")
    assert "render  cards/card[no=" in plan.out
    assert "may have been billed before; sent again" in plan.out
    assert "0.22 CNY" in plan.out
    assert studio.build("--resubmit")["rendered"] == 1
    assert emulator.bill()["count"] == 4
    studio.check_outputs()
    assert studio.submissions == []


def test_resubmit_always(emulator: Running, tmp_path: Path) -> None:
    """With `resubmit = "always"` in the config, every build sends UNKNOWN requests again."""
    studio = Studio.make(tmp_path, emulator, cards(2), config='resubmit = "always"')
    emulator.inject("close-after:sync:1")
    assert studio.build_inside().finished.unknown == 1
    assert studio.build_inside().finished.rendered == 1
    assert emulator.bill()["count"] == 3
    studio.check_outputs()


def test_sending_again_counts_against_the_budget(emulator: Running, tmp_path: Path) -> None:
    """A request is not sent again if its price would pass the budget; it stays UNKNOWN."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    emulator.inject("drop-after:sync")
    studio.build_inside()
    emulator.inject()
    built = studio.build_inside(resubmit=True, max_cost=PRICE - Decimal("0.000001"))
    assert built.finished.skipped == 1
    assert emulator.bill()["count"] == 1
    assert len(unresolved(studio.build_inside())) == 1
    assert studio.build_inside(resubmit=True, max_cost=PRICE).finished.rendered == 1


def test_a_lost_answer_to_a_forced_render(emulator: Running, tmp_path: Path) -> None:
    """The old image stays. Another `--force` sends the request again only with `--resubmit`."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    studio.build_inside()
    emulator.inject("drop-after:sync:1")
    assert studio.build_inside(force=True).finished.unknown == 1
    studio.check_outputs()
    assert studio.build_inside().finished.up_to_date == 1
    assert studio.build_inside(force=True).finished.unknown == 1
    assert emulator.bill()["count"] == 2
    assert studio.build_inside(force=True, resubmit=True).finished.rendered == 1
    assert emulator.bill()["count"] == 3
    studio.check_outputs()
    assert studio.submissions == []


@pytest.mark.parametrize("interface", ["sync", "async"])
@pytest.mark.parametrize(
    ("max_cost", "affordable"), [(PRICE * 3, 3), (PRICE * 4 - Decimal("0.000001"), 3), (Decimal(0), 0)]
)
def test_a_budget_stops_before_the_request_that_would_pass_it(
    emulator: Running, tmp_path: Path, interface: str, max_cost: Decimal, affordable: int
) -> None:
    """A build buys exactly as many images as the budget allows; the next build renders the rest."""
    studio = Studio.make(tmp_path, emulator, cards(6), interface=f'"{interface}"')
    ran = studio.here("build", "--max-cost", str(max_cost))
    assert ran.code == 1
    assert f"the next image would cost more than the budget of {max_cost} CNY" in ran.err
    assert "raise --max-cost or [budget] max_cost" in ran.err
    assert emulator.bill()["count"] == affordable
    assert len(studio.outputs()) == affordable
    last = studio.build_inside().finished
    assert (last.rendered, last.up_to_date, last.cost) == (
        6 - affordable,
        affordable,
        {"CNY": str(PRICE * (6 - affordable))},
    )
    studio.audit()


def test_the_budget_of_the_config(emulator: Running, tmp_path: Path) -> None:
    """`[budget] max_cost` limits each build; `--max-cost` overrides it."""
    studio = Studio.make(tmp_path, emulator, cards(5), config="[budget]\nmax_cost = 0.5")
    first = studio.build_inside()
    assert (first.finished.rendered, first.finished.skipped, first.finished.exit_code) == (2, 3, 1)
    assert studio.build_inside().finished.rendered == 2
    assert studio.build_inside(max_cost=Decimal(0)).finished.rendered == 0
    assert studio.build_inside(max_cost=Decimal(1)).finished.complete
    studio.audit()


def test_a_refused_request_is_not_spent(emulator: Running, tmp_path: Path) -> None:
    """The budget gets the price of a refused request back, but not that of a lost answer."""
    studio = Studio.make(tmp_path, emulator, cards(4), max_concurrency="1")
    emulator.inject("moderation:sync:1")
    built = studio.build_inside(max_cost=PRICE * 3)
    assert (built.finished.rendered, built.finished.failed, built.finished.skipped) == (3, 1, 0)
    assert built.finished.cost == {"CNY": str(PRICE * 3)}

    studio.write({"specs/more.toml": cards(3)["cards"].replace("card", "more")})
    emulator.inject("drop-after:sync:1")
    built = studio.build_inside(select=["more"], max_cost=PRICE * 2)
    assert (built.finished.rendered, built.finished.unknown, built.finished.skipped) == (1, 1, 1)
    assert built.finished.cost == {"CNY": str(PRICE * 2)}


def test_refused_by_moderation(emulator: Running, tmp_path: Path) -> None:
    """A refused image costs nothing, shows the service's message, and does not stop the others."""
    studio = Studio.make(tmp_path, emulator, cards(2), max_concurrency="1")
    emulator.inject("moderation:sync:1")
    ran = studio.here("build")
    assert ran.code == 1
    assert "the service's moderation refused the prompt or the image" in ran.err
    assert "DataInspectionFailed: Input data may contain inappropriate content." in ran.err
    assert "1 rendered, 1 failed" in ran.err
    assert emulator.bill()["count"] == 1


def test_arrears_stop_the_run(emulator: Running, tmp_path: Path) -> None:
    """After the service reports arrears, nothing more is sent."""
    studio = Studio.make(tmp_path, emulator, cards(40), max_concurrency="2")
    emulator.inject("arrearage")
    ran = studio.here("build", "--json")
    assert ran.code == 1
    assert studio.calls("sync") <= 2
    assert ran.finished["skipped"] >= 38
    emulator.inject()
    assert studio.build_inside().finished.rendered == 40
    studio.audit()


def test_equal_requests_are_bought_once(emulator: Running, tmp_path: Path) -> None:
    """A request is billed once, although several paths, images and projects with one store want it."""
    specs = {
        "a": '[image.one]\nprompt = "x"\nseed = 1\n[image.two]\nprompt = "x"\nmatrix = { copy = [1, 2, 3], seed = 1 }\n'
    }
    studio = Studio.make(tmp_path, emulator, specs)
    plan = studio.engine().plan()
    assert [step.verdict for step in plan.steps] == [Verdict.RENDER, *[Verdict.RESTORE] * 3]
    assert plan.cost == {"CNY": PRICE}
    built = studio.build_inside()
    assert sorted(built.outcomes.values()) == [Outcome.RENDERED, *[Outcome.RESTORED] * 3]
    other = Studio(tmp_path / "other", studio.store, studio.extra, service=emulator)
    other.write({"qwenbuild.toml": "", "specs/b.toml": specs["a"]})
    assert other.build_inside().finished.restored == 4
    assert emulator.bill()["count"] == 1
