"""What one build spends, counted before it is spent.

Invariant: no currency's amount passes the limit; a price counts from before its request is sent,
and until the request is known not to have been billed.
"""

from __future__ import annotations

from decimal import Decimal

from qwenbuild.errors import BudgetExceeded
from qwenbuild.provider import Price


class Spending:
    """The money of one build. `amounts` is what was spent, or may have been, by currency."""

    def __init__(self, limit: Decimal | None) -> None:
        """`limit` holds for each currency; None: no limit."""
        self._limit = limit
        self.amounts: dict[str, Decimal] = {}

    def pay(self, price: Price | None) -> None:
        """Count a price; raises BudgetExceeded where that would pass the limit."""
        if price is None:
            return
        before = self.amounts.get(price.currency, Decimal(0))
        if self._limit is not None and before + price.amount > self._limit:
            raise BudgetExceeded(
                f"the next image would cost more than the budget of {self._limit} {price.currency}",
                facts=[f"spent so far: {before}", f"next: {price.amount}"],
                hint="raise --max-cost or [budget] max_cost",
            )
        self.amounts[price.currency] = before + price.amount

    def refund(self, price: Price | None) -> None:
        """Take back a price whose request was not billed."""
        if price is not None:
            left = self.amounts.pop(price.currency, Decimal(0)) - price.amount
            if left:
                self.amounts[price.currency] = left
