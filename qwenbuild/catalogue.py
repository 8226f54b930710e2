"""The models that requests may name: interfaces, sizes, limits and prices.

The facts are data, in the dated `catalogue.toml` beside this module; a project adds or overrides
models under `[models."name"]` of its config, with the same keys.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import Any

from .problems import did_you_mean, listing
from .request import Size

INTERFACES = ("sync", "async")
REGIONS = ("singapore", "beijing")
DEFAULT_MODEL = "qwen-image-plus"

_RATIO = re.compile(r"([1-9][0-9]{0,5}):([1-9][0-9]{0,5})", re.ASCII)
_PRICES = 'a table such as { beijing = "0.20", singapore = "0.22" }'
_SECONDS = {"second": 1.0, "minute": 60.0}
_KEYS = ("interfaces", "sizes", "default_size", "pixels", "prompt_limit", "negative_prompt_limit", "submits",
         "concurrent", "price_cny")  # fmt: skip


class BadDeclaration(ValueError):
    """A key of a declared model has a value that makes no sense."""

    def __init__(self, model: str, key: str, reason: str) -> None:
        super().__init__(f"models.{model}.{key}: {reason}")
        self.model, self.key, self.reason = model, key, reason


@dataclass(frozen=True, slots=True)
class Model:
    """What the service says of one model.

    `sizes` lists the sizes it takes; where it is empty, any size whose number of pixels lies
    within `pixels` is taken. `ratios` maps names such as `16:9` to sizes. Limits of prompts are
    in characters. `submits_per_s` and `concurrent` (async tasks at once; 0: no such limit) hold
    for one account. `price_cny` maps a region to the price of one image in CNY.
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
    price_cny: Mapping[str, Decimal]

    def size(self, text: str) -> Size:
        """Return the size that `text` names (`1328*1328`, `1328x1328` or `1:1`).

        Raises ValueError, with what the model takes, for anything it has not.
        """
        size = self.ratios.get(text) or Size.parse(text)
        if size is None:
            raise ValueError(f"not a size: write {self._takes()}{self._nearest(text)}")
        if self.sizes and size not in self.sizes:
            raise ValueError(f"{self.name} has not this size: it takes {self._takes()}")
        low, high = self.pixels
        if not self.sizes and not low <= size.width * size.height <= high:
            raise ValueError(
                f"{self.name} takes {low:,} to {high:,} pixels in all; this has {size.width * size.height:,}"
            )
        return size

    def ratio(self, size: Size) -> str:
        """Return the name of the size's ratio, such as `16:9`, or the reduced ratio where it has no name."""
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
    """Models by name."""

    def __init__(self, models: Mapping[str, Model], date: str) -> None:
        self.models = dict(models)
        self.date = date  # ISO 8601; when prices and limits were read

    def model(self, name: str) -> Model:
        """Return the model of that name; raises ValueError with the nearest known one."""
        try:
            return self.models[name]
        except KeyError:
            hint = did_you_mean(name, self.models)
            raise ValueError(f"known models: {listing(self.models)}{'; ' + hint if hint else ''}") from None

    def extended(self, declared: Mapping[str, Mapping[str, Any]]) -> Catalogue:
        """Return a catalogue with `declared` models added; a known name overrides only the keys it states.

        Raises BadDeclaration.
        """
        if not declared:
            return self
        models = dict(self.models)
        for name, table in declared.items():
            models[name] = _model(name, table, base=models.get(name))
        return Catalogue(models, self.date)


@cache
def builtin() -> Catalogue:
    """Return the catalogue that comes with qwenbuild."""
    table = _table()
    return Catalogue({name: _model(name, entry) for name, entry in table["models"].items()}, str(table["date"]))


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("catalogue.toml").read_text("utf-8"))


def _ratios(kind: str) -> dict[str, Size]:
    sizes = {name: Size.parse(text) for name, text in _table()["ratios"][kind].items()}
    return {name: size for name, size in sizes.items() if size}


def _model(name: str, table: Mapping[str, Any], base: Model | None = None) -> Model:
    """Return the model that `table` declares, over `base` where there is one."""

    def wrong(key: str, expected: str) -> BadDeclaration:
        return BadDeclaration(name, key, expected)

    for key in table:
        if key not in _KEYS:
            raise wrong(key, f"unknown key; {did_you_mean(key, _KEYS) or 'known: ' + listing(_KEYS)}")
    five = _ratios("fixed")
    model = base or Model(
        name=name, interfaces=("sync",), ratios=five, sizes=tuple(five.values()), default_size=five["16:9"],
        pixels=(512 * 512, 2048 * 2048), prompt_limit=800, negative_prompt_limit=500,
        submits_per_s=2.0, concurrent=0, price_cny={},
    )  # fmt: skip
    if "interfaces" in table:
        interfaces = table["interfaces"]
        if not isinstance(interfaces, list) or not interfaces or any(it not in INTERFACES for it in interfaces):
            raise wrong("interfaces", f"a list of {' and '.join(INTERFACES)}")
        model = replace(model, interfaces=tuple(interfaces))
    if "sizes" in table:
        kind = table["sizes"]
        if kind == "any":
            ratios = _ratios("any")
            model = replace(model, ratios=ratios, sizes=(), default_size=ratios["1:1"])
        elif kind == "fixed":
            model = replace(model, ratios=five, sizes=tuple(five.values()), default_size=five["16:9"])
        elif isinstance(kind, list) and kind and all(isinstance(text, str) and Size.parse(text) for text in kind):
            sizes = tuple(size for text in kind if (size := Size.parse(text)))
            named = {size.ratio: size for size in reversed(sizes)} | {n: s for n, s in five.items() if s in sizes}
            model = replace(model, ratios=named, sizes=sizes, default_size=sizes[0])
        else:
            raise wrong("sizes", '"fixed", "any", or a list such as ["1024*1024"]')
    if "pixels" in table:
        pixels = table["pixels"]
        if not (isinstance(pixels, list) and len(pixels) == 2 and all(type(n) is int for n in pixels)):
            raise wrong("pixels", "the least and the greatest number of pixels, such as [262144, 4194304]")
        if not 0 < pixels[0] <= pixels[1]:
            raise wrong("pixels", "the least number of pixels comes first, and is 1 or more")
        model = replace(model, pixels=(pixels[0], pixels[1]))
    if "default_size" in table:
        try:
            model = replace(model, default_size=model.size(str(table["default_size"])))
        except ValueError as error:
            raise wrong("default_size", str(error)) from None
    try:
        model.size(str(model.default_size))
    except ValueError as error:
        raise wrong("default_size", f"{model.default_size} no longer fits: {error}") from None
    for key in ("prompt_limit", "negative_prompt_limit", "concurrent"):
        if key in table:
            if type(table[key]) is not int or table[key] < 0:
                raise wrong(key, "a whole number, 0 or more")
            model = replace(model, **{key: table[key]})
    if "submits" in table:
        count, _, unit = str(table["submits"]).partition("/")
        if not count.isdecimal() or int(count) == 0 or unit not in _SECONDS:
            raise wrong("submits", 'a pace such as "2/second" or "30/minute"')
        model = replace(model, submits_per_s=int(count) / _SECONDS[unit])
    if "price_cny" in table:
        prices = table["price_cny"]
        if not isinstance(prices, dict):
            raise wrong("price_cny", _PRICES)
        if set(prices) - set(REGIONS):
            raise wrong("price_cny", f"prices by region: {listing(REGIONS)}")
        try:
            model = replace(model, price_cny={region: Decimal(str(price)) for region, price in prices.items()})
        except InvalidOperation:
            raise wrong("price_cny", _PRICES) from None
        if not all(price.is_finite() and price >= 0 for price in model.price_cny.values()):
            raise wrong("price_cny", "a price is 0 or more")
    return model
