"""Rules: the entries of `exclude` and `only`, as labels of a model, and what is wrong with them.

An entry names some axes, each with a value. It matches the cells that have all of these values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from qwenbuild.catalogue import Model
from qwenbuild.errors import MOST_PROBLEMS, ProjectError
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Problem, did_you_mean, listing, plain

from .axis_values import length
from .columns import size_label, wrong
from .declaration import Declaration, Value
from .grid import COUNTED, MOST_COMPARISONS, Grid, Rules

Kind = Literal["exclude", "only"]
_KINDS: Sequence[Kind] = ("exclude", "only")
_WITHOUT_AXES = {"exclude": "this exclude names no axis: it would remove every cell",
                 "only": "this `only` entry names no axis: it would leave every cell"}  # fmt: skip
_WITHOUT_CELLS = {"exclude": "this excludes nothing", "only": "no cell matches this entry"}


def entries(declaration: Declaration, kind: Kind) -> Sequence[Mapping[str, Any]]:
    """Return the entries of an image as written."""
    return declaration.image.exclude if kind == "exclude" else declaration.image.only


def rule(declaration: Declaration, entry: Mapping[str, Any], model: Model) -> list[tuple[int, str]]:
    """Return (number of the axis, label) for each axis that an entry names; unknown names are left out."""
    return [(at, _label(axis, entry[axis], model)) for at, axis in enumerate(declaration.axes) if axis in entry]


def _label(axis: str, value: object, model: Model) -> str:
    return size_label(value, model) if axis == "size" else plain(value)


def rules(declaration: Declaration, kind: Kind, model: Model) -> Rules:
    """Return the entries of an image as labels of a model."""
    return Rules(rule(declaration, entry, model) for entry in entries(declaration, kind))


def check_axes(declaration: Declaration) -> None:
    """Raise ProjectError if `only` would have to choose from axes that are too long to be read."""
    for axis, values in declaration.axes.items() if declaration.image.only else ():
        if (many := length(values)) > COUNTED:
            claim = f"axis {axis} has {many:,} values; `only` chooses from at most {COUNTED:,}"
            raise wrong(claim, declaration.written[axis].place, name="too-many-values")


def problems(
    declaration: Declaration, grids: Sequence[Grid], included: Sequence[tuple[Sequence[Value], Model]]
) -> list[Problem]:
    """Return the problems of all entries: unknown axes, values that no cell has, and too many sets of axes.

    `included` are the included cells, each with its model.
    """
    of_grids: list[_Labels] = [(grid.model, grid.labels) for grid in grids]
    added = _labels(included) if declaration.image.only else []
    found: list[Problem] = []
    for kind in _KINDS:
        labels = of_grids if kind == "exclude" else [*of_grids, *added]
        for number, entry in enumerate(entries(declaration, kind)):
            keys = (*declaration.keys, kind, number)
            if not entry:
                found.append(Problem(_WITHOUT_AXES[kind], declaration.spec.source.place(keys), name="wrong-entry"))
            for axis, value in entry.items():
                try:
                    check_axis(declaration, axis, (*keys, axis))
                    is_told = len(found) < MOST_PROBLEMS
                    _check_value(declaration, axis, value, labels, (*keys, axis), is_told=is_told)
                except ProjectError as error:
                    found += error.problems
    return found + list(_too_much_work(declaration, grids))


_Labels = tuple[Model, Sequence[Collection[str]]]
"""A model, and the labels that its cells have, for each axis."""


def _labels(cells: Iterable[tuple[Sequence[Value], Model]]) -> list[_Labels]:
    """Return the labels of single cells."""
    found: dict[str, tuple[Model, list[dict[str, None]]]] = {}
    for values, model in cells:
        _, labels = found.setdefault(model.name, (model, [{} for _ in values]))
        for value, known in zip(values, labels, strict=True):
            known[value.label] = None
    return [*found.values()]


def _check_value(
    declaration: Declaration, axis: str, value: Any, labels: Sequence[_Labels], keys: Keys, *, is_told: bool
) -> None:
    """Raise ProjectError if no cell has the value of an entry. If the error `is_told`, it names the nearest values."""
    at = [*declaration.axes].index(axis)
    if any(_label(axis, value, model) in known[at] for model, known in labels):
        return
    every = dict.fromkeys(label for _, known in labels for label in known[at]) if is_told else {}
    near = did_you_mean(plain(value), every) or f"values: {listing(every)}"
    claim = f'axis {axis} has no value "{plain(value)}": {_WITHOUT_CELLS[str(keys[-3])]}'
    raise wrong(claim, partial(declaration.spec.source.place, keys), near, name="unknown-value")


def check_axis(declaration: Declaration, axis: str, keys: Keys) -> None:
    """Raise ProjectError if an entry at `keys` names an axis that the image does not have."""
    if axis not in declaration.axes:
        hint = did_you_mean(axis, declaration.axes) or f"axes: {listing(declaration.axes)}"
        place = declaration.spec.source.place(keys, key=True)
        raise ProjectError(
            [Problem(f'no axis "{axis}" in the matrix of {declaration.name}', place, hint=hint, name="unknown-axis")]
        )


def _too_much_work(declaration: Declaration, grids: Sequence[Grid]) -> Iterator[Problem]:
    """Yield a problem if the entries name too many different sets of axes for so many cells."""
    for kind in _KINDS:
        sets = max((len(rules(declaration, kind, grid.model)) for grid in grids), default=0)
        if sets * min(declaration.cells, COUNTED) > MOST_COMPARISONS:
            facts = [f"{sets:,} different sets of axes, and {declaration.cells:,} cells"]
            hint = "entries that name the same axes cost little"
            yield Problem(
                f"the {kind} entries take too long",
                declaration.place(kind, 0),
                facts=facts,
                hint=hint,
                name="too-many-values",
            )
