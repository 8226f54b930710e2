"""The matrix: makes the cells of an image from its axes.

Iterating `Cells` makes one cell after another. So the size of a matrix is known before it is expanded. An image without
a matrix has the cells that its includes give. Without includes it is one cell.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Protocol

from qwenbuild.catalogue import DEFAULT_MODEL, Catalogue, Model
from qwenbuild.errors import MOST_PROBLEMS, ProjectError
from qwenbuild.problems import Place, Problem, did_you_mean, listing, plain

from . import rules
from .axes import table_row
from .columns import checked, column, model_of, toml, wrong
from .declaration import Declaration, Value
from .fields import is_template
from .grid import COUNTED, Grid, Rules
from .rows import Row

Cell = tuple[tuple[Value, ...], Model]
"""The values in the order of the axes, and the model."""


class ModelChoice(Protocol):
    """A template that chooses the model of each cell by the values of axes."""

    @property
    def model_axes(self) -> Sequence[int] | None:
        """The numbers of the axes that the template reads; None: all."""

    def model(self, values: Sequence[Value]) -> Model:
        """Return the model of a cell; raises ProjectError. A size in `values` is not resolved yet."""


def count(declaration: Declaration) -> int:
    """Return the number of cells: exact for up to a million, else an upper bound."""
    if not (declaration.image.exclude or declaration.image.only) or declaration.cells > COUNTED:
        return declaration.cells
    try:
        return sum(1 for _ in Cells(declaration, _Any(declaration.catalogue)))
    except ProjectError:
        return declaration.cells  # `expand` reports the mistake


class _Any:
    """Chooses the default model for all cells: which one it is does not matter for their number."""

    model_axes: Sequence[int] | None = ()

    def __init__(self, catalogue: Catalogue) -> None:
        self._model = catalogue.model(DEFAULT_MODEL)

    def model(self, values: Sequence[Value]) -> Model:
        return self._model


class Cells:
    """The cells of one image: the product of its axes, less `exclude`, plus `include`, of which `only` may leave some.

    Iterating yields the cells. Sizes are resolved for the model of the cell, so that a ratio means the right size.
    Raises ProjectError, with all problems of the matrix, before the first cell.
    """

    def __init__(
        self,
        declaration: Declaration,
        choice: ModelChoice | None = None,
        refuse: Callable[[Sequence[Value], ProjectError], None] = lambda values, error: None,
    ) -> None:
        """`choice` chooses the models if the field `model` is a template; cells without a model go to `refuse`."""
        self._declaration = declaration
        self._choice = choice if is_template(declaration.setting("model")) and "model" not in declaration.axes else None
        self._refuse = refuse
        self._source = declaration.spec.source
        self._only_of: dict[str, Rules] = {}  # by the model's name

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
            yield from self._single()
            return
        grids, included = self.resolved()
        included = [cell for cell in included if not image.only or self._only(cell[1]).match(cell[0])]
        is_empty = not included
        for values, grid in self._chosen(grids) if self._choice and image.has_matrix else _products(grids):
            is_empty = False
            if grid is not None:
                yield values, grid.model
        if is_empty and image.only:
            which = "that `exclude` leaves " if image.exclude else ""
            raise wrong(
                "`only` leaves out every cell",
                self._place("only"),
                f"no cell {which}matches an entry",
                name="empty-matrix",
            )
        if is_empty:
            raise wrong("every cell is excluded: the matrix is empty", self._place("exclude"), name="empty-matrix")
        yield from included

    def _single(self) -> Iterator[Cell]:
        """Yield the cell of an image without axes."""
        for name in ("exclude", "include", "only"):
            if getattr(self._declaration.image, name):
                claim = "this include names no axis" if name == "include" else f"{name} needs a matrix"
                raise wrong(claim, self._place(name), name="wrong-entry")
        try:
            yield (), self._default_model() if self._choice is None else self._choice.model(())
        except ProjectError as error:
            if self._choice is None:
                raise
            self._refuse((), error)

    def _chosen(self, grids: Sequence[Grid]) -> Iterator[tuple[tuple[Value, ...], Grid | None]]:
        """Yield each combination with the grid of its model; cells without a model are refused, and have none."""
        assert self._choice is not None
        of_model, axes = {grid.model.name: grid for grid in grids}, [*self._declaration.axes]
        at = axes.index("size") if "size" in axes else None
        sizes = {it.model.name: dict(zip(map(id, self._plain[at]), it.columns[at], strict=True))
                 for it in grids} if at is not None else {}  # fmt: skip
        plain = self._plain
        numbers = {number for grid in grids for number in grid.numbers} if self._declaration.image.only else ()
        some = (tuple([plain[at][number] for at, number in enumerate(cell)]) for cell in sorted(numbers))
        for values in some if self._declaration.image.only else itertools.product(*plain):
            try:
                grid = of_model[self._choice.model(values).name]
            except ProjectError as error:
                self._refuse(values, error)
                yield values, None
                continue
            if at is not None:
                values = (*values[:at], sizes[grid.model.name][id(values[at])], *values[at + 1 :])
            if grid.stays(values):
                yield values, grid

    @cached_property
    def _plain(self) -> list[list[Value]]:
        """The values of each axis, as far as they can be known without a model: sizes are as written."""
        return [
            column(axis, values, self._declaration.written[axis], None, [])
            for axis, values in self._declaration.axes.items()
        ]

    def resolved(self) -> tuple[list[Grid], list[Cell]]:
        """Return (the values for each model, the included cells); raises ProjectError with all problems.

        `only` may leave out some of the included cells.
        """
        image, axes = self._declaration.image, self._declaration.axes
        rules.check_axes(self._declaration)
        problems: list[Problem] = []
        grids: list[Grid] = []
        for model in self._models(problems) if image.has_matrix else ():
            columns = [
                [Value.of(model.name, model.name)]
                if axis == "model"
                else column(axis, values, self._declaration.written[axis], model, problems)
                for axis, values in axes.items()
            ]
            excluded = rules.rules(self._declaration, "exclude", model)
            grids.append(Grid(model, columns, excluded, self._only(model) if image.only else None))
        if image.exclude and not image.has_matrix:
            problems.append(Problem("exclude needs a matrix", self._place("exclude")(), name="wrong-entry"))
        is_grid_valid = not problems
        included = self._inclusions(grids, problems)
        if is_grid_valid:
            problems = [*rules.problems(self._declaration, grids, included), *problems]
        if problems:
            raise ProjectError(problems)
        return grids, included

    def _inclusions(self, grids: Sequence[Grid], problems: list[Problem]) -> list[Cell]:
        """Return the included cells. Problems go into `problems`."""
        cells: dict[tuple[str, ...], Cell] = {}
        first: dict[tuple[str, ...], int] = {}  # the numbers of the includes, by the labels of their cells
        repeated: list[tuple[int, int | None, Cell]] = []  # an include, and the one before it that has its cell
        for number in range(len(self._declaration.image.include)):
            try:
                cell = self._inclusion(number, is_told=len(problems) < MOST_PROBLEMS)
            except ProjectError as error:
                problems += error.problems
                continue
            labels = tuple([value.label for value in cell[0]])
            if labels in first:
                repeated.append((number, first[labels], cell))
            elif any(grid.model is cell[1] and grid.holds(cell[0]) for grid in grids):
                repeated.append((number, None, cell))
            else:
                first[labels], cells[labels] = number, cell
        if repeated:
            problems.append(self._repetition(repeated))
        return [*cells.values()]

    def _repetition(self, repeated: Sequence[tuple[int, int | None, Cell]]) -> Problem:
        """Return one problem of all includes that repeat a cell."""
        places = [self._declaration.place("include", number) for number, _, _ in repeated]
        facts = []
        for place, (_, earlier, (values, _)) in zip(places[:MOST_PROBLEMS], repeated, strict=False):
            which = "the matrix" if earlier is None else f"line {self._declaration.place('include', earlier).line}"
            facts.append(f"{place.path}:{place.line}  {which} has {self._declaration.cell_name(values)}")
        if more := [str(place.line) for place in places[MOST_PROBLEMS:]]:
            facts.append(f"and {len(more):,} more, on lines {', '.join(more)}")
        claim = f"{len(repeated):,} includes repeat cells" if len(repeated) > 1 else "this include repeats a cell"
        return Problem(
            claim, places[0], facts=facts, hint="a cell is built once: remove what repeats it", name="wrong-entry"
        )

    def _only(self, model: Model) -> Rules:
        """Return the entries of `only` as labels of a model."""
        if model.name not in self._only_of:
            self._only_of[model.name] = rules.rules(self._declaration, "only", model)
        return self._only_of[model.name]

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
                    raise wrong(f'axis model has the value "{name}" twice', place, name="value-twice")
                found[name] = self._model(name, place)
            except ProjectError as error:
                problems += error.problems
        return list(found.values())

    def _default_model(self) -> Model:
        name = self._declaration.setting("model") or self._declaration.catalogue.default_model
        if not name:
            raise wrong(
                "the image names no model",
                self._place(),
                "a server of your own has no default model",
                name="unknown-model",
            )
        return self._model(name, partial(self._declaration.place_of, "model"))

    def _place(self, *keys: str | int) -> Callable[[], Place]:
        return partial(self._declaration.place, *keys)

    def _model(self, name: Any, place: Callable[[], Place]) -> Model:
        if not isinstance(name, str):
            raise wrong(f"model: {toml(name)} is not a model's name", place, name="wrong-type")
        catalogue = self._declaration.catalogue
        return model_of(
            name, catalogue, lambda reason: wrong(f'unknown model "{name}"', place, reason, name="unknown-model")
        )

    def _inclusion(self, number: int, *, is_told: bool) -> Cell:
        """Return the cell of an `include`. Raises ProjectError; if the error `is_told`, it names the nearest ids."""
        image, axes = self._declaration.image, self._declaration.axes
        cell, keys = image.include[number], (*self._declaration.keys, "include", number)
        for axis in cell:
            rules.check_axis(self._declaration, axis, (*keys, axis))
        if missing := [axis for axis in axes if axis not in cell]:
            claim = f"this include leaves out {listing(missing)}"
            raise wrong(claim, partial(self._source.place, keys), "an include names every axis", name="wrong-entry")
        raw = {axis: self._included(number, axis, cell[axis], is_told=is_told) for axis in axes}
        places = {axis: partial(self._source.place, (*keys, axis)) for axis in axes}
        if "model" in cell:
            model = self._model(cell["model"], places["model"])
        elif self._choice is None:
            model = self._default_model()
        else:
            model = self._choice.model([checked(axis, value, None, places[axis]) for axis, value in raw.items()])
        return tuple([checked(axis, value, model, places[axis]) for axis, value in raw.items()]), model

    def _included(self, number: int, axis: str, value: Any, *, is_told: bool) -> Any:
        """Return the value that an `include` gives to an axis: a row, or the value as written."""
        written, place = self._declaration.axes[axis], self._place("include", number, axis)
        if isinstance(value, dict):
            return table_row(value, self._declaration.row_number(axis, number), lambda key: place())
        if axis not in self._with_rows:
            return value
        known, all_are_rows = self._with_rows[axis]
        found = known.get(plain(value))
        if found is None and all_are_rows:
            ids = [plain(row) for row in written] if is_told else ()
            hint = did_you_mean(plain(value), ids) or f"ids: {listing(ids)}"
            raise wrong(f'axis {axis} has no row "{value}"', place, hint, name="unknown-value")
        return value if found is None else found


def _products(grids: Sequence[Grid]) -> Iterator[tuple[tuple[Value, ...], Grid]]:
    """Yield each cell of each grid that stays."""
    for grid in grids:
        for values in grid:
            yield values, grid
