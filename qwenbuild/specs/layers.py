"""Layers: the places that set fields, variables and parameters for an image, the nearest first.

The variables of `--var` are the nearest. Then come the image, the top of its spec, the defaults of the profile, and
those of the config. The nearest place that sets a field wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from qwenbuild.catalogue import Model
from qwenbuild.files.text import nfc
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place

from .fields import Fields

if TYPE_CHECKING:
    from .project import Project
    from .spec import Spec


class Kind(StrEnum):
    """What set a value."""

    AXIS = "axis"
    INCLUDE = "include"  # a cell that the image adds to its matrix
    IMAGE = "image"
    SPEC = "spec"  # the top of the spec's file
    PROFILE = "profile"  # the profile of the config that the command line chose
    CONFIG = "config"
    OPTION = "option"  # an option of the command line
    DERIVED = "derived"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Layer:
    """The fields and variables of one table: an image, the top of a spec, or defaults; or the variables of `--var`."""

    kind: Kind
    fields: Fields = field(repr=False)
    source: TomlFile = field(repr=False)
    keys: Keys  # of the table

    def place(self, *keys: str | int, key: bool = False) -> Place:
        """Return the place of a value in the table, or with `key` of its key."""
        return self.source.place((*self.keys, *keys), key=key)

    def place_in(self, *keys: str) -> Callable[[int, str], Place]:
        """Return a function that maps (line of the text at `keys` from 1, token on it) to the token's place."""
        return partial(self.source.place_in, (*self.keys, *keys))


def of(project: Project, spec: Spec, image_name: str) -> Sequence[Layer]:
    """Return the layers of an image, the nearest first."""
    content, config, given, profile = spec.content, project.file, project.given, project.profile
    found = [
        Layer(Kind.IMAGE, content.image[image_name], spec.source, ("image", image_name)),
        Layer(Kind.SPEC, content, spec.source, ()),
        Layer(Kind.CONFIG, project.config.defaults, config.source, (*config.keys, "defaults")),
    ]
    if profile:
        keys = (*config.keys, "profiles", given.profile, "defaults")
        found.insert(-1, Layer(Kind.PROFILE, profile.defaults, config.source, keys))
    if given.variables:
        found.insert(0, Layer(Kind.OPTION, Fields(vars={**given.variables}), TomlFile("--var", "", {}), ()))
    return tuple(found)


def setting(layers: Sequence[Layer], name: str) -> Layer | None:
    """Return the nearest layer that sets the field `name`; None if no layer does."""
    return next((layer for layer in layers if getattr(layer.fields, name, None) is not None), None)


def variables(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return the variables of all layers; of two with one name, the nearer."""
    return {nfc(name): value for layer in reversed(layers) for name, value in layer.fields.vars.items()}


def parameters(layers: Sequence[Layer], model: Model) -> dict[str, Any]:
    """Return the vendor parameters of all layers and of the model; of two with one name, the nearer.

    The model is the farthest.
    """
    of_layers = {name: value for layer in reversed(layers) for name, value in layer.fields.parameters.items()}
    return {**model.parameters, **of_layers}
