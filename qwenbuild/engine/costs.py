"""Costs: what the ledger says was billed for this project, or for all of the user's projects. Nothing is written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qwenbuild.storage.charges import Charge, Standing, charges
from qwenbuild.storage.ledger_file import FILE
from qwenbuild.storage.store import Store
from qwenbuild.storage.store_place import default_root
from qwenbuild.storage.submissions import ledger_folder

if TYPE_CHECKING:
    from .engine import Engine


def _month(charge: Charge) -> str:
    return time.strftime("%Y-%m", time.localtime(charge.at_s))


GROUPS: Final[Mapping[str, Callable[[Charge], str]]] = {
    "image": lambda it: it.cell.partition("[")[0],
    "model": lambda it: it.model,
    "month": _month,
    "project": lambda it: it.project,
}
"""What charges can be grouped by, and the name of a charge's group; months are local."""


@dataclass(slots=True)
class Bill:
    """The charges of one group: how many images, and the money by currency.

    `assumed` counts the images whose price nobody knew, and `unpriced` those whose price was not recorded. The latter
    have no amount.
    """

    name: str
    images: int = 0
    amounts: dict[str, Decimal] = field(default_factory=dict)
    assumed: int = 0
    unpriced: int = 0

    def add(self, charge: Charge) -> None:
        """Add a charge."""
        self.images += 1
        self.assumed += charge.is_assumed
        if charge.price is None:
            self.unpriced += 1
        else:
            self.amounts[charge.currency] = self.amounts.get(charge.currency, Decimal(0)) + charge.price


@dataclass(frozen=True, slots=True)
class Costs:
    """What was billed, by group and in all; and what may have been billed, and what is in flight.

    `ledger` is the path of the ledger; `is_kept` is False if there is none yet. `since_s` is when the first billed
    request was sent, in seconds since the epoch; None without one.
    """

    ledger: Path
    is_kept: bool
    groups: list[Bill]
    total: Bill
    unknown: Bill
    in_flight: Bill
    since_s: float | None = None


def costs(engine: Engine, by: str) -> Costs:
    """Return what a project has cost, grouped by one of GROUPS: the most images first, months in their order.

    Raises LedgerError.
    """
    return _costs(ledger_folder(engine.environ, engine.store), by, os.path.realpath(engine.project.root))


def costs_of_all(environ: Mapping[str, str], by: str) -> Costs:
    """Return what all of the user's projects have cost: see `costs`."""
    return _costs(ledger_folder(environ, Store(default_root(environ))), by)


def _costs(folder: Path, by: str, project: str = "") -> Costs:
    found = charges(folder, project)
    total, unknown, in_flight = Bill("in all"), Bill("unknown"), Bill("in flight")
    groups: dict[str, Bill] = {}
    since_s = None
    for charge in found or ():
        if charge.standing is Standing.BILLED:
            name = GROUPS[by](charge)
            groups.setdefault(name, Bill(name)).add(charge)
            total.add(charge)
            since_s = min(charge.at_s, since_s or charge.at_s)
        else:
            (unknown if charge.standing is Standing.UNKNOWN else in_flight).add(charge)
    ordered = _ordered(groups.values(), by)
    return Costs(folder / FILE, found is not None, ordered, total, unknown, in_flight, since_s)


def _ordered(groups: Iterable[Bill], by: str) -> list[Bill]:
    return sorted(groups, key=lambda it: it.name if by == "month" else (-it.images, it.name))
