"""The matrix: makes the cells of an image from its axes.

Iterating `Cells` makes one cell after another. So the size of a matrix is known before it is expanded.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Protocol

from qwenbuild.catalogue import DEFAULT_MODEL, Catalogue, Model
from qwenbuild.errors import MOST_PROBLEMS, ProjectError
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place, Problem, did_you_mean, listing, plain

from .axes import table_row
from .axis_values import length
from .columns import checked, column, model_of, size_label, toml, wrong
from .declaration import Declaration, Value
from .fields import is_template
from .grid import MOST_COMPARISONS, Exclusions, Grid
from .rows import Row

COUNTED = 1_000_000  # cells; up to this size, a matrix with exclusions is counted exactly

Cell = tuple[tuple[Value, ...], Model]
"""The values in the order of the axes, and the model."""


class ModelChoice(Protocol):
    """A template that chooses the model of each cell by the values of axes."""

    @property
    def model_axes(self) -> Sequence[int] | None:
        """The numbers of the axes that the template reads; None: all."""

    def model(self, values: Sequence[Value]) -> Model:
        """Return the model of a cell; raises ProjectError. A size in `values` is not resolved yet."""


def count(declaration: Declaration, catalogue: Catalogue) -> int:
    """Return the number of cells: exact for up to a million combinations, else the number before exclusion."""
    if not declaration.image.exclude or declaration.cells > COUNTED:
        return declaration.cells
    try:
        return sum(1 for _ in Cells(declaration, catalogue, _Any(catalogue)))
    except ProjectError:
        return declaration.cells  # `expand` reports the mistake


class _Any:
    """Chooses the default model for all cells: which one it is does not matter for their number."""

    model_axes: Sequence[int] | None = ()

    def __init__(self, catalogue: Catalogue) -> None:
        self._model = catalogue.models[DEFAULT_MODEL]

    def model(self, values: Sequence[Value]) -> Model:
        return self._model


class Cells:
    """The cells of one image: the product of its axes, less `exclude`, plus `include`.

    Iterating yields the cells. Sizes are resolved for the model of the cell, so that a ratio means the right size.
    Raises ProjectError, with all problems of the matrix, before the first cell.
    """

    def __init__(
        self,
        declaration: Declaration,
        catalogue: Catalogue,
        choice: ModelChoice | None = None,
        refuse: Callable[[Sequence[Value], ProjectError], None] = lambda values, error: None,
    ) -> None:
        """`choice` chooses the models if the field `model` is a template; cells without a model go to `refuse`."""
        self._declaration = declaration
        self._catalogue = catalogue
        self._choice = choice if is_template(declaration.setting("model")) and "model" not in declaration.axes else None
        self._refuse = refuse
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

    def __iter__(self) -> Iterator[Cell]:
        image = self._declaration.image
        if not self._declaration.axes:
            if image.exclude or image.include:
                which = "exclude" if image.exclude else "include"
                raise wrong(f"{which} needs a matrix", self._place(which))
            try:
                model = self._default_model() if self._choice is None else self._choice.model(())
            except ProjectError as error:
                if self._choice is None:
                    raise
                self._refuse((), error)
                return
            yield (), model
            return
        grids, included = self.resolved()
        are_all_excluded = not included
        for values, grid in self._chosen(grids) if self._choice else _products(grids):
            if grid is not None and len(grid.excluded) and grid.excluded.match(values):
                continue
            are_all_excluded = False
            if grid is not None:
                yield values, grid.model
        if are_all_excluded:
            raise wrong("every cell is excluded: the matrix is empty", self._place("exclude"))
        yield from included

    def _chosen(self, grids: Sequence[Grid]) -> Iterator[tuple[tuple[Value, ...], Grid | None]]:
        """Yield each combination with the grid of its model; cells without a model are refused, and have none."""
        assert self._choice is not None
        of_model, at = {grid.model.name: grid for grid in grids}, self._numbers.get("size")
        sizes = {it.model.name: dict(zip(map(id, self._plain[at]), it.columns[at], strict=True))
                 for it in grids} if at is not None else {}  # fmt: skip
        for values in itertools.product(*self._plain):
            try:
                grid = of_model[self._choice.model(values).name]
            except ProjectError as error:
                self._refuse(values, error)
                yield values, None
                continue
            if at is not None:
                values = (*values[:at], sizes[grid.model.name][id(values[at])], *values[at + 1 :])
            yield values, grid

    @cached_property
    def _plain(self) -> list[list[Value]]:
        """The values of each axis, as far as they can be known without a model: sizes are as written."""
        return [
            column(axis, values, self._declaration.written[axis], None, [])
            for axis, values in self._declaration.axes.items()
        ]

    def resolved(self) -> tuple[list[Grid], list[Cell]]:
        """Return (the values for each model, the included cells); raises ProjectError with all problems."""
        image, axes = self._declaration.image, self._declaration.axes
        problems: list[Problem] = []
        grids: list[Grid] = []
        for model in self._models(problems):
            columns = [
                [Value.of(model.name, model.name)]
                if axis == "model"
                else column(axis, values, self._declaration.written[axis], model, problems)
                for axis, values in axes.items()
            ]
            grids.append(Grid(model, columns, Exclusions(self._rule(rule, model) for rule in image.exclude)))
        if not problems:
            problems += self._exclusion_problems(grids)
            problems += self._too_much_work(grids)
        included: list[Cell] = []
        seen: set[tuple[str, ...]] = set()
        for number in range(len(image.include)):
            try:
                cell = self._inclusion(number, is_told=len(problems) < MOST_PROBLEMS)
                labels = tuple(value.label for value in cell[0])
                if labels in seen or any(grid.model is cell[1] and grid.holds(cell[0]) for grid in grids):
                    raise wrong("this cell is in the matrix already", self._place("include", number))
                seen.add(labels)
                included.append(cell)
            except ProjectError as error:
                problems += error.problems
        if problems:
            raise ProjectError(problems)
        return grids, included

    def _models(self, problems: list[Problem]) -> list[Model]:
        """Return the models of the matrix. Problems go into `problems`, except those of single cells."""
        found: dict[str, Model] = {}
        if self._choice is not None:
            read = self._choice.model_axes
            some = [column if read is None or at in read else column[:1] for at, column in enumerate(self._plain)]
            for values in itertools.product(*some):
                with contextlib.suppress(ProjectError):  # the cell is refused later
                    model = self._choice.model(values)
                    found[model.name] = model
            return list(found.values())
        names = self._declaration.axes.get("model")
        try:
            if names is None:
                return [self._default_model()]
        except ProjectError as error:
            problems += error.problems
        for index, name in enumerate(names or ()):
            place = partial(self._declaration.written["model"].place, index)
            try:
                if name in found:
                    raise wrong(f'axis model has the value "{name}" twice', place)
                found[name] = self._model(name, place)
            except ProjectError as error:
                problems += error.problems
        return list(found.values())

    def _default_model(self) -> Model:
        name = self._declaration.setting("model") or DEFAULT_MODEL
        return self._model(name, partial(self._declaration.place_of, "model"))

    def _place(self, *keys: str | int) -> Callable[[], Place]:
        return partial(self._declaration.place, *keys)

    def _model(self, name: Any, place: Callable[[], Place]) -> Model:
        if not isinstance(name, str):
            raise wrong(f"model: {toml(name)} is not a model's name", place)
        return model_of(name, self._catalogue, lambda reason: wrong(f'unknown model "{name}"', place, reason))

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
        claim = f'axis {axis} has no value "{plain(value)}": this excludes nothing'
        raise wrong(claim, partial(self._source.place, keys), near)

    def _too_much_work(self, grids: Sequence[Grid]) -> list[Problem]:
        """Return a problem if the entries of `exclude` name too many different sets of axes for so many cells."""
        sets = max((len(grid.excluded) for grid in grids), default=0)
        if sets * min(self._declaration.cells, COUNTED) <= MOST_COMPARISONS:
            return []
        facts = [f"{sets:,} different sets of axes, and {self._declaration.cells:,} cells"]
        hint = "entries that name the same axes cost little"
        place = self._declaration.place("exclude", 0)
        return [Problem("the exclude entries take too long", place, facts=facts, hint=hint)]

    def _inclusion(self, number: int, *, is_told: bool) -> Cell:
        """Return the cell of an `include`. Raises ProjectError; if the error `is_told`, it names the nearest ids."""
        image, axes = self._declaration.image, self._declaration.axes
        cell, keys = image.include[number], (*self._declaration.keys, "include", number)
        for axis in cell:
            self._known_axis(axis, (*keys, axis))
        if missing := [axis for axis in axes if axis not in cell]:
            claim = f"this include leaves out {listing(missing)}"
            raise wrong(claim, partial(self._source.place, keys), "an include names every axis")
        raw = {axis: self._included(axis, cell[axis], (*keys, axis), is_told=is_told) for axis in axes}
        places = {axis: partial(self._source.place, (*keys, axis)) for axis in axes}
        if "model" in cell:
            model = self._model(cell["model"], places["model"])
        elif self._choice is None:
            model = self._default_model()
        else:
            model = self._choice.model([checked(axis, value, None, places[axis]) for axis, value in raw.items()])
        return tuple([checked(axis, value, model, places[axis]) for axis, value in raw.items()]), model

    def _included(self, axis: str, value: Any, keys: Keys, *, is_told: bool) -> Any:
        """Return the value that an `include` at `keys` gives to an axis: a row, or the value as written."""
        written = self._declaration.axes[axis]
        if isinstance(value, dict):
            return table_row(value, length(written) + 1, lambda key: self._source.place((*keys, key)))
        if axis not in self._with_rows:
            return value
        known, all_are_rows = self._with_rows[axis]
        found = known.get(plain(value))
        if found is None and all_are_rows:
            ids = [plain(row) for row in written] if is_told else ()
            hint = did_you_mean(plain(value), ids) or f"ids: {listing(ids)}"
            raise wrong(f'axis {axis} has no row "{value}"', partial(self._source.place, keys), hint)
        return value if found is None else found

    def _known_axis(self, axis: str, keys: Keys) -> None:
        if axis not in self._declaration.axes:
            hint = did_you_mean(axis, self._declaration.axes) or f"axes: {listing(self._declaration.axes)}"
            place = self._source.place(keys, key=True)
            raise ProjectError(
                [Problem(f'no axis "{axis}" in the matrix of {self._declaration.name}', place, hint=hint)]
            )


def _products(grids: Sequence[Grid]) -> Iterator[tuple[tuple[Value, ...], Grid]]:
    """Yield each combination of the values of each grid."""
    for grid in grids:
        for values in itertools.product(*grid.columns):
            yield values, grid
