"""Declarations: the images of all specs, each with its axes resolved and the layers that set its fields.

`declare` reads data files and counts the cells. It expands nothing: declaring 10**12 cells is as fast as declaring ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qwenbuild.catalogue import Catalogue
from qwenbuild.digest import sha256
from qwenbuild.errors import ProjectError
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place
from qwenbuild.routes import Choice

from . import axes, layers
from .axes import WrittenAxis
from .axis_values import combinations, length
from .cell_names import cell_name, quoted
from .findings import Findings
from .layers import Layer
from .project import Project
from .rows import KnownRows, Row
from .sandbox import slug
from .spec import Image, Spec


class Value(NamedTuple):
    """One value of an axis in all its forms."""

    label: str
    quoted: str  # the label in cell names
    path_part: str  # the label in default output paths
    value: Any  # for templates and requests

    @classmethod
    def of(cls, name: str, value: Any) -> Value:
        """Return the value with the label `name`. Its `path_part` is short: a longer text is cut, and gets a digest."""
        if not isinstance(value, str | Row):
            return cls(name, quoted(name), name, value)
        short = slug(name)
        if not short or len(short) >= 60:
            short = f"{short[:48].rstrip('-')}-{sha256(name.encode('utf-8', 'replace'))[:8]}".lstrip("-")
        return cls(name, quoted(name), short, value)


@dataclass(frozen=True, slots=True)
class Declaration:
    """An image with resolved axes: each axis has a lazy sequence of values as written."""

    spec: Spec
    image_name: str
    image: Image = field(repr=False)
    axes: Mapping[str, Sequence[Any]] = field(repr=False)
    written: Mapping[str, WrittenAxis] = field(repr=False)  # the axes as written, by name
    layers: Sequence[Layer] = field(repr=False)  # what sets the fields, the nearest first
    choice: Choice  # of the provider
    cells: int  # an upper bound, see `_most_cells`; `matrix.count` is exact for up to a million
    sorted_axes: Sequence[tuple[str, int]] = field(repr=False)  # (axis, its number), sorted by name
    catalogue: Catalogue = field(repr=False)  # what the image's provider offers

    @property
    def name(self) -> str:
        """The image's name, such as `puppies/poster`."""
        return f"{self.spec.name}/{self.image_name}"

    def cell_name(self, values: Sequence[Value]) -> str:
        """Return the name of a cell, such as `puppies/poster[seed=1]`; `values` are in the order of the axes."""
        return cell_name(self.name, [f"{axis}={values[number].quoted}" for axis, number in self.sorted_axes])

    @property
    def keys(self) -> Keys:
        """The keys of the image in its spec."""
        return ("image", self.image_name)

    def row_number(self, axis: str, entry: int) -> int:
        """Return the number of a row that the include number `entry` gives, if the row has no `id`."""
        return (length(self.axes[axis]) if self.image.has_matrix else entry) + 1

    def place(self, *keys: str | int, key: bool = False) -> Place:
        """Return the place of what stands at `keys` in the image, or with `key` of the last key."""
        return self.spec.source.place((*self.keys, *keys), key=key)

    def setting(self, name: str) -> Any:
        """Return what is set for the field `name`, which may be a template; None if nothing is."""
        layer = layers.setting(self.layers, name)
        return getattr(layer.fields, name) if layer else None

    def place_of(self, name: str) -> Place:
        """Return the place that sets the field `name`: an axis, or a key; that of the image if nothing sets it."""
        if name in self.written:
            return self.written[name].place()
        layer = layers.setting(self.layers, name)
        return layer.place(name) if layer else self.place()


def declare(
    project: Project, specs: Iterable[Spec], findings: Findings, known: KnownRows | None = None
) -> list[Declaration]:
    """Return every image with its axes resolved. This reads data files and expands nothing.

    `known` are the rows that earlier reads found.
    """
    declarations = []
    resolver = axes.Resolver(project, known)
    for spec in specs:
        for name, image in spec.content.image.items():
            try:
                written = axes.written(project, spec, name)
            except ProjectError as error:
                findings.add(error.problems, f"{spec.name}/{name}")
                continue
            resolved: dict[str, Sequence[Any]] = {}
            for axis, values in written.items():
                try:
                    resolved[axis] = resolver.resolve(values)
                except ProjectError as error:
                    findings.add(error.problems, f"{spec.name}/{name}")
            if len(resolved) < len(written):
                continue
            image = axes.as_axes_are_spelled(image, resolved)
            cells = _most_cells(image, resolved)
            sorted_axes = sorted((axis, number) for number, axis in enumerate(resolved))
            of_image = layers.of(project, spec, name)
            choice = _choice(of_image)
            declarations.append(Declaration(
                spec, name, image, resolved, written, of_image, choice, cells, sorted_axes, project.catalogue
            ))  # fmt: skip
    return declarations


def _most_cells(image: Image, values: Mapping[str, Sequence[Any]]) -> int:
    """Return an upper bound of an image's cells. It counts excluded cells, and cells that several entries match."""
    if not image.has_matrix:
        return len(image.include) or 1
    of_matrix = combinations(values.values())
    if image.only:
        named = Counter(frozenset(entry) for entry in image.only)  # the number of entries for each set of axes
        most = [many * combinations(it for axis, it in values.items() if axis not in axes)
                for axes, many in named.items()]  # fmt: skip
        of_matrix = min(of_matrix, sum(most))
    return len(image.include) + of_matrix


def _choice(of_image: Sequence[Layer]) -> Choice:
    settings = {name: layers.setting(of_image, name) for name in Choice._fields}
    return Choice(**{name: getattr(layer.fields, name) for name, layer in settings.items() if layer})
