"""The catalogue: the models that requests may name, with interfaces, sizes, limits and prices.

The facts stand in `catalogue.toml`, with their date. A project adds or overrides models in `[models."name"]` tables of
its config, with the same keys.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from .model_tables import AreaPrice, ModelTable, RegionPrices
from .problems import did_you_mean, listing
from .request import Size

INTERFACES = ("sync", "async")
DEFAULT_MODEL = "qwen-image-plus"

_RATIO = re.compile(r"([1-9][0-9]{0,5}):([1-9][0-9]{0,5})", re.ASCII)
_LONGEST_NAME = 200
_MOST_PIXELS = 1 << 26  # of an image of any server, as `files.png` accepts them
_UNLIMITED = 1 << 30
_SECONDS = {"second": 1.0, "minute": 60.0}


class BadDeclaration(ValueError):
    """The keys of a declared model contradict each other."""

    def __init__(self, model: str, key: str, reason: str) -> None:
        super().__init__(f"models.{model}.{key}: {reason}")
        self.model, self.key, self.reason = model, key, reason


@dataclass(frozen=True, slots=True)
class Model:
    """The service's facts about one model.

    `sizes` lists the offered sizes. If it is empty, the model offers every size whose number of pixels is within
    `pixels`. `ratios` maps names such as `16:9` to sizes. Prompt limits count characters. `submits_per_s` (requests per
    second) and `concurrent` (async tasks at once; 0: no limit) apply to each account. `most_ratio` is how many times
    longer one side of an image may be than the other; 0: no limit.

    `price_cny` maps a region to the prices of one image in CNY, the smallest area first; `price_source` says who states
    them, and when. With `price_about` only third parties do. `parameters` are vendor parameters that each request to
    the model has; `parameter_values` are the only values that some of them may have.
    """

    name: str
    interfaces: tuple[str, ...]
    ratios: Mapping[str, Size]
    sizes: tuple[Size, ...]
    default_size: Size
    pixels: tuple[int, int]
    prompt_limit: int
    negative_prompt_limit: int
    submits_per_s: float
    concurrent: int
    price_cny: Mapping[str, Sequence[AreaPrice]]
    price_source: str = ""
    price_about: bool = False
    most_ratio: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameter_values: Mapping[str, Sequence[object]] = field(default_factory=dict)

    def price(self, region: str, size: Size | None = None) -> Decimal | None:
        """Return the price of one image in CNY in a region; None if it is not known.

        Without `size` the image has the default size.
        """
        pixels = (size := size or self.default_size).width * size.height
        for step in self.price_cny.get(region, ()):
            if step.up_to_pixels is None or pixels <= step.up_to_pixels:
                return step.price
        return None

    def size(self, text: str) -> Size:
        """Return the size that `text` names (`1328*1328`, `1328x1328` or `1:1`).

        Raises ValueError if the model does not offer it; the message lists what the model offers.
        """
        size = self.ratios.get(text) or Size.parse(text)
        if size and size not in self.sizes and (ratio := f"{size.width}:{size.height}") in self.ratios:
            raise ValueError(f'not a size: did you mean the ratio "{ratio}" ({self.ratios[ratio].wire})?')
        if size is None:
            raise ValueError(f"not a size: write {self._takes()}{self._nearest(text)}")
        if self.sizes and size not in self.sizes:
            raise ValueError(f"{self.name} does not offer this size: it takes {self._takes()}")
        low, high = self.pixels
        if not self.sizes and not low <= size.width * size.height <= high:
            raise ValueError(
                f"{self.name} takes {low:,} to {high:,} pixels in all; this has {size.width * size.height:,}"
            )
        if self.most_ratio and max(size.width, size.height) > self.most_ratio * min(size.width, size.height):
            raise ValueError(f"{self.name} takes ratios from 1:{self.most_ratio} to {self.most_ratio}:1")
        return size

    def ratio(self, size: Size) -> str:
        """Return the name of the size's ratio, such as `16:9`; if it has no name, the reduced ratio."""
        return next((name for name, known in self.ratios.items() if known == size), size.ratio)

    def _nearest(self, text: str) -> str:
        if not (match := _RATIO.fullmatch(text)):
            return ""
        wanted = math.log(int(match[1]) / int(match[2]))
        near = min(
            self.ratios, key=lambda name: abs(math.log(self.ratios[name].width / self.ratios[name].height) - wanted)
        )
        return f'; the nearest is "{near}"'

    def _takes(self) -> str:
        names = (f'"{name}" ({self.ratios[name].wire})' for name in self.ratios)
        return listing(names) + ("" if self.sizes else ', or any "width*height"')


class Catalogue:
    """Models by name. `default_model` is the name of the model of images that name none; empty: each must name one."""

    default_model = DEFAULT_MODEL

    def __init__(self, models: Mapping[str, Model], date: str) -> None:
        self.models = dict(models)
        self.date = date  # ISO 8601; the day on which prices and limits were read

    def model(self, name: str) -> Model:
        """Return the model with this name; raises ValueError, with the nearest known name, if there is none."""
        try:
            return self.models[name]
        except KeyError:
            hint = did_you_mean(name, self.models)
            raise ValueError(f"known models: {listing(self.models)}{'; ' + hint if hint else ''}") from None

    def highest_price(self, region: str) -> Decimal:
        """Return the highest price of one image in a region, in CNY; if none is known there, in all regions."""
        return max(self._prices(region) or self._prices(""))

    def lowest_price(self, region: str) -> Decimal:
        """Return the lowest price of one image in a region, in CNY; if none is known there, in all regions."""
        return min(self._prices(region) or self._prices(""))

    def _prices(self, region: str) -> list[Decimal]:
        """Return all prices in a region; empty: in all regions."""
        tables = [it.price_cny for it in self.models.values()]
        return [it.price for table in tables for name, steps in table.items() for it in steps if region in ("", name)]

    def extended(self, declared: Mapping[str, ModelTable | Mapping[str, Any]]) -> Catalogue:
        """Return a catalogue with `declared` models added; a known name overrides only the keys it states.

        Raises ValueError for a wrong table, and BadDeclaration (a ValueError) for a default size that does not fit.
        """
        if not declared:
            return self
        models = dict(self.models)
        for name, table in declared.items():
            models[name] = _declared(models.get(name) or _default(name), ModelTable.model_validate(table))
        return Catalogue(models, self.date)


class OpenCatalogue(Catalogue):
    """The models of a server of the user's own: all names. Only declared models have limits."""

    def __init__(self, declared: Mapping[str, ModelTable], default_model: str = "") -> None:
        """Raises BadDeclaration."""
        super().__init__({name: _declared(_open(name), table) for name, table in declared.items()}, "")
        self.default_model = default_model

    def model(self, name: str) -> Model:
        """Return the model with this name; raises ValueError if a server can have no model of that name."""
        if name not in self.models:
            if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
                raise ValueError(f"a name has 1 to {_LONGEST_NAME} characters that can be printed")
            self.models.setdefault(name, _open(name))
        return self.models[name]


@cache
def builtin() -> Catalogue:
    """Return the catalogue that comes with qwenbuild."""
    file = _table()
    return Catalogue({}, str(file["date"])).extended({name: _trusted(table) for name, table in file["models"].items()})


def _trusted(table: Mapping[str, Any]) -> ModelTable:
    """Return a table of `catalogue.toml` without validation: a test validates the file, and each plan saves 2 ms."""
    if "price_cny" not in table:
        return ModelTable.model_construct(**table)
    prices = {region: _trusted_prices(stated) for region, stated in table["price_cny"].items()}
    return ModelTable.model_construct(**{**table, "price_cny": RegionPrices.model_construct(None, **prices)})


def _trusted_prices(stated: str | list[dict[str, Any]]) -> Decimal | list[AreaPrice]:
    if isinstance(stated, str):
        return Decimal(stated)
    return [AreaPrice.model_construct(None, **{**step, "price": Decimal(step["price"])}) for step in stated]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("catalogue.toml").read_text("utf-8"))


def _ratios(kind: str) -> dict[str, Size]:
    sizes = {name: Size.parse(text) for name, text in _table()["ratios"][kind].items()}
    return {name: size for name, size in sizes.items() if size}


def _default(name: str) -> Model:
    """Return the defaults of a declared model: the five fixed sizes, the sync interface, no price."""
    five = _ratios("fixed")
    return Model(
        name=name, interfaces=("sync",), ratios=five, sizes=tuple(five.values()), default_size=five["16:9"],
        pixels=(512 * 512, 2048 * 2048), prompt_limit=800, negative_prompt_limit=500,
        submits_per_s=2.0, concurrent=0, price_cny={},
    )  # fmt: skip


def _open(name: str) -> Model:
    """Return a model without limits. Its names of sizes are those that the open weights of Qwen-Image prefer."""
    return replace(
        _default(name), sizes=(), default_size=_ratios("fixed")["1:1"], pixels=(1, _MOST_PIXELS),
        prompt_limit=_UNLIMITED, negative_prompt_limit=_UNLIMITED, submits_per_s=math.inf,
    )  # fmt: skip


def _declared(model: Model, table: ModelTable) -> Model:
    """Return `model` with the keys that `table` states; raises BadDeclaration if the default size does not fit."""
    stated: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table if value is not None
    }
    sizes, default_size = stated.pop("sizes", None), stated.pop("default_size", None)
    if sizes is not None:
        stated |= _sizes(sizes)
    if "submits" in stated:
        count, _, unit = stated.pop("submits").partition("/")
        stated["submits_per_s"] = int(count) / _SECONDS[unit]
    if "price_cny" in stated:
        stated["price_cny"] = {region: _steps(price) for region, price in stated["price_cny"] if price is not None}
        stated = {"price_source": "", "price_about": False, **stated}
    model = replace(model, **stated)
    try:
        if default_size is not None:
            return replace(model, default_size=model.size(default_size))
        model.size(str(model.default_size))
    except ValueError as error:
        reason = str(error) if default_size is not None else f"{model.default_size} no longer fits: {error}"
        raise BadDeclaration(model.name, "default_size", reason) from None
    return model


def _steps(stated: Decimal | Sequence[AreaPrice]) -> Sequence[AreaPrice]:
    if isinstance(stated, Decimal):
        return (AreaPrice.model_construct(None, up_to_pixels=None, price=stated),)
    return tuple(stated)


def _sizes(stated: str | Sequence[str]) -> dict[str, Any]:
    """Return the fields of a `Model` that follow from a table's `sizes`."""
    if stated == "any":
        ratios = _ratios("any")
        return {"ratios": ratios, "sizes": (), "default_size": ratios["1:1"]}
    five = _ratios("fixed")
    if stated == "fixed":
        return {"ratios": five, "sizes": tuple(five.values()), "default_size": five["16:9"]}
    sizes = tuple(size for text in stated if (size := Size.parse(text)))
    ratios = {size.ratio: size for size in reversed(sizes)} | {n: s for n, s in five.items() if s in sizes}
    return {"ratios": ratios, "sizes": sizes, "default_size": sizes[0]}
