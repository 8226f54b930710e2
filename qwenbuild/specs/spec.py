"""The spec format: reads one TOML file into a frozen, validated `Spec`.

The pydantic models below define the format. The JSON Schema for editors is made from them. Unknown keys are refused.
`expand` checks what needs the model catalogue, templates or data files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import read_text
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_limits import MAX_BYTES
from qwenbuild.files.toml_positions import Keys
from qwenbuild.model_tables import Money
from qwenbuild.problems import Place, Problem

from . import declared_names
from .control_characters import in_toml
from .fields import Axis, DataFile, Fields, Range, Scalar
from .findings import Findings
from .validation import problems


class Chosen(Fields):
    """Fields, and the provider that renders."""

    provider: str | None = Field(default=None, min_length=1, description="renders these images; default: the config's")
    region: str | None = Field(default=None, min_length=1, description="region of the service; default: the config's")
    interface: str | None = Field(default=None, min_length=1, description="interface of the service: sync or async")


class Image(Chosen):
    """A named entry of a spec: a prompt, its fields and the matrix of its cells."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["prompt"]}, {"required": ["template"]}]})

    prompt: str | None = Field(default=None, description="the prompt, a Jinja template")
    template: str | None = Field(default=None, description="the file in templates/ that renders the prompt")
    tags: list[str] = Field(
        default_factory=list, description="tags by which --tag selects the image",
        json_schema_extra={"uniqueItems": True},
    )  # fmt: skip
    axes: list[str] = Field(
        default_factory=list, description="names of shared axes, from [axes] of the spec or the config"
    )
    max_cost: Money | None = Field(
        default=None, strict=False, description="the most that the images of one build may cost, in CNY"
    )
    matrix: dict[str, Axis] = Field(default_factory=dict, description="the axes: the values of each, by name")
    exclude: list[dict[str, Scalar]] = Field(
        default_factory=list, description="cells to leave out: those that match all values of an entry"
    )
    include: list[dict[str, Scalar | dict[str, Any]]] = Field(
        default_factory=list,
        description="cells to add; each entry names every axis; without a matrix, these are all cells",
    )
    only: list[dict[str, Scalar]] = Field(
        default_factory=list, description="cells to build: if there is an entry, only those that match one"
    )

    @property
    def has_matrix(self) -> bool:
        """Whether the image has axes of its own or shared ones. Without any, its cells are those of `include`."""
        return bool(self.matrix or self.axes)

    @model_validator(mode="after")
    def _one_prompt(self) -> Image:
        if (self.prompt is None) == (self.template is None):
            which = "both prompt and template" if self.prompt is not None else "neither prompt nor template"
            raise ValueError(f"{which}: give exactly one")
        return self


class SpecFile(Chosen):
    """A qwenbuild spec: defaults for every image of the file, and the images."""

    model_config = ConfigDict(title="qwenbuild spec")

    axes: dict[str, Axis] = Field(
        default_factory=dict, description="axes that images share; an image names them in its own `axes`"
    )
    image: dict[str, Image] = Field(default_factory=dict, description="the images, by name")


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec as read: its name (`puppies` for `specs/puppies.toml`), content and source."""

    name: str
    path: Path
    content: SpecFile = field(repr=False)
    source: TomlFile = field(repr=False)


def load(path: Path, shown: str, name: str, findings: Findings, known: Spec | None = None) -> Spec | None:
    """Return the spec at `path`; its problems go into `findings`.

    `shown` names the file in messages. `name` is a part of cell names and of derived seeds. `known` is what an earlier
    call returned without problems; it is returned again if the file has the same text.

    The result leaves out images with mistakes, so that the problems of the other images are found in the same run. It
    is None if nothing of the file can be used.
    """
    if re.search(r"[\[\]\x00-\x1f\x7f\ud800-\udfff]", name):
        claim = f"the file name of {shown} has brackets, control characters or bytes that are not UTF-8"
        findings.add([Problem(claim, Place(shown), name="wrong-name")])
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
        findings.add([Problem(f"{shown} declares no image", source.place(()), hint=hint, name="no-image")])
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
        case ("image", _, "matrix", _) | ("axes", _):
            return [*DataFile.model_fields, *Range.model_fields]
        case _:
            return []
