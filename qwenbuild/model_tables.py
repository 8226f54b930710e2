"""Model tables: what a config, and `catalogue.toml`, may state about a model and about prices."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    field_validator,
)

from . import parameters
from .request import Size

_PACE = re.compile(r"0*[1-9][0-9]{0,8}/(second|minute)", re.ASCII)
_SIZE = {"pattern": "^[1-9][0-9]{0,5}[*xX×][1-9][0-9]{0,5}$", "type": "string"}


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


class AreaPrice(BaseModel):
    """The price of one image of at most this many pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    up_to_pixels: Annotated[
        int | None, Field(ge=1, strict=True, description="the most pixels at this price; without it, all larger ones")
    ] = None
    price: Annotated[Money, Field(description="the price of one image in CNY")]


def _in_order(steps: list[AreaPrice]) -> list[AreaPrice]:
    limits = [step.up_to_pixels for step in steps[:-1] if step.up_to_pixels is not None]
    if not steps or steps[-1].up_to_pixels is not None or len(limits) < len(steps) - 1:
        raise ValueError("the last price, and only this one, must stand without up_to_pixels")
    if limits != sorted(set(limits)):
        raise ValueError("up_to_pixels must grow from price to price")
    return steps


Prices = Annotated[
    Annotated[list[AreaPrice], AfterValidator(_in_order), Tag("<by area>")] | Annotated[Money, Tag("<one>")],
    Discriminator(lambda value: "<by area>" if isinstance(value, list) else "<one>"),
]
"""The price of one image in CNY: one for all sizes, or a list by the image's area."""


class RegionPrices(BaseModel):
    """The price of one image in CNY, by region."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    singapore: Prices | None = None
    beijing: Prices | None = None
    virginia: Prices | None = None
    hongkong: Prices | None = None
    frankfurt: Prices | None = None


def _form(value: object) -> str:
    return "<by region>" if isinstance(value, dict) else "<by area>" if isinstance(value, list) else "<one>"


ModelPrices = Annotated[
    Annotated[RegionPrices, Tag("<by region>")]
    | Annotated[list[AreaPrice], AfterValidator(_in_order), Tag("<by area>")]
    | Annotated[Money, Tag("<one>")],
    Discriminator(_form),
]
"""The price of one image of a model in CNY: by region, or the same in all regions."""


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
    price_source: Annotated[str | None, Field(description="who says the price, and when")] = None
    price_about: Annotated[bool | None, Field(description="true: the price is not the vendor's own word")] = None
    most_ratio: Annotated[
        int | None, Field(ge=0, description='how many times longer one side may be, if sizes = "any"; 0: no limit')
    ] = None
    parameters: Annotated[
        Parameters | None, Field(description="vendor parameters of each request, sent as they are")
    ] = None
    parameter_values: Annotated[
        dict[str, list[str | bool | int]] | None, Field(description="the values that vendor parameters may have")
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
