"""Field sources: the axis, file and line that set each request field and template variable.

Specs and data files are read again to find lines. If a file changed since the plan, the line is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import as_spelled
from qwenbuild.problems import Place, plain
from qwenbuild.request import derived_seed

from . import layers, rows
from .action import Action
from .axes import table_row
from .columns import size_label
from .declaration import Declaration
from .fields import DataFile
from .layers import Kind, Layer
from .project import Project


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from."""

    kind: Kind
    words: str = ""  # names the source, such as `axis seed`; empty if the place says enough
    place: Place | None = None

    def __str__(self) -> str:
        """Return the words and the place, such as `axis seed, specs/puppies.toml:14`."""
        where = f"{self.place.path}:{self.place.line}" if self.place and self.place.line else ""
        where = where or (self.place.path if self.place else "")
        return ", ".join(part for part in (self.words, where) if part)


_DEFAULT = Source(Kind.DEFAULT, "default")
_OF_SIZE = ("size", "width", "height", "ratio")


class Sources:
    """The sources of one action's values."""

    def __init__(self, project: Project, action: Action, *, asked: bool) -> None:
        """`asked` says whether the command line chose the provider."""
        self._project, self._action, self._asked = project, action, asked
        self._declaration = action.declaration
        self._included = _included(project, action)

    def fields(self) -> dict[str, Source]:
        """Return the source of each field of the request, and of `output`."""
        declaration, request = self._declaration, self._action.request
        is_own = request.seed == derived_seed(declaration.name)
        seed = f"derived from the name {declaration.name}" if is_own else "derived from an earlier name, by the lock"
        defaults = {
            "size": Source(Kind.DEFAULT, f"default of {request.model}"),
            "seed": Source(Kind.DERIVED, seed),
            "output": Source(Kind.DEFAULT, "default pattern"),
        }
        names = ("model", "negative_prompt", "size", "seed", "prompt_extend", "watermark", "output")
        found = {name: self._set(name) or defaults.get(name, _DEFAULT) for name in names}
        return {"family": self._provider(), "model": found.pop("model"), "prompt": self._prompt(), **found}

    def variable(self, name: str) -> Source | None:
        """Return the source of a template variable; None if there is no such variable."""
        declaration = self._declaration
        if name in declaration.axes:
            return self._axis(name)
        if name in ("model", "seed", *_OF_SIZE):
            return self.fields()["size" if name in _OF_SIZE else name]
        for layer in declaration.layers:
            if name in layer.fields.vars:
                return self._of_layer(layer, "vars", name)
        if name == "image":
            return Source(Kind.IMAGE, "the image's name", declaration.place(key=True))
        return Source(Kind.SPEC, "the spec's name", Place(declaration.spec.source.shown)) if name == "spec" else None

    def parameter(self, name: str, provider: str) -> Source:
        """Return the source of a parameter of the request; `provider` is the name of the image's provider."""
        for layer in self._declaration.layers:
            if name in layer.fields.parameters:
                return self._of_layer(layer, "parameters", name)
        file, model = self._project.file, self._action.model
        if name in model.parameters:
            place = file.source.place((*file.keys, "models", model.name, "parameters", name))
            return Source(Kind.CONFIG, f"model {model.name}", place)
        table = self._project.config.providers.get(provider, {})
        if name in table:
            return Source(Kind.CONFIG, "", file.source.place((*file.keys, "providers", provider, name)))
        is_set = name in self._action.request.as_dict().get("parameters", {})
        return Source(Kind.DEFAULT, f"the provider {provider}" if is_set else "not set")

    def setting(self, name: str, provider: str, *, asked: bool) -> Source:
        """Return the source of the `region` or `interface` of a provider; `asked`: the command line gives it."""
        if asked:
            return Source(Kind.OPTION, f"--{name}")
        project = self._project
        if layer := layers.setting(self._declaration.layers, name):
            return self._of_layer(layer, name)
        if project.profile and getattr(project.profile, name) is not None:
            keys = (*project.file.keys, "profiles", project.given.profile, name)
            return Source(Kind.PROFILE, f"profile {project.given.profile}", project.file.source.place(keys))
        if name not in project.config.providers.get(provider, {}):
            return _DEFAULT
        keys = (*project.file.keys, "providers", provider, name)
        return Source(Kind.CONFIG, "", project.file.source.place(keys))

    def _set(self, name: str) -> Source | None:
        """Return the source that sets a field: an axis, the image or the top of its spec; None if unset."""
        declaration = self._declaration
        if name in declaration.axes:
            return self._axis(name)
        layer = layers.setting(declaration.layers, name)
        return self._of_layer(layer, name) if layer else None

    def _of_layer(self, layer: Layer, *keys: str) -> Source:
        """Return the source of what stands at `keys` in a layer."""
        match layer.kind:
            case Kind.OPTION:
                return Source(layer.kind, f"--var {keys[-1]}")
            case Kind.PROFILE:
                return Source(layer.kind, f"profile {self._project.given.profile}", layer.place(*keys))
            case _:
                return Source(layer.kind, "", layer.place(*keys))

    def _prompt(self) -> Source:
        declaration, name = self._declaration, self._declaration.image.template
        if name is None:
            return Source(Kind.IMAGE, "", declaration.place("prompt"))
        words = f"template {self._project.config.templates}/{name}"
        return Source(Kind.IMAGE, words, declaration.place("template"))

    def _axis(self, axis: str) -> Source:
        """Return the source of the cell's value of an axis: an include, a data file or the matrix."""
        declaration = self._declaration
        if self._included is not None:
            return Source(Kind.INCLUDE, f"include, {axis}", declaration.place("include", self._included, axis))
        wanted, written = self._action.cell[axis], declaration.written[axis]
        place = written.place()
        match written.values:
            case DataFile(file=name, id=column):
                path = as_spelled(written.folder, name).resolve()
                shown = self._project.shown(path) if path.is_relative_to(self._project.root) else name
                with contextlib.suppress(ProjectError):
                    place = rows.find(path, shown, column, wanted) or place
            case list():
                model = self._action.model
                for index, raw in enumerate(declaration.axes[axis]):
                    if (size_label(raw, model) if axis == "size" else plain(raw)) == wanted:
                        place = written.place(index)
                        break
        return Source(Kind.AXIS, f"axis {axis}", place)

    def _provider(self) -> Source:
        if self._asked:
            return Source(Kind.OPTION, "--provider")
        project = self._project
        if layer := layers.setting(self._declaration.layers, "provider"):
            return self._of_layer(layer, "provider")
        if project.profile and project.profile.provider is not None:
            keys = (*project.file.keys, "profiles", project.given.profile, "provider")
            return Source(Kind.PROFILE, f"profile {project.given.profile}", project.file.source.place(keys))
        if "provider" not in project.config.model_fields_set:
            return _DEFAULT
        return Source(Kind.CONFIG, "", project.file.source.place((*project.file.keys, "provider")))


def _included(project: Project, action: Action) -> int | None:
    """Return the index of the image's `include` that declares the cell; None if the matrix declares it."""
    declaration = action.declaration
    model = action.model
    for number, cell in enumerate(declaration.image.include):
        if cell.keys() == set(declaration.axes) and action.labels == tuple(
            size_label(cell[axis], model) if axis == "size" else _included_label(declaration, number, axis, cell)
            for axis in declaration.axes
        ):
            return number
    return None


def _included_label(declaration: Declaration, number: int, axis: str, cell: Mapping[str, Any]) -> str:
    value = cell[axis]
    if not isinstance(value, dict):
        return plain(value)
    place = partial(declaration.place, "include", number, axis)
    return str(table_row(value, declaration.row_number(axis, number), place))
