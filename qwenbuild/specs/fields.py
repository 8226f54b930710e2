"""Fields: what a spec, an image and the config's defaults may set, and the forms of an axis.

The pydantic models below are parts of the spec format and of the config. A field may be a template over axes and
variables, such as `seed = "{{ row.seed }}"`: then `expand` checks its value in each cell.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from qwenbuild.model_tables import Parameters
from qwenbuild.request import SEED_MAX

from .axis_values import form

Scalar = str | int | float | bool


class Strict(BaseModel):
    """A table of a spec: unknown keys are refused, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Range(Strict):
    """A range of whole numbers: `count` numbers from `start`, `step` apart."""

    start: int = 0
    count: int = Field(ge=1)
    step: int = Field(default=1, json_schema_extra={"not": {"const": 0}})

    @field_validator("step")
    @classmethod
    def _moves(cls, step: int) -> int:
        if step == 0:
            raise ValueError("a step of 0 repeats one value")
        return step


class DataFile(Strict):
    """Rows of a CSV, TSV, JSON Lines or TOML file; each row is a table."""

    file: str = Field(min_length=1, description="path of the file, relative to the spec or config that names it")
    id: str | None = Field(
        default=None,
        description='column that names each row in cell names and paths; default: "id", else the row\'s number',
    )


def _tag(value: object) -> str:
    """Return the tag of an axis's form in `Axis`; `value` is the axis as TOML has it, or already validated."""
    match value:
        case DataFile():
            return "<file>"
        case Range():
            return "<range>"
        case _:
            return f"<{form(value)}>"


Axis = Annotated[
    Annotated[list[Scalar | dict[str, Any]], Tag("<list>")]  # no key has these names; see `validation`
    | Annotated[DataFile, Tag("<file>")]
    | Annotated[Range, Tag("<range>")]
    | Annotated[Scalar, Tag("<value>")],
    Discriminator(_tag),
]


RANDOM: Final = "random"
"""The seed of a cell whose seed is drawn when its request is sent."""


def is_template(value: object) -> bool:
    """Return whether a field's value is a Jinja template and not a plain value."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


def _or_template(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    return value if is_template(value) else validate(value)


def _or_random(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, str) and value != RANDOM and not is_template(value):
        raise ValueError('a text in quotes; write a whole number, or "random", or a template such as "{{ row.seed }}"')
    if value == -1:
        raise ValueError('-1 is no seed; "random" draws one')
    return value if isinstance(value, str) else validate(value)


_Template = Annotated[str, Field(pattern=r"\{[{%#]")]
_Seed = Annotated[
    Annotated[int | None, Field(ge=0, le=SEED_MAX)],
    WrapValidator(
        _or_random, json_schema_input_type=Annotated[int, Field(ge=0, le=SEED_MAX)] | Literal["random"] | _Template
    ),
]
_Flag = Annotated[bool | None, WrapValidator(_or_template, json_schema_input_type=bool | _Template)]


class Fields(Strict):
    """The fields that a spec sets for its images, an image for its cells, and the config for all."""

    model: str | None = Field(
        default=None, description="a model of the catalogue, such as qwen-image-plus; may be a template"
    )
    size: str | None = Field(
        default=None, description='"1328*1328", "1328x1328", or a ratio such as "1:1"; may be a template'
    )
    seed: _Seed = Field(
        default=None, description='"random": drawn when it is sent; default: derived from the name; may be a template'
    )
    negative_prompt: str | None = Field(default=None, description="what the image should not show; may be a template")
    prompt_extend: _Flag = Field(
        default=None, description="let the service rewrite the prompt; default: false; may be a template"
    )
    watermark: _Flag = Field(
        default=None, description='put a "Qwen-Image" watermark; default: false; may be a template'
    )
    n: int | None = Field(
        default=None, description="images of one request: always 1; several seeds give several images",
        json_schema_extra={"const": 1},
    )  # fmt: skip
    output: str | None = Field(default=None, description="path under out/; may be a template; must end in .png")
    vars: dict[str, Any] = Field(default_factory=dict, description="variables for templates; any TOML value")
    parameters: Parameters = Field(
        default_factory=dict, description="vendor parameters of the request, sent as they are; never templates"
    )

    @field_validator("n", mode="before")
    @classmethod
    def _is_one(cls, n: object) -> object:
        if n is None or (type(n) is int and n == 1):
            return n
        count = n if type(n) is int and n > 1 else 4
        raise ValueError(
            f"one request makes one image; for {count} images write seed = {{ count = {count} }} in the matrix"
        )
