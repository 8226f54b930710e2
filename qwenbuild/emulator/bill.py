"""The bill: one charge for each image that the real service would have billed.

Invariant: a charge keeps the whole exchange that ordered the image, without its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .exchange import Exchange
from .request_body import Order
from .wire_format import china_time


@dataclass(slots=True, eq=False)
class Charge:
    """One billed image. `delivered` is True once the client has downloaded the whole, undamaged image."""

    account: str
    order: Order
    price_cny: Decimal
    at_s: float
    exchange: Exchange
    task_id: str = ""
    delivered: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "digest": self.order.digest, "interface": self.order.interface, **self.order.wire(),
            "account": self.account, "price_cny": str(self.price_cny), "at": china_time(self.at_s),
            "task_id": self.task_id, "answered": self.exchange.answered, "delivered": self.delivered,
            "exchange": self.exchange.as_json(),
        }  # fmt: skip


class Bill:
    """All charges since the start or the last reset."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.charges: list[Charge] = []

    @property
    def amount_cny(self) -> Decimal:
        return sum((charge.price_cny for charge in self.charges), Decimal(0))

    def totals(self) -> list[tuple[str, str, int, Decimal]]:
        """Return (account, model, number of images, amount in CNY) for each account and model, sorted."""
        amounts: dict[tuple[str, str], list[Decimal]] = {}
        for it in self.charges:
            amounts.setdefault((it.account, it.order.model), []).append(it.price_cny)
        return [(*key, len(prices), sum(prices, Decimal(0))) for key, prices in sorted(amounts.items())]

    def as_json(self) -> dict[str, Any]:
        return {
            "region": self.region, "currency": "CNY", "count": len(self.charges), "amount": str(self.amount_cny),
            "totals": [
                {"account": account, "model": model, "count": count, "amount": str(amount)}
                for account, model, count, amount in self.totals()
            ],
            "records": [charge.as_json() for charge in self.charges],
        }  # fmt: skip
