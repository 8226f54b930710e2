"""Model tables: what a config may state about prices. `test_catalogue` tests the other keys with their messages."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import TypeAdapter, ValidationError

from qwenbuild.model_tables import AreaPrice, ModelPrices, RegionPrices

PRICES: TypeAdapter[object] = TypeAdapter(ModelPrices)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("0.20", Decimal("0.20")),
        (3, Decimal(3)),
        ({"beijing": 1}, RegionPrices(beijing=Decimal(1))),
        (
            [{"up_to_pixels": 9, "price": "1"}, {"price": "2"}],
            [AreaPrice(up_to_pixels=9, price=Decimal(1)), AreaPrice(price=Decimal(2))],
        ),
    ],
)
def test_the_forms_of_a_price(stated: object, expected: object) -> None:
    """A price is one amount, a list by area, or a table by region."""
    assert PRICES.validate_python(stated) == expected


@pytest.mark.parametrize(
    "stated",
    [
        [], [{"price": 1}, {"price": 2}], [{"up_to_pixels": 9, "price": 1}],
        [{"up_to_pixels": 0, "price": 1}, {"price": 1}],
        [{"up_to_pixels": 9, "price": 1}, {"up_to_pixels": 8, "price": 1}, {"price": 2}], {"tokyo": 1}, -1, "dear",
    ],
)  # fmt: skip
def test_a_wrong_price(stated: object) -> None:
    """Prices by area grow in their limits, and the last one has none."""
    with pytest.raises(ValidationError):
        PRICES.validate_python(stated)
