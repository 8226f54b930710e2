"""The budget of one build: counts money before it is spent.

Invariant: no currency's amount passes the limit. A price counts from before its request is sent until
the request is known to be unbilled.
"""

from __future__ import annotations

from decimal import Decimal

from qwenbuild.errors import BudgetExceeded
from qwenbuild.provider import Price


class Spending:
    """The money of one build. `amounts` is what was, or may have been, spent in each currency."""

    def __init__(self, limit: Decimal | None) -> None:
        """`limit` holds for each currency on its own; None means no limit."""
        self._limit = limit
        self.amounts: dict[str, Decimal] = {}

    def pay(self, price: Price | None) -> None:
        """Count a price; raises BudgetExceeded, and does not count it, if it would pass the limit."""
        if price is None:
            return
        after = Price.by_currency([price], self.amounts)
        if self._limit is not None and after[price.currency] > self._limit:
            raise BudgetExceeded(
                f"the next image would cost more than the budget of {self._limit} {price.currency}",
                facts=[f"spent so far: {self.amounts.get(price.currency, 0)}", f"next: {price.amount}"],
                hint="raise --max-cost or [budget] max_cost",
            )
        self.amounts = after

    def refund(self, price: Price | None) -> None:
        """Take back a price whose request was not billed."""
        if price is not None:
            left = Price.by_currency([Price(-price.amount, price.currency)], self.amounts)
            self.amounts = {currency: amount for currency, amount in left.items() if amount}
