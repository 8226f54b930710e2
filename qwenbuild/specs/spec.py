"""The spec format: reads one TOML file into a frozen, validated `Spec`.

The pydantic models below define the format. The JSON Schema for editors is made from them. Unknown keys are refused.
`expand` checks what needs the model catalogue, templates or data files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from qwenbuild.errors import Findings, ProjectError
from qwenbuild.files.paths import as_spelled
from qwenbuild.files.text import read_text
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_limits import MAX_BYTES
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place, Problem
from qwenbuild.request import SEED_MAX

from . import declared_names
from .axis_values import form
from .control_characters import in_toml
from .validation import problems

Scalar = str | int | float | bool


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Range(_Strict):
    """A range of whole numbers: `count` numbers from `start`, `step` apart."""

    start: int = 0
    count: int = Field(ge=1)
    step: int = Field(default=1)

    @field_validator("step")
    @classmethod
    def _moves(cls, step: int) -> int:
        if step == 0:
            raise ValueError("a step of 0 repeats one value")
        return step


class DataFile(_Strict):
    """Rows of a CSV, TSV, JSON Lines or TOML file; each row is a table."""

    file: str = Field(min_length=1, description="path of the file, relative to the spec")
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

Vars = Annotated[dict[str, Any], Field(default_factory=dict, description="variables for templates; any TOML value")]


class _Fields(_Strict):
    """The fields that a spec sets for its images, and an image for its cells."""

    model: str | None = Field(default=None, description="a model of the catalogue, such as qwen-image-plus")
    size: str | None = Field(default=None, description='"1328*1328", "1328x1328", or a ratio such as "1:1"')
    seed: int | None = Field(default=None, ge=0, le=SEED_MAX, description="default: derived from spec and image name")
    negative_prompt: str | None = Field(default=None, description="what the image should not show; may be a template")
    prompt_extend: bool | None = Field(default=None, description="let the service rewrite the prompt; default: false")
    watermark: bool | None = Field(default=None, description='put a "Qwen-Image" watermark; default: false')
    n: int | None = Field(
        default=None, description="images of one request: always 1; several seeds give several images",
        json_schema_extra={"const": 1},
    )  # fmt: skip
    output: str | None = Field(default=None, description="path under out/; may be a template; must end in .png")
    vars: Vars

    @field_validator("n", mode="before")
    @classmethod
    def _is_one(cls, n: object) -> object:
        if n is None or (type(n) is int and n == 1):
            return n
        count = n if type(n) is int and n > 1 else 4
        raise ValueError(
            f"one request makes one image; for {count} images write seed = {{ count = {count} }} in the matrix"
        )


class Image(_Fields):
    """A named entry of a spec: a prompt, its fields and the matrix of its cells."""

    prompt: str | None = Field(default=None, description="the prompt, a Jinja template")
    template: str | None = Field(default=None, description="the file in templates/ that renders the prompt")
    tags: list[str] = Field(
        default_factory=list, description="tags by which --tag selects the image",
        json_schema_extra={"uniqueItems": True},
    )  # fmt: skip
    matrix: dict[str, Axis] = Field(default_factory=dict, description="the axes: the values of each, by name")
    exclude: list[dict[str, Scalar]] = Field(
        default_factory=list, description="cells to leave out: those that match all values of an entry"
    )
    include: list[dict[str, Scalar | dict[str, Any]]] = Field(
        default_factory=list, description="cells to add; each entry names every axis"
    )

    @model_validator(mode="after")
    def _one_prompt(self) -> Image:
        if (self.prompt is None) == (self.template is None):
            which = "both prompt and template" if self.prompt is not None else "neither prompt nor template"
            raise ValueError(f"{which}: give exactly one")
        return self


class SpecFile(_Fields):
    """A qwenbuild spec: defaults for every image of the file, and the images."""

    model_config = ConfigDict(title="qwenbuild spec")

    image: dict[str, Image] = Field(default_factory=dict, description="the images, by name")


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec as read: its name (`puppies` for `specs/puppies.toml`), content and source."""

    name: str
    path: Path
    content: SpecFile = field(repr=False)
    source: TomlFile = field(repr=False)

    @property
    def data_files(self) -> list[Path]:
        """The data files that the axes name; they may be missing."""
        axes = [values for image in self.content.image.values() for values in image.matrix.values()]
        return [as_spelled(self.path.parent, values.file) for values in axes if isinstance(values, DataFile)]


def load(path: Path, shown: str, name: str, findings: Findings, known: Spec | None = None) -> Spec | None:
    """Return the spec at `path`; its problems go into `findings`.

    `shown` names the file in messages. `name` is a part of cell names and of derived seeds. `known` is what an earlier
    call returned without problems; it is returned again if the file has the same text.

    The result leaves out images with mistakes, so that the problems of the other images are found in the same run. It
    is None if nothing of the file can be used.
    """
    if re.search(r"[\[\]\x00-\x1f\x7f\ud800-\udfff]", name):
        claim = f"the file name of {shown} has brackets, control characters or bytes that are not UTF-8"
        findings.add([Problem(claim, Place(shown))])
        return None
    try:
        text = read_text(path, shown, MAX_BYTES)
        if known and known.source.text == text:
            return known
        source = TomlFile.parse(shown, text)
    except ProjectError as error:
        findings.add(error.problems)
        return None
    table = source.table
    unprintable = dict(in_toml(source))
    findings.add(unprintable.values())
    try:
        content = SpecFile.model_validate(table)
    except ValidationError as error:
        by_keys = problems(error, source, _known_keys)
        findings.add(by_keys.values())
        try:
            content = SpecFile.model_validate(_without(table, by_keys))
        except ValidationError:
            return None
    if not table.get("image"):
        hint = 'add one: [image.NAME] with prompt = "…"'
        findings.add([Problem(f"{shown} declares no image", source.place(()), hint=hint)])
    misnamed = declared_names.problems(content, source)
    findings.add(problem for each in misnamed.values() for problem in each)
    if bad := {*misnamed, *(keys[1] for keys in unprintable if keys[0] == "image")}:
        images = {name: image for name, image in content.image.items() if name not in bad}
        content = content.model_copy(update={"image": images})
    return Spec(name, path, content, source)


def _without(table: dict[str, Any], mistakes: Iterable[Keys]) -> dict[str, Any]:
    """Return the file's table without the images and top-level keys that have mistakes."""
    top = {keys[0] for keys in mistakes if keys and (keys[0] != "image" or len(keys) < 2)}
    images = {keys[1] for keys in mistakes if len(keys) > 1 and keys[0] == "image"}
    kept = {name: value for name, value in table.items() if name not in top}
    if isinstance(kept.get("image"), dict):
        kept["image"] = {name: value for name, value in kept["image"].items() if name not in images}
    return kept


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the spec format (draft 2020-12)."""
    table = TypeAdapter(SpecFile).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **table}


def _known_keys(keys: Keys) -> list[str]:
    """Return the keys that the table at `keys` may have."""
    match keys:
        case ():
            return list(SpecFile.model_fields)
        case ("image", _):
            return list(Image.model_fields)
        case ("image", _, "matrix", _):
            return [*DataFile.model_fields, *Range.model_fields]
        case _:
            return []
