"""Axes: finds what a spec or the config writes for an axis, resolves it to the axis's values, and reads data files.

- Values are not checked here: `matrix` checks what request fields accept. A range stays lazy.
- An image without a matrix may have includes. Then these are all its cells, and its axes are those that they name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import as_spelled
from qwenbuild.files.text import nfc
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place, Problem, did_you_mean, listing, plain

from . import axis_values, rows
from .fields import DataFile, Range
from .project import Project
from .rows import KnownRows, Row, Rows
from .spec import Image, Spec


@dataclass(frozen=True, slots=True)
class WrittenAxis:
    """An axis as a spec or the config writes it, and where."""

    values: Any = field(repr=False)
    source: TomlFile = field(repr=False)
    keys: Keys
    folder: Path  # data files are relative to it
    entries: Sequence[int] = ()  # of an image without a matrix: the number of the include that has each value

    def place(self, *keys: str | int, key: bool = False) -> Place:
        """Return the place of the axis, or of what stands at `keys` in it, or with `key` of the last key."""
        if self.entries:
            at, *within = keys or (0,)
            *includes, _, axis = self.keys
            return self.source.place((*includes, self.entries[int(at)], axis, *within), key=key)
        return self.source.place((*self.keys, *keys), key=key)

    @property
    def data_file(self) -> Path | None:
        """The path of the data file that holds the rows, which may not exist; None if there is no such file."""
        return as_spelled(self.folder, self.values.file) if isinstance(self.values, DataFile) else None


def written(project: Project, spec: Spec, image_name: str) -> dict[str, WrittenAxis]:
    """Return the axes of an image: the shared ones in the order of its `axes`, then those of its matrix.

    Raises ProjectError if `axes` names an axis that is shared nowhere, or that the matrix has, too.
    """
    image, keys = spec.content.image[image_name], ("image", image_name)
    if not image.has_matrix:
        return _of_includes(spec, image_name)
    found, problems = dict[str, WrittenAxis](), list[Problem]()
    shared = {**of_config(project), **of_spec(spec)} if image.axes else {}
    for number, name in enumerate(image.axes):
        place = partial(spec.source.place, (*keys, "axes", number))
        if name not in shared:
            hint = did_you_mean(name, shared) or f"shared axes: {listing(shared) or 'none'}"
            problems.append(Problem(f'no shared axis "{name}"', place(), hint=hint, name="unknown-axis"))
        elif name in image.matrix or name in found:
            where = "in the matrix, too" if name in image.matrix else "twice"
            problems.append(
                Problem(f"axis {name} is named {where}", place(), hint="one of them is enough", name="value-twice")
            )
        else:
            found[name] = shared[name]
    if problems:
        raise ProjectError(problems)
    return found | of_image(spec, image_name)


def of_image(spec: Spec, image_name: str) -> dict[str, WrittenAxis]:
    """Return the axes of an image's matrix."""
    matrix, keys = spec.content.image[image_name].matrix, ("image", image_name, "matrix")
    return {name: WrittenAxis(values, spec.source, (*keys, name), spec.path.parent) for name, values in matrix.items()}


def _of_includes(spec: Spec, image_name: str) -> dict[str, WrittenAxis]:
    """Return the axes of an image without a matrix: what its includes name, each with the values that they give."""
    spellings: dict[str, str] = {}  # of the axes
    values: dict[str, list[Any]] = {}
    entries: dict[str, list[int]] = {}
    known: set[tuple[str, str]] = set()
    for number, cell in enumerate(spec.content.image[image_name].include):
        for name, value in cell.items():
            axis = spellings.setdefault(nfc(name), name)
            if isinstance(value, dict) or (axis, plain(value)) not in known:
                known.add((axis, plain(value)))
                values.setdefault(axis, []).append(value)
                entries.setdefault(axis, []).append(number)
    folder = spec.path.parent
    return {
        axis: WrittenAxis(given, spec.source, ("image", image_name, "include", 0, axis), folder, entries[axis])
        for axis, given in values.items()
    }


def of_spec(spec: Spec) -> dict[str, WrittenAxis]:
    """Return the axes that the images of a spec share."""
    axes, folder = spec.content.axes, spec.path.parent
    return {name: WrittenAxis(values, spec.source, ("axes", name), folder) for name, values in axes.items()}


def of_config(project: Project) -> dict[str, WrittenAxis]:
    """Return the axes that all images share."""
    source, keys = project.file.source, (*project.file.keys, "axes")
    return {
        name: WrittenAxis(values, source, (*keys, name), project.root) for name, values in project.config.axes.items()
    }


def data_files(project: Project, specs: Iterable[Spec]) -> set[Path]:
    """Return the data files that the specs and the config name; they may be missing."""
    tables = [of_config(project)]
    for spec in specs:
        tables += [of_spec(spec), *(of_image(spec, name) for name in spec.content.image)]
    return {path for table in tables for axis in table.values() if (path := axis.data_file)}


def table_row(table: dict[str, Any], number: int, place: Callable[..., Place]) -> Row:
    """Return a table as a row; its id is its `id`, else `number`. Raises ProjectError.

    `place` returns the place of a key in the table.
    """
    try:
        return axis_values.table_row(table, number)
    except TypeError as error:
        raise ProjectError([Problem(str(error), place("id"), name="wrong-row-id")]) from None


def as_axes_are_spelled(image: Image, axes: Iterable[str]) -> Image:
    """Return the image; its entries name the axes as the matrix spells them."""
    names = {nfc(axis): axis for axis in axes if not axis.isascii()}
    if not names:
        return image
    entries = {
        kind: [{names.get(nfc(axis), axis): value for axis, value in entry.items()} for entry in getattr(image, kind)]
        for kind in ("exclude", "include", "only")
    }
    return image.model_copy(update=entries)


class Resolver:
    """Resolves the axes of a project. Each data file is read once."""

    def __init__(self, project: Project, known: KnownRows | None = None) -> None:
        """`known` are the rows that earlier reads of the project found."""
        self._project, self._known = project, known
        self._read: dict[tuple[Path, str | None], Rows] = {}

    def resolve(self, axis: WrittenAxis) -> Sequence[Any]:
        """Return the values of an axis, at least one. Raises ProjectError."""
        match axis.values:
            case []:
                claim = f"axis {axis.keys[-1]} has no values: the matrix is empty"
                raise ProjectError([Problem(claim, axis.place(), name="empty-matrix")])
            case list(values):
                numbers = axis.entries or range(len(values))
                return [
                    table_row(value, number + 1, partial(axis.place, index)) if isinstance(value, dict) else value
                    for index, (number, value) in enumerate(zip(numbers, values, strict=True))
                ]
            case Range(start=start, count=count, step=step):
                return axis_values.numbers(start, count, step)
            case DataFile(file=name, id=column):
                return self._rows(axis, name, column)
            case value:
                return [value]

    def _rows(self, axis: WrittenAxis, name: str, column: str | None) -> Rows:
        """Return the rows of the data file that an axis names."""
        place = partial(axis.place, "file")  # lazy, since finding a place takes as long as reading the spec
        try:
            written = as_spelled(axis.folder, name)
        except ValueError:  # NUL
            written = axis.folder / name
        try:
            path, root = Path(os.path.realpath(written)), Path(os.path.realpath(self._project.root))
            exists = path.exists()
            # realpath() follows all links, unless they form a circle.
            reason = "its links form a circle" if path.is_symlink() else ""
        except (OSError, ValueError) as error:  # the name is too long or contains NUL
            reason = getattr(error, "strerror", None) or "no file can have this name"
        if reason:
            raise ProjectError([Problem(f"{name} can't be read: {reason}", place(), name="file-unreadable")])
        if not path.is_relative_to(root):
            hint = "data files are part of the project: copy it into the repository"
            raise ProjectError(
                [Problem(f"{name} lies outside the project", place(), hint=hint, name="outside-project")]
            )
        if not exists:
            beside = [other.name for other in path.parent.iterdir() if other.is_file()] if path.parent.is_dir() else []
            raise ProjectError(
                [Problem(f"no such file: {name}", place(), hint=did_you_mean(path.name, beside), name="no-such-file")]
            )
        if (path, column) not in self._read:
            shown = self._project.shown(Path(os.path.normpath(written)))
            try:
                self._read[path, column] = rows.read(path, shown, column, self._known)
            except ProjectError as error:
                raise ProjectError([replace(each, place=each.place or place()) for each in error.problems]) from None
        return self._read[path, column]
