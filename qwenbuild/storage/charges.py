"""Charges: the submissions of the ledger that were billed, may have been billed, or will be. The ledger is only read.

Submissions that the service refused are no charges. Neither are those that an emulator answered.
"""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from qwenbuild.emulation import FACT
from qwenbuild.errors import LedgerError

from . import ledger_file
from .claims import ASSUMED
from .ledger_file import FILE
from .ledger_hints import damaged_hint


class Standing(StrEnum):
    """Whether a submission was billed."""

    BILLED = "billed"
    UNKNOWN = "unknown"  # it has no answer yet, or the answer was lost: it may have been billed
    IN_FLIGHT = "in_flight"  # it is billed once its image is made


class Charge(NamedTuple):
    """A submission that costs money.

    `project` is the project's folder. `cell` is the name of the cell, empty if unknown. `price` is None if it was not
    recorded; if `is_assumed`, nobody knew it. `at_s` is when the request was sent, in seconds since the epoch.
    """

    project: str
    cell: str
    model: str
    host: str
    price: Decimal | None
    currency: str
    is_assumed: bool
    at_s: float
    standing: Standing


_QUERY: Final = (
    "SELECT id, project, cell, model, host, price, currency, context, handle, intended_at_s, outcome"
    " FROM submissions WHERE outcome IS NOT 'refused' AND (? = '' OR project = ?) ORDER BY id"
)


def charges(folder: Path, project: str = "") -> list[Charge] | None:
    """Return the charges of a project (its real path), or of all projects, the oldest first.

    `folder` is the ledger's. Return None if there is no ledger. Raises LedgerError if it can't be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with ledger_file.faults(path):
        db, version = ledger_file.connect(path, create=False)
        with contextlib.closing(db):
            rows = db.execute(_QUERY, (project, project)) if version else ()
            return [found for row in rows if (found := _charge(path, *row))]


def _charge(
    path: Path, number: int, project: str, cell: str, model: str, host: str, price: str, currency: str, context: str,
    handle: str, at_s: float, outcome: str | None,
) -> Charge | None:  # fmt: skip
    """Return the charge of a row, None if an emulator answered."""
    try:
        known: dict[str, Any] = json.loads(context) if FACT in context or ASSUMED in context else {}
        if known.get(FACT):
            return None
        amount = Decimal(price) if price else None
    except (ValueError, TypeError, AttributeError, InvalidOperation) as error:
        raise LedgerError(
            f"{path}: row {number} is damaged: {error}", hint=damaged_hint(path), name="ledger-damaged"
        ) from error
    standing = Standing.IN_FLIGHT if outcome is None and handle else Standing.UNKNOWN
    standing = Standing.BILLED if outcome == "done" else standing
    return Charge(project, cell, model, host, amount, currency, bool(known.get(ASSUMED)), at_s, standing)
