"""Prices: a project may raise a model's price, but not lower it without the user's approval.

A price that is too low would make a plan cheap and a budget meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qwenbuild.catalogue import ModelTable, RegionPrices, builtin
from qwenbuild.trust import Item, Kind, Trust


def corrections(declared: Mapping[str, ModelTable], trust: Trust) -> dict[str, Mapping[str, Any]]:
    """Return tables that set the prices right which are too low and not approved.

    `declared` are the project's models. A price is too low if it is below the catalogue's price of the model. A model
    that the catalogue lacks is compared with the cheapest model of the region.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name, table in declared.items():
        stated = table.price_cny or RegionPrices()
        prices = {region: price for region, price in stated if price is not None}
        right = {
            region: least
            for region, price in prices.items()
            if price < (least := _least(name, region)) and not trust.allows(_item(name, region, price, least))
        }
        if right:
            found[name] = {"price_cny": {**prices, **right}}
    return found


def _item(model: str, region: str, price: Decimal, least: Decimal) -> Item:
    claim = f"the price of {model} in {region} would be {price} CNY instead of the catalogue's {least}"
    return Item(Kind.PRICES, f"{model} in {region}: {price} CNY", claim, f"[models.{model}] price_cny")


def _least(model: str, region: str) -> Decimal:
    models = builtin().models
    known = models[model].price_cny.get(region) if model in models else None
    return known if known is not None else min(each.price_cny[region] for each in models.values())
