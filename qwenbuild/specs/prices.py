"""Prices: a project may raise a model's price, but not lower it without the user's approval.

A price that is too low would make a plan cheap and a budget meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qwenbuild.catalogue import Model, builtin
from qwenbuild.errors import ProjectError
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_positions import Keys
from qwenbuild.model_tables import AreaPrice, ModelTable, RegionPrices
from qwenbuild.problems import Problem, did_you_mean
from qwenbuild.regions import REGIONS
from qwenbuild.trust import Item, Kind, Trust

if TYPE_CHECKING:
    from .project import Config

Prices = Sequence[AreaPrice]
"""The prices of one image, the smallest area first; the last one is for all larger areas."""


def with_prices(config: Config, source: TomlFile, keys: Keys) -> dict[str, ModelTable]:
    """Return the config's models with the prices of its table `[prices]`; `keys` are those of the config in `source`.

    Raises ProjectError for the price of a model that nothing declares, and for a model that has two prices.
    """
    models, problems = dict(config.models), list[Problem]()
    for name, stated in config.prices.items():
        place = source.place((*keys, "prices", name), key=True)
        if name not in models and name not in builtin().models:
            hint = did_you_mean(name, [*models, *builtin().models]) or f'[models."{name}"] declares it'
            problems.append(Problem(f'the price of an unknown model: "{name}"', place, hint=hint, name="unknown-model"))
        elif name in models and models[name].price_cny is not None:
            hint = f'remove it here, or in [models."{name}"]'
            problems.append(
                Problem(f"the price of {name} stands here and in price_cny", place, hint=hint, name="value-twice")
            )
        else:
            by_region = stated if isinstance(stated, RegionPrices) else RegionPrices(**dict.fromkeys(REGIONS, stated))
            models[name] = models.get(name, ModelTable()).model_copy(update={"price_cny": by_region})
    if problems:
        raise ProjectError(problems)
    return models


def corrections(
    declared: Mapping[str, ModelTable], models: Mapping[str, Model], priced: Mapping[str, object], trust: Trust
) -> dict[str, Mapping[str, Any]]:
    """Return tables that set the prices right which are too low and not approved.

    `declared` are the project's tables, and `models` the models as they declare them. A price is too low if it is below
    the catalogue's price of the model for an image of the same area. A model that the catalogue lacks is compared with
    the lowest price in the region. `priced` are the models whose price stands in `[prices]`.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name, table in declared.items():
        if table.price_cny is None:
            continue
        where = "[prices]" if name in priced else f"[models.{name}] price_cny"
        right = {
            region: list(least)
            for region, steps in models[name].price_cny.items()
            if (least := _not_below(steps, _catalogues(name, region))) != steps
            and not trust.allows(_item(name, region, steps, least, where))
        }
        if right:
            prices = {region: list(steps) for region, steps in models[name].price_cny.items()}
            found[name] = {"price_cny": {**prices, **right}}
    return found


def _item(model: str, region: str, steps: Prices, least: Prices, where: str) -> Item:
    stated = _shown(steps)
    claim = f"the price of {model} in {region} would be {stated} instead of the catalogue's {_shown(least)}"
    return Item(Kind.PRICES, f"{model} in {region}: {stated}", claim, where)


def _shown(steps: Prices) -> str:
    parts = [f"{it.price} CNY" + (f" up to {it.up_to_pixels:,} pixels" if it.up_to_pixels else "") for it in steps]
    return ", ".join(parts) + (" above" if len(parts) > 1 else "")


def _catalogues(model: str, region: str) -> Prices:
    """Return the prices that a project's must not be below."""
    known = builtin().models[model].price_cny.get(region) if model in builtin().models else None
    return known or (AreaPrice(price=builtin().lowest_price(region)),)


def _not_below(steps: Prices, least: Prices) -> Prices:
    """Return the higher of two prices for each area; `steps` itself if it is nowhere lower."""
    limits = {it.up_to_pixels for it in (*steps, *least)}
    found: list[AreaPrice] = []
    for limit in [*sorted(it for it in limits if it), None]:
        price = max(_at(steps, limit), _at(least, limit))
        if found and found[-1].price == price:
            found.pop()
        found.append(AreaPrice(up_to_pixels=limit, price=price))
    return steps if all(_at(steps, limit) >= _at(least, limit) for limit in limits) else tuple(found)


def _at(steps: Prices, pixels: int | None) -> Decimal:
    """Return the price of an image with this many pixels; None: of the largest."""
    fits = (it for it in steps if it.up_to_pixels is None or (pixels is not None and pixels <= it.up_to_pixels))
    return next(fits).price
