"""The matrix: an image's axes resolved to values, and the cells that they make.

Size is known before work is done: `declare` reads data files and counts, iterating `Cells` makes
one cell after another. A matrix of 10**12 cells is declared as quickly as one of ten.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import rows
from .catalogue import DEFAULT_MODEL, Catalogue, Model
from .digest import sha256
from .errors import Findings, Problem, ProjectError, did_you_mean, listing
from .project import Project
from .request import SEED_MAX, Size
from .spec import DataFile, Image, Range, Spec
from .template import Row, slug
from .tomlfile import Keys

_COUNTED = 1_000_000  # matrices up to this size are counted exactly, exclusions and all


class Value(NamedTuple):
    """One value of an axis: how names show it, how default paths do, and what templates and requests get."""

    label: str
    path_part: str
    value: Any

    @classmethod
    def of(cls, label: str, value: Any) -> Value:
        """Return the value with a part of a path made of its label: short, readable, telling cut texts apart."""
        if not isinstance(value, str | Row):
            return cls(label, label, value)
        short = slug(label)
        if not short or len(short) >= 60:
            short = f"{short[:48].rstrip('-')}-{sha256(label.encode('utf-8', 'replace'))[:8]}".lstrip("-")
        return cls(label, short, value)


@dataclass(frozen=True, slots=True)
class Declaration:
    """An image whose axes are resolved: each axis has a lazy sequence of raw values."""

    spec: Spec
    image_name: str
    image: Image = field(repr=False)
    axes: Mapping[str, Sequence[Any]] = field(repr=False)
    cells: int  # how many, an upper bound for a matrix of over a million

    @property
    def name(self) -> str:
        """The image's name, such as `puppies/poster`."""
        return f"{self.spec.name}/{self.image_name}"

    @property
    def data_files(self) -> list[Path]:
        """The data files that its axes name."""
        files = [values.file for values in self.image.matrix.values() if isinstance(values, DataFile)]
        return [self.spec.path.parent / file for file in files]

    @property
    def keys(self) -> Keys:
        """Where the image stands in its spec."""
        return ("image", self.image_name)


def declare(project: Project, specs: Iterable[Spec], findings: Findings) -> list[Declaration]:
    """Return every image with its axes resolved; data files are read, nothing is expanded."""
    declarations = []
    read: dict[tuple[str, str | None], list[Row]] = {}
    for spec in specs:
        for name, image in spec.content.image.items():
            try:
                axes = {
                    axis: _raw_values(project, spec, name, axis, values, read) for axis, values in image.matrix.items()
                }
            except ProjectError as error:
                findings.add(error.problems)
                continue
            cells = math.prod(_length(values) for values in axes.values()) + len(image.include)
            declarations.append(Declaration(spec, name, image, axes, cells))
    return declarations


def count(declaration: Declaration, catalogue: Catalogue) -> int:
    """Return the number of cells: exact up to a million combinations, else before exclusion."""
    if not declaration.image.exclude or declaration.cells > _COUNTED:
        return declaration.cells
    try:
        return sum(1 for _ in Cells(declaration, catalogue))
    except ProjectError:
        return declaration.cells  # `expand` reports it


def _length(values: Sequence[Any]) -> int:
    # len() of a range is limited to the machine's word; a matrix of 10**30 cells must still be counted.
    if isinstance(values, range):
        return (values[-1] - values[0]) // values.step + 1
    return len(values)


def _raw_values(
    project: Project, spec: Spec, image: str, axis: str, values: Any, read: dict[tuple[str, str | None], list[Row]]
) -> Sequence[Any]:
    """Return what an axis lists: scalars and tables as written, a range lazily, a file's rows."""
    keys: Keys = ("image", image, "matrix", axis)
    place = spec.source.place
    match values:
        case []:
            raise ProjectError([Problem(f"axis {axis} has no values: the matrix is empty", place(keys))])
        case list():
            return [
                _table_row(value, number, spec, keys) if isinstance(value, dict) else value
                for number, value in enumerate(values, start=1)
            ]
        case Range(start=start, count=count_, step=step):
            return range(start, start + count_ * step, step)
        case DataFile(file=name, id=column):
            path = (spec.path.parent / name).resolve()
            if not path.is_relative_to(project.root.resolve()):
                hint = "data files are part of the project: copy it into the repository"
                raise ProjectError([Problem(f"{name} lies outside the project", place((*keys, "file")), hint=hint)])
            if not path.exists():
                raise ProjectError([Problem(f"no such file: {name}", place((*keys, "file")), _neighbours(path))])
            if (str(path), column) not in read:
                read[str(path), column] = rows.read(path, project.shown(spec.path.parent / name), column)
            return read[str(path), column]
        case _:
            return [values]


def _neighbours(path: Path) -> str:
    names = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    return did_you_mean(path.name, names) or ""


def _table_row(table: dict[str, Any], number: int, spec: Spec, keys: Keys) -> Row:
    label = table.get("id", number)
    if not isinstance(label, str | int | float):
        where = spec.source.place((*keys, number - 1, "id"))
        raise ProjectError([Problem("an id must be a text or a number", where)])
    return Row(table, str(label))


def _label(value: object) -> str:
    match value:
        case Row():
            return value.label
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


class Cells:
    """The cells of one image: the product of its axes, less `exclude`, plus `include`.

    Iterating gives, for each cell, its values in the order of the axes, and the model that they
    choose. Sizes are resolved for that model, so that a ratio name means the right size.
    """

    def __init__(self, declaration: Declaration, catalogue: Catalogue) -> None:
        self._it = declaration
        self._catalogue = catalogue
        self._source = declaration.spec.source

    def __iter__(self) -> Iterator[tuple[tuple[Value, ...], Model]]:
        image, axes = self._it.image, self._it.axes
        if not axes:
            if image.exclude or image.include:
                which = "exclude" if image.exclude else "include"
                raise self._wrong(f"{which} needs a matrix", (*self._it.keys, which))
            yield (), self._model(self._default_model(), (*self._it.keys, "model"))
            return
        named = "model" in axes
        models = list(axes["model"]) if named else [self._default_model()]
        empty = True
        seen: set[tuple[str, ...]] = set()
        for index, name in enumerate(models):
            model = self._model(name, (*self._it.keys, "matrix", "model", index) if named else self._model_keys())
            columns = [
                [Value.of(str(name), name)] if axis == "model" else self._column(axis, values, model)
                for axis, values in axes.items()
            ]
            excluded = [self._exclusion(number, model) for number in range(len(image.exclude))]
            for combination in itertools.product(*columns):
                if any(all(combination[at].label == label for at, label in rule) for rule in excluded):
                    continue
                empty = False
                if image.include:
                    seen.add(tuple(value.label for value in combination))
                yield combination, model
        for number in range(len(image.include)):
            combination, model = self._inclusion(number)
            labels = tuple(value.label for value in combination)
            if labels in seen:
                raise self._wrong("this cell is in the matrix already", (*self._it.keys, "include", number))
            seen.add(labels)
            empty = False
            yield combination, model
        if empty:
            raise self._wrong("every cell is excluded: the matrix is empty", (*self._it.keys, "exclude"))

    def _default_model(self) -> Any:
        return self._it.image.model or self._it.spec.content.model or DEFAULT_MODEL

    def _model_keys(self) -> Keys:
        return (*self._it.keys, "model") if self._it.image.model else ("model",)

    def _model(self, name: Any, keys: Keys) -> Model:
        if not isinstance(name, str):
            raise self._wrong(f"model: {name!r} is not a model's name", keys)
        try:
            return self._catalogue.model(name)
        except ValueError as error:
            raise self._wrong(f'unknown model "{name}"', keys, str(error)) from None

    def _column(self, axis: str, values: Sequence[Any], model: Model) -> list[Value]:
        column: list[Value] = []
        known: dict[str, int] = {}
        for index, value in enumerate(values):
            keys = (*self._it.keys, "matrix", axis, index)
            item = self._value(axis, value, model, keys)
            if item.label in known:
                raise self._wrong(f'axis {axis} has the value "{item.label}" twice', keys)
            known[item.label] = index
            column.append(item)
        return column

    def _value(self, axis: str, value: Any, model: Model, keys: Keys) -> Value:
        """Return the value that an axis gives to a cell; raises ProjectError where a request field can't take it."""
        if axis == "size":
            if not isinstance(value, str):
                raise self._wrong(f"size: {value!r} is not a text", keys)
            size = size_of(value, model, lambda reason: self._wrong(f'size "{value}"', keys, reason))
            return Value.of(str(size), size)
        if axis == "seed" and (type(value) is not int or not 0 <= value <= SEED_MAX):
            raise self._wrong(f"seed: {value!r}", keys, f"a whole number from 0 to {SEED_MAX}")
        if axis in ("prompt_extend", "watermark") and not isinstance(value, bool):
            raise self._wrong(f"{axis}: {value!r}", keys, "true or false")
        if axis == "negative_prompt" and not isinstance(value, str):
            raise self._wrong(f"negative_prompt: {value!r} is not a text", keys)
        return Value.of(_label(value), value)

    def _exclusion(self, number: int, model: Model) -> list[tuple[int, str]]:
        rule, keys = self._it.image.exclude[number], (*self._it.keys, "exclude", number)
        if not rule:
            raise self._wrong("this exclude names no axis: it would remove every cell", keys)
        places = []
        for axis, value in rule.items():
            self._known_axis(axis, (*keys, axis))
            label = _label(value)
            if axis == "size" and isinstance(value, str):
                parsed = model.ratios.get(value) or Size.parse(value)
                label = str(parsed) if parsed else value
            elif axis not in ("size", "model") and not self._has(axis, label):
                labels = [_label(v) for v in itertools.islice(self._it.axes[axis], 1000)]
                claim = f'axis {axis} has no value "{label}": this excludes nothing'
                raise self._wrong(claim, (*keys, axis), did_you_mean(label, labels) or f"values: {listing(labels)}")
            places.append((list(self._it.axes).index(axis), label))
        return places

    def _has(self, axis: str, label: str) -> bool:
        values = self._it.axes[axis]
        if isinstance(values, range):
            return label.lstrip("-").isdecimal() and int(label) in values
        return any(_label(value) == label for value in values)

    def _inclusion(self, number: int) -> tuple[tuple[Value, ...], Model]:
        image, axes = self._it.image, self._it.axes
        cell, keys = image.include[number], (*self._it.keys, "include", number)
        for axis in cell:
            self._known_axis(axis, (*keys, axis))
        if missing := [axis for axis in axes if axis not in cell]:
            raise self._wrong(f"this include leaves out {listing(missing)}", keys, "an include names every axis")
        model = self._model(cell.get("model", self._default_model()), (*keys, "model"))
        values = []
        for axis, raw in axes.items():
            value: Any = cell[axis]
            if isinstance(value, dict):
                value = _table_row(value, len(raw) + 1, self._it.spec, (*keys, axis))
            elif not isinstance(raw, range) and raw and isinstance(raw[0], Row):
                row = next((row for row in raw if _label(row) == _label(value)), None)
                if row is None:
                    labels = [_label(row) for row in raw]
                    hint = did_you_mean(_label(value), labels) or f"ids: {listing(labels)}"
                    raise self._wrong(f'axis {axis} has no row "{value}"', (*keys, axis), hint)
                value = row
            values.append(self._value(axis, value, model, (*keys, axis)))
        return tuple(values), model

    def _known_axis(self, axis: str, keys: Keys) -> None:
        if axis not in self._it.axes:
            hint = did_you_mean(axis, self._it.axes) or f"axes: {listing(self._it.axes)}"
            place = self._source.place(keys, key=True)
            raise ProjectError([Problem(f'no axis "{axis}" in the matrix of {self._it.name}', place, hint=hint)])

    def _wrong(self, claim: str, keys: Keys, label: str = "") -> ProjectError:
        return ProjectError([Problem(claim, self._source.place(keys), label)])


def size_of(text: str, model: Model, wrong: Callable[[str], ProjectError]) -> Size:
    try:
        return model.size(text)
    except ValueError as error:
        raise wrong(str(error)) from None
