"""The matrix: resolves the axes of an image to values, and makes the cells.

`declare` reads data files and counts the cells; iterating `Cells` makes one cell after another. So the size of a matrix
is known before it is expanded, and declaring 10**12 cells is as fast as declaring ten.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from qwenbuild.catalogue import DEFAULT_MODEL, Catalogue, Model
from qwenbuild.digest import sha256
from qwenbuild.errors import MOST_PROBLEMS, Findings, ProjectError
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Problem, did_you_mean, listing, plain
from qwenbuild.request import SEED_MAX, Size

from .axes import Resolver, as_axes_are_spelled, table_row
from .axis_values import combinations, length
from .cell_names import cell_name, quoted
from .grid import MOST_COMPARISONS, Exclusions, Grid
from .project import Project
from .rows import Row
from .sandbox import slug
from .spec import Image, Spec

_LONGEST_LABEL = 10_000  # characters of a value, which stands in the name of each of its cells
COUNTED = 1_000_000  # cells; up to this size, a matrix with exclusions is counted exactly


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
    cells: int  # an upper bound: excluded cells are counted too; `count` is exact for up to a million
    sorted_axes: Sequence[tuple[str, int]] = field(repr=False)  # (axis, its number), sorted by name

    @property
    def name(self) -> str:
        """The image's name, such as `puppies/poster`."""
        return f"{self.spec.name}/{self.image_name}"

    def cell_name(self, values: Sequence[Value]) -> str:
        """Return the name of a cell, such as `puppies/poster[seed=1]`; `values` are in the order of the axes."""
        return cell_name(self.name, [(axis, values[number].quoted) for axis, number in self.sorted_axes])

    @property
    def keys(self) -> Keys:
        """The keys of the image in its spec."""
        return ("image", self.image_name)


def declare(project: Project, specs: Iterable[Spec], findings: Findings) -> list[Declaration]:
    """Return every image with its axes resolved. This reads data files and expands nothing."""
    declarations = []
    resolver = Resolver(project)
    for spec in specs:
        for name, image in spec.content.image.items():
            axes: dict[str, Sequence[Any]] = {}
            for axis, values in image.matrix.items():
                try:
                    axes[axis] = resolver.resolve(spec, ("image", name, "matrix", axis), values)
                except ProjectError as error:
                    findings.add(error.problems, f"{spec.name}/{name}")
            if len(axes) < len(image.matrix):
                continue
            cells = len(image.include) + combinations(axes.values())
            image = as_axes_are_spelled(image, axes)
            sorted_axes = sorted((axis, number) for number, axis in enumerate(axes))
            declarations.append(Declaration(spec, name, image, axes, cells, sorted_axes))
    return declarations


def count(declaration: Declaration, catalogue: Catalogue) -> int:
    """Return the number of cells: exact for up to a million combinations, else the number before exclusion."""
    if not declaration.image.exclude or declaration.cells > COUNTED:
        return declaration.cells
    try:
        return sum(1 for _ in Cells(declaration, catalogue))
    except ProjectError:
        return declaration.cells  # `expand` reports the mistake


def size_label(value: object, model: Model) -> str:
    """Return the label of a size in any spelling, such as `1328x1328` for `1:1`."""
    text = plain(value)
    return str(model.ratios.get(text) or Size.parse(text) or text)


def _toml(value: object) -> str:
    """Return a value about as the user wrote it."""
    return json.dumps(value, ensure_ascii=False, default=str)


class Cells:
    """The cells of one image: the product of its axes, less `exclude`, plus `include`.

    Iterating yields (values in the order of the axes, model) for each cell. Sizes are resolved for the model of the
    cell, so that a ratio means the right size. Raises ProjectError, with all problems of the matrix, before the first
    cell.
    """

    def __init__(self, declaration: Declaration, catalogue: Catalogue) -> None:
        self._declaration = declaration
        self._catalogue = catalogue
        self._source = declaration.spec.source
        self._numbers = {axis: number for number, axis in enumerate(declaration.axes)}

    @cached_property
    def _with_rows(self) -> dict[str, tuple[dict[str, Any], bool]]:
        """The values of each axis that has rows, by label (of equal labels, the first), and whether all are rows."""
        found = {}
        for axis, values in self._declaration.axes.items():
            rows = [] if isinstance(values, range) else [value for value in values if isinstance(value, Row)]
            if rows:
                found[axis] = {plain(value): value for value in reversed(values)}, len(rows) == len(values)
        return found

    def __iter__(self) -> Iterator[tuple[tuple[Value, ...], Model]]:
        image, keys = self._declaration.image, self._declaration.keys
        if not self._declaration.axes:
            if image.exclude or image.include:
                which = "exclude" if image.exclude else "include"
                raise self._wrong(f"{which} needs a matrix", (*keys, which))
            yield (), self._model(self._default_model(), self._model_keys())
            return
        grids, included = self.resolved()
        empty = not included
        for grid in grids:
            excludes = len(grid.excluded) > 0
            for combination in itertools.product(*grid.columns):
                if excludes and grid.excluded.match(combination):
                    continue
                empty = False
                yield combination, grid.model
        if empty:
            raise self._wrong("every cell is excluded: the matrix is empty", (*keys, "exclude"))
        yield from included

    def resolved(self) -> tuple[list[Grid], list[tuple[tuple[Value, ...], Model]]]:
        """Return (the values for each model, the included cells); raises ProjectError with all problems."""
        image, axes, keys = self._declaration.image, self._declaration.axes, self._declaration.keys
        problems: list[Problem] = []
        grids: list[Grid] = []
        names = list(axes["model"]) if "model" in axes else [self._default_model()]
        for index, name in enumerate(names):
            at = (*keys, "matrix", "model", index) if "model" in axes else self._model_keys()
            try:
                if name in names[:index]:
                    raise self._wrong(f'axis model has the value "{name}" twice', at)
                model = self._model(name, at)
            except ProjectError as error:
                problems += error.problems
                continue
            columns = [
                [Value.of(name, name)] if axis == "model" else self._column(axis, values, model, problems)
                for axis, values in axes.items()
            ]
            grids.append(Grid(model, columns, Exclusions(self._rule(rule, model) for rule in image.exclude)))
        if not problems:
            problems += self._exclusion_problems(grids)
            problems += self._too_much_work(grids)
        included: list[tuple[tuple[Value, ...], Model]] = []
        seen: set[tuple[str, ...]] = set()
        for number in range(len(image.include)):
            try:
                cell = self._inclusion(number, is_told=len(problems) < MOST_PROBLEMS)
                labels = tuple(value.label for value in cell[0])
                if labels in seen or any(grid.model is cell[1] and grid.holds(cell[0]) for grid in grids):
                    raise self._wrong("this cell is in the matrix already", (*keys, "include", number))
                seen.add(labels)
                included.append(cell)
            except ProjectError as error:
                problems += error.problems
        if problems:
            raise ProjectError(problems)
        return grids, included

    def _default_model(self) -> Any:
        return self._declaration.image.model or self._declaration.spec.content.model or DEFAULT_MODEL

    def _model_keys(self) -> Keys:
        return (*self._declaration.keys, "model") if self._declaration.image.model else ("model",)

    def _model(self, name: Any, keys: Keys) -> Model:
        if not isinstance(name, str):
            raise self._wrong(f"model: {_toml(name)} is not a model's name", keys)
        try:
            return self._catalogue.model(name)
        except ValueError as error:
            raise self._wrong(f'unknown model "{name}"', keys, str(error)) from None

    def _column(self, axis: str, values: Sequence[Any], model: Model, problems: list[Problem]) -> list[Value]:
        """Return the values of an axis. Their problems go into `problems`."""
        column: list[Value] = []
        known: set[str] = set()
        for index, value in enumerate(values):
            keys = (*self._declaration.keys, "matrix", axis, index)
            try:
                item = self._value(axis, value, model, keys)
                if item.label in known:
                    raise self._wrong(f'axis {axis} has the value "{item.label}" twice', keys)
            except ProjectError as error:
                problems += error.problems
                if isinstance(values, range):  # all other numbers would be reported at the same place
                    break
                continue
            known.add(item.label)
            column.append(item)
        return column

    def _value(self, axis: str, value: Any, model: Model, keys: Keys) -> Value:
        """Return a value of an axis; raises ProjectError if the request field of that name can't take it."""
        if len(label := plain(value)) > _LONGEST_LABEL:
            hint = "put long texts into [vars], or into a column of a row"
            raise self._wrong(f"axis {axis}: a value of {len(label):,} characters", keys, hint)
        if axis == "size":
            if not isinstance(value, str):
                raise self._wrong(f"size: {_toml(value)} is not a text", keys)
            size = size_of(value, model, lambda reason: self._wrong(f'size "{value}"', keys, reason))
            return Value.of(str(size), size)
        if axis == "seed" and (type(value) is not int or not 0 <= value <= SEED_MAX):
            raise self._wrong(f"seed: {_toml(value)}", keys, f"a whole number from 0 to {SEED_MAX}")
        if axis in ("prompt_extend", "watermark") and not isinstance(value, bool):
            raise self._wrong(f"{axis}: {_toml(value)}", keys, "true or false")
        if axis == "negative_prompt" and not isinstance(value, str):
            raise self._wrong(f"negative_prompt: {_toml(value)} is not a text", keys)
        return Value.of(label, value)

    def _rule(self, rule: Mapping[str, Any], model: Model) -> list[tuple[int, str]]:
        """Return (number of the axis, label) for each axis that an exclusion names; unknown names are left out."""
        return [
            (at, size_label(rule[axis], model) if axis == "size" else plain(rule[axis]))
            for at, axis in enumerate(self._declaration.axes)
            if axis in rule
        ]

    def _exclusion_problems(self, grids: Sequence[Grid]) -> list[Problem]:
        """Return the problems of the exclusions: unknown axes, and values that no cell has."""
        problems: list[Problem] = []
        for number, rule in enumerate(self._declaration.image.exclude):
            keys = (*self._declaration.keys, "exclude", number)
            if not rule:
                claim = "this exclude names no axis: it would remove every cell"
                problems.append(Problem(claim, self._source.place(keys)))
            for axis, value in rule.items():
                try:
                    self._known_axis(axis, (*keys, axis))
                    is_told = len(problems) < MOST_PROBLEMS
                    self._known_value(axis, value, grids, (*keys, axis), is_told=is_told)
                except ProjectError as error:
                    problems += error.problems
        return problems

    def _known_value(self, axis: str, value: Any, grids: Sequence[Grid], keys: Keys, *, is_told: bool) -> None:
        """Raise ProjectError if no cell has the value. If the error `is_told`, it names the nearest values."""
        at = self._numbers[axis]
        if any((size_label(value, it.model) if axis == "size" else plain(value)) in it.labels[at] for it in grids):
            return
        labels = dict.fromkeys(label for grid in grids for label in grid.labels[at]) if is_told else {}
        near = did_you_mean(plain(value), labels) or f"values: {listing(labels)}"
        raise self._wrong(f'axis {axis} has no value "{plain(value)}": this excludes nothing', keys, near)

    def _too_much_work(self, grids: Sequence[Grid]) -> list[Problem]:
        """Return a problem if the entries of `exclude` name too many different sets of axes for so many cells."""
        sets = max((len(grid.excluded) for grid in grids), default=0)
        if sets * min(self._declaration.cells, COUNTED) <= MOST_COMPARISONS:
            return []
        facts = [f"{sets:,} different sets of axes, and {self._declaration.cells:,} cells"]
        hint = "entries that name the same axes cost little"
        place = self._source.place((*self._declaration.keys, "exclude", 0))
        return [Problem("the exclude entries take too long", place, facts=facts, hint=hint)]

    def _inclusion(self, number: int, *, is_told: bool) -> tuple[tuple[Value, ...], Model]:
        """Return the cell of an `include`. Raises ProjectError; if the error `is_told`, it names the nearest ids."""
        image, axes = self._declaration.image, self._declaration.axes
        cell, keys = image.include[number], (*self._declaration.keys, "include", number)
        for axis in cell:
            self._known_axis(axis, (*keys, axis))
        if missing := [axis for axis in axes if axis not in cell]:
            raise self._wrong(f"this include leaves out {listing(missing)}", keys, "an include names every axis")
        model = self._model(cell.get("model", self._default_model()), (*keys, "model"))
        values = []
        for axis, raw in axes.items():
            value: Any = cell[axis]
            if isinstance(value, dict):
                value = table_row(value, length(raw) + 1, self._declaration.spec, (*keys, axis))
            elif axis in self._with_rows:
                known, all_are_rows = self._with_rows[axis]
                found = known.get(plain(value))
                if found is None and all_are_rows:
                    ids = [plain(row) for row in raw] if is_told else ()
                    hint = did_you_mean(plain(value), ids) or f"ids: {listing(ids)}"
                    raise self._wrong(f'axis {axis} has no row "{value}"', (*keys, axis), hint)
                value = value if found is None else found
            values.append(self._value(axis, value, model, (*keys, axis)))
        return tuple(values), model

    def _known_axis(self, axis: str, keys: Keys) -> None:
        if axis not in self._declaration.axes:
            hint = did_you_mean(axis, self._declaration.axes) or f"axes: {listing(self._declaration.axes)}"
            place = self._source.place(keys, key=True)
            raise ProjectError(
                [Problem(f'no axis "{axis}" in the matrix of {self._declaration.name}', place, hint=hint)]
            )

    def _wrong(self, claim: str, keys: Keys, label: str = "") -> ProjectError:
        return ProjectError([Problem(claim, self._source.place(keys), label)])


def size_of(text: str, model: Model, wrong: Callable[[str], ProjectError]) -> Size:
    try:
        return model.size(text)
    except ValueError as error:
        raise wrong(str(error)) from None
