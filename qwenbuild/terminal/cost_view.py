"""The view of `cost`: what was billed, and what may have been billed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qwenbuild.engine.costs import Bill, Costs
from qwenbuild.problems import visible

from .style import local_time, money, write

_UNNAMED = "–"  # a request whose cell is not on record


def show(costs: Costs, by: str, *, as_json: bool) -> None:
    """Write the costs of each group, the total, and apart from it what is not certain."""
    if as_json:
        bills = [(by, bill) for bill in costs.groups]
        bills += [("total", costs.total), ("unknown", costs.unknown), ("in_flight", costs.in_flight)]
        write(json.dumps(_bill_dict(kind, bill, is_group=kind == by), ensure_ascii=False) for kind, bill in bills)
    else:
        write(_lines(costs))


def _lines(costs: Costs) -> Iterator[str]:
    if not costs.is_kept:
        yield f"nothing was billed: there is no ledger yet at {visible(str(costs.ledger))}"
        return
    if costs.since_s is None:
        yield "nothing was billed"
    else:
        amounts = [_amounts(bill) for bill in costs.groups]
        width = max(10, *map(len, amounts))
        for bill, amount in zip(costs.groups, amounts, strict=True):
            yield f"{amount:>{width}}  {visible(bill.name) or _UNNAMED}  ({_counted(bill)})"
        yield f"{_amounts(costs.total):>{width}}  in all  ({_counted(costs.total)} since {local_time(costs.since_s)})"
    if (lost := costs.unknown).images:
        yield f"{_amounts(lost):>10}  may have been billed: {_requests(lost)} without an answer; see `qwenbuild tasks`"
    if (sent := costs.in_flight).images:
        yield f"{_amounts(sent):>10}  in flight: {_requests(sent)}; `qwenbuild build` collects the images"


def _amounts(bill: Bill) -> str:
    return money({visible(currency): amount for currency, amount in bill.amounts.items()}) or "price unknown"


def _counted(bill: Bill) -> str:
    parts = [f"{bill.images:,} image{'s' * (bill.images != 1)}"]
    if bill.assumed:
        parts.append(f"{bill.assumed:,} at an assumed price")
    if bill.unpriced:
        parts.append(f"{bill.unpriced:,} without a price on record")
    return ", ".join(parts)


def _requests(bill: Bill) -> str:
    return f"{bill.images:,} request{'s' * (bill.images != 1)}"


def _bill_dict(kind: str, bill: Bill, *, is_group: bool) -> dict[str, Any]:
    table: dict[str, Any] = {"event": "cost", "kind": kind}
    if is_group:
        table["name"] = bill.name
    return table | {
        "images": bill.images, "amounts": {name: str(amount) for name, amount in bill.amounts.items()},
        "assumed": bill.assumed, "unpriced": bill.unpriced,
    }  # fmt: skip
