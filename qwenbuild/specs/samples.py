"""Samples: the cells of a matrix that show its mistakes, if the matrix is too large to be expanded.

Each value of each axis is in at least one cell. So a bad row of a data file is found, however many cells it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from qwenbuild.errors import ProjectError
from qwenbuild.routes import Routes

from . import expand
from .action import Action
from .declaration import Declaration
from .field_values import FieldValues
from .findings import Findings
from .matrix import Cells
from .output_paths import no_records, settled
from .template import Templates

_MOST_CELLS = 10_000  # of small matrices, which are expanded as a whole
_MOST_NUMBERS = 100  # of a range: its numbers seldom differ in what is wrong with them
_MOST_WORK = 300_000  # cells of the samples of an image, times its axes
_MOST_VALUES = 100_000  # of all axes of a matrix whose exclusions are checked


def check(
    templates: Templates,
    declarations: Collection[Declaration],
    routes: Routes,
    findings: Findings,
) -> None:
    """Add the mistakes of the images to `findings`; large matrices are not expanded, but sampled."""
    left, small = _MOST_CELLS, list[Action]()
    for declaration in declarations:
        if declaration.cells <= left:
            left -= declaration.cells
            small += expand.cells(templates, declaration, routes, findings)
            continue
        if sum(map(len, declaration.axes.values())) <= _MOST_VALUES:
            try:
                Cells(declaration, FieldValues(declaration, templates)).resolved()
            except ProjectError as error:
                findings.add(error.problems, declaration.name)
        for sample in _samples(declaration):
            for _ in expand.cells(templates, sample, routes, findings):
                pass
    settled(small, expand.before_only(templates), no_records, findings)


def _samples(declaration: Declaration) -> Iterator[Declaration]:
    """Yield small declarations: of each axis all values, with the first value of all other axes."""
    if not declaration.image.has_matrix:
        listed = declaration.image.include[:_MOST_CELLS]
        image = declaration.image.model_copy(update={"include": listed, "only": []})
        yield replace(declaration, image=image, cells=len(listed))
        return
    image = declaration.image.model_copy(update={"exclude": [], "include": [], "only": []})
    first = {axis: values[:1] for axis, values in declaration.axes.items()}
    left = _MOST_WORK // len(first)  # the work for a cell grows with its axes, and so does the number of samples
    for axis, values in declaration.axes.items():
        some = values[: max(1, min(left, _MOST_NUMBERS if isinstance(values, range) else _MOST_CELLS))]
        left -= len(some)
        yield replace(declaration, image=image, axes={**first, axis: some}, cells=len(some))
        if left <= 0:
            return
