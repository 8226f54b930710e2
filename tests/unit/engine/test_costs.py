"""The engine's costs: what was billed, by group."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.engine.costs import Bill, costs, costs_of_all
from qwenbuild.storage.charges import Charge, Standing
from tests.support.builds import Build, Service, accept
from tests.support.workspace import Workspace


@pytest.fixture
def made(project: Workspace) -> Build:
    """Two images that were billed for 0.20 CNY each."""
    build = Build(project)
    build.provider = Service(accept, price="0.20")
    build.prompts("one", "two")
    assert build.run(interrupt=Interrupt()).cost == {"CNY": "0.40"}
    return build


@pytest.mark.parametrize(
    ("by", "names"),
    [("image", ["s/i0", "s/i1"]), ("model", ["qwen-image-plus"]), ("project", ["{root}"])],
)
def test_groups(made: Build, by: str, names: list[str]) -> None:
    """Each group has its images and its amounts; the total is that of the build."""
    found = costs(made.engine(), by)
    assert [bill.name for bill in found.groups] == [name.format(root=os.path.realpath(made.root)) for name in names]
    assert sum(bill.images for bill in found.groups) == found.total.images == 2
    assert (found.total.amounts, found.unknown.images, found.in_flight.images) == ({"CNY": Decimal("0.40")}, 0, 0)
    assert found.ledger.exists()


def test_months_have_an_order(made: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of local time, and come in their order."""

    def charges(folder: Path, project: str) -> list[Charge]:
        return [
            Charge(project, "", "m", "h", Decimal(1), "CNY", False, at_s, Standing.BILLED)
            for at_s in (1_790_000_000.0, 1_770_000_000.0, 1_790_000_001.0)
        ]

    monkeypatch.setattr("qwenbuild.engine.costs.charges", charges)
    found = costs(made.engine(), "month")
    assert [(bill.name, bill.images) for bill in found.groups] == [("2026-02", 1), ("2026-09", 2)]
    assert found.since_s == 1_770_000_000.0


def test_all_projects(made: Build) -> None:
    """All of the user's projects count, without any project."""
    assert costs_of_all(os.environ, "project").total.images == 2


def test_another_project_has_cost_nothing(made: Build, tmp_path: Path) -> None:
    """Only requests of the project itself count."""
    other = Build(Workspace(tmp_path / "other"))
    found = costs(other.engine(), "image")
    assert (found.is_kept, found.groups, found.total, found.since_s) == (True, [], Bill("in all"), None)


def test_what_is_not_certain_stands_apart() -> None:
    """Prices that were not recorded have no amount; assumed ones are counted."""
    bill = Bill("s/a")
    for price, currency, is_assumed in ((Decimal("0.2"), "CNY", True), (None, "", False), (Decimal(3), "USD", False)):
        bill.add(Charge("/p", "s/a", "m", "h", price, currency, is_assumed, 1.0, Standing.BILLED))
    assert bill == Bill("s/a", 3, {"CNY": Decimal("0.2"), "USD": Decimal(3)}, 1, 1)
