"""Absence: why a name means no cell, if `exclude` or `only` leaves out all cells that it would mean."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from qwenbuild.catalogue import Model
from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.files.text import nfc
from qwenbuild.problems import plain

from . import rules
from .action import Action
from .axis_values import combinations
from .conditions import any_of, reader
from .declaration import Declaration, Value
from .expand import sketch
from .field_values import FieldValues
from .grid import Rules
from .matrix import Cell, Cells
from .output_paths import has_default_path, marked_path
from .project import Project
from .rules import Kind
from .template import Templates

_Find = Callable[[Sequence[Value]], int | None]
"""Returns the number of the entry that matches a cell."""

_MOST = 10_000  # cells of one name that are looked at
_MOST_PATHS = 100_000  # cells of an image whose paths are compared


def of_cells(name: str, images: Iterable[Declaration], cell: Mapping[str, str], project: Project) -> UsageError | None:
    """Return why these images have no cell with these labels, which may be globs; None if they never had one.

    `name` is what the user wrote.
    """
    found: list[tuple[_Image, Kind, int]] = []
    for image in _choosing(images, project):
        cells = islice(image.named(cell), _MOST - len(found))
        found += [(image, *entry) for it in cells if (entry := image.entry(*it))]
    return _error(name, found) if found else None


def of_paths(name: str, images: Iterable[Declaration], paths: Set[str], project: Project) -> UsageError | None:
    """Return why no cell has one of these output paths; None if none ever had. `name` is what the user wrote."""
    for image in _choosing(images, project):
        for values, model in image.with_paths(paths):
            if entry := image.entry(values, model):
                return _error(f"{name} ({image.declaration.cell_name(values)})", [(image, *entry)])
    return None


def _choosing(images: Iterable[Declaration], project: Project) -> Iterator[_Image]:
    """Yield the images that have entries."""
    with contextlib.suppress(ProjectError):  # a template was changed just now
        yield from (_Image(it, project) for it in images if it.image.exclude or it.image.only)


def _error(name: str, found: Sequence[tuple[_Image, Kind, int]]) -> UsageError:
    """Return the error that tells which entries leave out cells, at the place of the first of these entries.

    `found` has the image, the kind of the entry and its number for each cell.
    """
    count, them = len(found), "it" if len(found) == 1 else "them"
    reasons = []
    for (image, kind, number), many in Counter(found).items():
        entries = len(image.declaration.image.only)
        why = f"none of the {entries:,} `only` entries matches" if entries > 1 else "the `only` entry does not match"
        why = "this `exclude` entry matches" if kind == "exclude" else why
        place = image.declaration.place(kind, number)
        reasons.append((place, f"{why} {them}", f"{place.path}:{place.line}  `{kind}` leaves out {many:,}"))
    first, why, _ = reasons[0]
    claim = f"{name} is left out" if count == 1 else f"the {count:,} cells of {name} are left out"
    if len(reasons) == 1:
        return UsageError(f"{claim}: {why}", place=first, name="left-out")
    return UsageError(claim, place=first, facts=[fact for _, _, fact in reasons], name="left-out")


class _Image:
    """An image as it would be without `exclude` and `only`."""

    def __init__(self, declaration: Declaration, project: Project) -> None:
        self.declaration = declaration
        templates = Templates(project.templates, project.config.templates)
        self._fields = FieldValues(declaration, templates)
        self._sketch = sketch(templates, declaration)
        self._rules: dict[str, tuple[list[_Find], Rules | None]] = {}  # by the model's name

    def entry(self, values: Sequence[Value], model: Model) -> tuple[Kind, int] | None:
        """Return the kind and the number of the entry that leaves out a cell. None of `only` does it: its first one."""
        if model.name not in self._rules:
            only = rules.rules(self.declaration, "only", model) if self.declaration.image.only else None
            self._rules[model.name] = self._entries_of(model), only
        entries, only = self._rules[model.name]
        if excluding := [number for find in entries if (number := find(values)) is not None]:
            return "exclude", min(excluding)
        return ("only", 0) if only is not None and not only.match(values) else None

    def _entries_of(self, model: Model) -> list[_Find]:
        """Return functions that return the number of an `exclude` entry that matches: one for each set of axes."""
        by_axes: dict[tuple[int, ...], dict[tuple[str, ...], int]] = {}
        for number, entry in enumerate(self.declaration.image.exclude):
            rule = rules.rule(self.declaration, entry, model)
            by_axes.setdefault(tuple([at for at, _ in rule]), {}).setdefault(tuple([it for _, it in rule]), number)
        return [partial(_looked_up, axes, numbers) for axes, numbers in by_axes.items()]

    def named(self, cell: Mapping[str, str]) -> Iterator[Cell]:
        """Yield the cells that have the labels, in any spelling. A label may be a glob."""
        axes = dict(self.declaration.axes)
        for axis in axes.keys() - {"size"}:  # so few cells are made, however large the matrix is
            wanted = [label for name, label in cell.items() if nfc(name) == nfc(axis)]
            axes[axis] = [value for value in axes[axis] if any_of(wanted)(plain(value))] if wanted else axes[axis]
        tests = [(reader(name), any_of([label])) for name, label in cell.items()]
        for action in self._sketches(axes):
            if all(any(map(fits, of(action))) for of, fits in tests):
                yield action.values, action.model

    def with_paths(self, paths: Set[str]) -> Iterator[Cell]:
        """Yield the cells that have one of the output paths."""
        image, is_default = self.declaration, has_default_path(self.declaration)
        for action in self._sketches(image.axes) if combinations(image.axes.values()) <= _MOST_PATHS else ():
            marked = marked_path(image.name, action.values, action.name) if is_default else action.output
            if not paths.isdisjoint((action.output, marked)):
                yield action.values, action.model

    def _sketches(self, axes: Mapping[str, Sequence[Any]]) -> Iterator[Action]:
        """Yield the cells of the product of `axes`, then the included ones, as actions without keys."""
        for values, model in self._cells(axes):
            with contextlib.suppress(ProjectError):  # what is left out may be wrong in other ways, too
                yield self._sketch(values, model)

    def _cells(self, axes: Mapping[str, Sequence[Any]]) -> Iterator[Cell]:
        image = self.declaration.image.model_copy(update={"exclude": [], "include": [], "only": []})
        with contextlib.suppress(ProjectError):
            if self.declaration.image.has_matrix and all(axes.values()):
                yield from Cells(replace(self.declaration, axes=axes, image=image), self._fields)
            yield from Cells(self.declaration, self._fields).resolved()[1]


def _looked_up(axes: Sequence[int], numbers: Mapping[tuple[str, ...], int], values: Sequence[Value]) -> int | None:
    return numbers.get(tuple([values[at].label for at in axes]))
