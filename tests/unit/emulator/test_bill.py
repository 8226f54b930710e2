from __future__ import annotations

from decimal import Decimal

from qwenbuild.emulator.bill import Bill
from tests.support.orders import charge, exchange


def test_an_empty_bill_is_zero() -> None:
    """Without charges there are no totals."""
    assert Bill("beijing").as_json() == {
        "region": "beijing", "currency": "CNY", "count": 0, "amount": "0", "totals": [], "records": [],
    }  # fmt: skip


def test_totals_are_by_account_and_model() -> None:
    """Amounts are exact sums, and the totals are sorted."""
    bill = Bill("singapore")
    bill.charges += [charge("b"), charge("a", "0.1"), charge("a", "0.1"), charge("a", "0.3", "qwen-image")]
    assert bill.amount_cny == Decimal("0.70")
    assert bill.totals() == [
        ("a", "qwen-image", 1, Decimal("0.3")),
        ("a", "qwen-image-plus", 2, Decimal("0.2")),
        ("b", "qwen-image-plus", 1, Decimal("0.20")),
    ]


def test_a_record_holds_the_order_and_its_exchange() -> None:
    """A record says what was ordered, by whom, at which price, and whether the image was delivered."""
    delivered = charge()
    delivered.delivered = True
    assert delivered.as_json() == {
        "digest": delivered.order.digest, "interface": "async", "model": "qwen-image-plus", "prompt": "a cat",
        "negative_prompt": "", "size": "1664*928", "seed": 7, "prompt_extend": False, "watermark": False, "n": 1,
        "account": "someone", "price_cny": "0.20", "at": "2025-09-09 12:00:00.000", "task_id": "",
        "answered": False, "delivered": True, "exchange": exchange().as_json(),
    }  # fmt: skip
