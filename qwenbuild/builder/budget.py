"""The budgets of one build: count money before it is spent.

Invariant: no currency's amount passes a limit. A price counts from before its request is sent until
the request is known to be unbilled.
"""

from __future__ import annotations

from decimal import Decimal

from qwenbuild.errors import BudgetExceeded, ImageBudgetExceeded
from qwenbuild.provider import Price


class Spending:
    """The money of one build. `amounts` is what was, or may have been, spent in each currency."""

    def __init__(self, limit: Decimal | None) -> None:
        """`limit` holds for each currency on its own; None means no limit. Images may have limits of their own."""
        self._limit = limit
        self.amounts: dict[str, Decimal] = {}
        self._of_images: dict[str, dict[str, Decimal]] = {}  # by the image's name

    def pay(self, price: Price | None, image: str = "", image_limit: Decimal | None = None) -> None:
        """Count the price of a render. `image` is the image's name, `image_limit` its own limit.

        Raises BudgetExceeded, and does not count it, if it would pass the limit of the build; ImageBudgetExceeded if
        it would pass that of the image.
        """
        if price is None:
            return
        of_image = self._of_images.get(image, {})
        if image_limit is not None:
            self._check(price, of_image, image_limit, image)
        if self._limit is not None:
            self._check(price, self.amounts, self._limit)
        self.amounts = Price.by_currency([price], self.amounts)
        self._of_images[image] = Price.by_currency([price], of_image)

    def refund(self, price: Price | None, image: str = "") -> None:
        """Take back a price whose request was not billed."""
        if price is not None:
            back = Price(-price.amount, price.currency)
            left = Price.by_currency([back], self.amounts)
            self.amounts = {currency: amount for currency, amount in left.items() if amount}
            self._of_images[image] = Price.by_currency([back], self._of_images.get(image, {}))

    @staticmethod
    def _check(price: Price, spent: dict[str, Decimal], limit: Decimal, image: str = "") -> None:
        after = Price.by_currency([price], spent)
        if after[price.currency] <= limit:
            return
        facts = [f"spent so far: {spent.get(price.currency, 0)}", f"next: {price.amount}"]
        if image:
            claim = f"the next image of {image} would cost more than its max_cost of {limit} {price.currency}"
            raise ImageBudgetExceeded(claim, facts=facts, hint="raise max_cost of the image in its spec")
        claim = f"the next image would cost more than the budget of {limit} {price.currency}"
        raise BudgetExceeded(claim, facts=facts, hint="raise --max-cost or [budget] max_cost")
