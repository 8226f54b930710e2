"""The budget: money is counted before it is spent, and never passes the limit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.builder.budget import Spending
from qwenbuild.errors import BudgetExceeded, ImageBudgetExceeded
from qwenbuild.provider import Price

CENT = Price(Decimal("0.01"))


def test_what_is_free_costs_nothing() -> None:
    """A render without a price adds no amount."""
    spending = Spending(Decimal(0))
    spending.pay(None)
    spending.refund(None)
    assert spending.amounts == {}


def test_the_limit() -> None:
    """A price that would pass the limit is refused and not counted; the error says what was spent."""
    spending = Spending(Decimal("0.025"))
    spending.pay(CENT)
    spending.pay(CENT)
    with pytest.raises(BudgetExceeded) as caught:
        spending.pay(CENT)
    assert caught.value.claim == "the next image would cost more than the budget of 0.025 CNY"
    assert caught.value.facts == ("spent so far: 0.02", "next: 0.01")
    assert caught.value.hint == "raise --max-cost or [budget] max_cost"
    with pytest.raises(BudgetExceeded) as caught:
        Spending(Decimal(0)).pay(CENT)
    assert caught.value.facts == ("spent so far: 0", "next: 0.01")
    assert spending.amounts == {"CNY": Decimal("0.02")}
    spending.refund(CENT)
    spending.pay(CENT)
    spending.refund(CENT)
    spending.refund(CENT)
    assert spending.amounts == {}


@given(
    limit=st.none() | st.integers(0, 30),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from(["CNY", "USD"])), max_size=30),
)
def test_the_sum(limit: int | None, steps: list[tuple[bool, int, str]]) -> None:
    """An amount is what was paid minus what was refunded; it never passes the limit in any currency."""
    spending = Spending(None if limit is None else Decimal(limit))
    paid: list[Price] = []
    for is_refund, amount, currency in steps:
        if is_refund and paid:
            spending.refund(paid.pop())
            continue
        price = Price(Decimal(amount), currency)
        total = amount + sum(it.amount for it in paid if it.currency == currency)
        if limit is not None and total > limit:
            with pytest.raises(BudgetExceeded):
                spending.pay(price)
        else:
            spending.pay(price)
            paid.append(price)
    for currency in ("CNY", "USD"):
        assert spending.amounts.get(currency, 0) == sum(it.amount for it in paid if it.currency == currency)


def test_the_limit_of_an_image() -> None:
    """It counts what this image costs; other images go on, and the build's own limit stays."""
    spending = Spending(Decimal("0.03"))
    spending.pay(CENT, "s/a", Decimal("0.01"))
    with pytest.raises(ImageBudgetExceeded) as caught:
        spending.pay(CENT, "s/a", Decimal("0.01"))
    assert caught.value.claim == "the next image of s/a would cost more than its max_cost of 0.01 CNY"
    spending.pay(CENT, "s/b")
    spending.refund(CENT, "s/a")
    spending.pay(CENT, "s/a", Decimal("0.01"))
    spending.pay(CENT, "s/c", Decimal("0.01"))
    with pytest.raises(BudgetExceeded):
        spending.pay(CENT, "s/d", Decimal("0.01"))
