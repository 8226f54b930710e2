"""The catalogue: the models that requests may name, with interfaces, sizes, limits and prices.

The facts stand in `catalogue.toml`, with their date. A project adds or overrides models in `[models."name"]` tables of
its config, with the same keys.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from . import parameters
from .problems import did_you_mean, listing
from .request import Size

INTERFACES = ("sync", "async")
REGIONS = ("singapore", "beijing")
DEFAULT_MODEL = "qwen-image-plus"

_RATIO = re.compile(r"([1-9][0-9]{0,5}):([1-9][0-9]{0,5})", re.ASCII)
_PACE = re.compile(r"0*[1-9][0-9]{0,8}/(second|minute)", re.ASCII)
_SIZE = {"pattern": "^[1-9][0-9]{0,5}[*xX×][1-9][0-9]{0,5}$", "type": "string"}
_SECONDS = {"second": 1.0, "minute": 60.0}


class BadDeclaration(ValueError):
    """The keys of a declared model contradict each other."""

    def __init__(self, model: str, key: str, reason: str) -> None:
        super().__init__(f"models.{model}.{key}: {reason}")
        self.model, self.key, self.reason = model, key, reason


def _refusing(fault: Callable[[Any], str]) -> AfterValidator:
    def check(value: Any) -> Any:
        if reason := fault(value):
            raise ValueError(reason)
        return value

    return AfterValidator(check)


_JSON_VALUE = {"additionalProperties": True, "type": ["string", "number", "boolean", "array", "object"]}  # no dates

Parameters = Annotated[
    dict[
        Annotated[str, _refusing(parameters.name_fault)],
        Annotated[Any, _refusing(parameters.value_fault), WithJsonSchema(_JSON_VALUE)],
    ],
    _refusing(parameters.size_fault),
    Field(
        json_schema_extra={
            "maxProperties": parameters.MOST, "propertyNames": {"not": {"enum": [*parameters.FIELDS]}},
        }
    ),
]  # fmt: skip
"""A table of vendor parameters, as TOML has it."""


Money = Annotated[
    Decimal,
    Field(ge=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\+?[0-9.][0-9_.]*([eE][+-]?[0-9]+)?$"},
            ]
        }
    ),
]
"""An amount of money, as a number or a text. Pydantic's own pattern for it is none that editors can read."""


class RegionPrices(BaseModel):
    """The price of one image in CNY, by region."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    beijing: Money | None = None
    singapore: Money | None = None


class ModelTable(BaseModel):
    """A table `[models."name"]` of a config, or of `catalogue.toml`. A key that is not stated keeps its value."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, strict=True)

    interfaces: Annotated[
        list[Literal["sync", "async"]] | None,
        Field(description="sync, async, or both", json_schema_extra={"minItems": 1}),
    ] = None
    sizes: Annotated[
        str | list[str] | None,
        Field(
            description='"fixed" (the five common sizes), "any", or a list of sizes',
            json_schema_extra={"anyOf": [{"enum": ["fixed", "any"]}, {"items": _SIZE, "minItems": 1, "type": "array"}]},
        ),
    ] = None
    default_size: Annotated[str | None, Field(description="the size of a request that names none")] = None
    pixels: Annotated[
        list[int] | None,
        Field(
            description='the smallest and the largest number of pixels, if sizes = "any"',
            json_schema_extra={"minItems": 2, "maxItems": 2},
        ),
    ] = None
    prompt_limit: Annotated[int | None, Field(ge=0, description="most characters of a prompt")] = None
    negative_prompt_limit: Annotated[int | None, Field(ge=0, description="most characters of a negative prompt")] = None
    submits: Annotated[
        str | None,
        Field(
            description='most requests in a time, such as "2/second"',
            json_schema_extra={"pattern": f"^{_PACE.pattern}$"},
        ),
    ] = None
    concurrent: Annotated[int | None, Field(ge=0, description="most async tasks at once; 0: no limit")] = None
    price_cny: Annotated[
        RegionPrices | None, Field(strict=False, description="the price of one image in CNY, by region")
    ] = None
    parameters: Annotated[
        Parameters | None, Field(description="vendor parameters of each request, sent as they are")
    ] = None

    @field_validator("interfaces", mode="before")
    @classmethod
    def _has_interfaces(cls, value: object) -> object:
        if not isinstance(value, list) or not value:
            raise ValueError('must be a list of "sync", "async", or both')
        return value

    @field_validator("sizes", mode="before")
    @classmethod
    def _has_sizes(cls, value: object) -> object:
        sizes = value if isinstance(value, list) else []
        if value in ("fixed", "any") or (sizes and all(isinstance(text, str) and Size.parse(text) for text in sizes)):
            return value
        raise ValueError('must be "fixed", "any", or a list such as ["1024*1024"]')

    @field_validator("pixels", mode="before")
    @classmethod
    def _is_range_of_pixels(cls, value: object) -> object:
        if not isinstance(value, list) or [type(number) for number in value] != [int, int]:
            raise ValueError("must be the smallest and the largest number of pixels, such as [262144, 4194304]")
        if not 0 < value[0] <= value[1]:
            raise ValueError("must have the smallest number first, 1 or more")
        return value

    @field_validator("submits", mode="before")
    @classmethod
    def _is_pace(cls, value: object) -> object:
        if not isinstance(value, str) or not _PACE.fullmatch(value):
            raise ValueError('must be a pace such as "2/second" or "30/minute"')
        return value

    @field_validator("price_cny", mode="before")
    @classmethod
    def _is_table_of_prices(cls, value: object) -> object:
        if isinstance(value, dict):
            return value
        raise ValueError('must be a table such as { beijing = "0.20", singapore = "0.22" }')


@dataclass(frozen=True, slots=True)
class Model:
    """The service's facts about one model.

    `sizes` lists the offered sizes. If it is empty, the model offers every size whose number of pixels is within
    `pixels`. `ratios` maps names such as `16:9` to sizes. Prompt limits count characters. `submits_per_s` (requests per
    second) and `concurrent` (async tasks at once; 0: no limit) apply to each account. `price_cny` maps a region to the
    price of one image in CNY. `parameters` are vendor parameters that each request to the model has.
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
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def size(self, text: str) -> Size:
        """Return the size that `text` names (`1328*1328`, `1328x1328` or `1:1`).

        Raises ValueError if the model does not offer it; the message lists what the model offers.
        """
        size = self.ratios.get(text) or Size.parse(text)
        if size is None:
            raise ValueError(f"not a size: write {self._takes()}{self._nearest(text)}")
        if self.sizes and size not in self.sizes:
            raise ValueError(f"{self.name} does not offer this size: it takes {self._takes()}")
        low, high = self.pixels
        if not self.sizes and not low <= size.width * size.height <= high:
            raise ValueError(
                f"{self.name} takes {low:,} to {high:,} pixels in all; this has {size.width * size.height:,}"
            )
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
    """Models by name."""

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
        """Return the highest price of one image in a region, in CNY."""
        return max(each.price_cny[region] for each in self.models.values() if region in each.price_cny)

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


@cache
def builtin() -> Catalogue:
    """Return the catalogue that comes with qwenbuild."""
    file = _table()
    return Catalogue({}, str(file["date"])).extended({name: _trusted(table) for name, table in file["models"].items()})


def _trusted(table: Mapping[str, Any]) -> ModelTable:
    """Return a table of `catalogue.toml` without validation: a test validates the file, and each plan saves 2 ms."""
    prices = {region: Decimal(price) for region, price in table["price_cny"].items()}
    return ModelTable.model_construct(**{**table, "price_cny": RegionPrices.model_construct(None, **prices)})


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
        prices = stated["price_cny"]
        stated["price_cny"] = {region: price for region, price in prices if price is not None}
    model = replace(model, **stated)
    try:
        if default_size is not None:
            return replace(model, default_size=model.size(default_size))
        model.size(str(model.default_size))
    except ValueError as error:
        reason = str(error) if default_size is not None else f"{model.default_size} no longer fits: {error}"
        raise BadDeclaration(model.name, "default_size", reason) from None
    return model


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
