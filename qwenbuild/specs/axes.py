"""Axes: resolves what a spec writes for an axis into the axis's values, and reads data files.

Values are not checked here: `matrix` checks what request fields accept. A range stays lazy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import as_spelled
from qwenbuild.files.text import nfc
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Problem, did_you_mean

from . import axis_values, rows
from .project import Project
from .rows import Row
from .spec import DataFile, Image, Range, Spec


def table_row(table: dict[str, Any], number: int, spec: Spec, keys: Keys) -> Row:
    """Return the table at `keys` of a spec as a row; its id is its `id`, else `number`. Raises ProjectError."""
    try:
        return axis_values.table_row(table, number)
    except TypeError as error:
        raise ProjectError([Problem(str(error), spec.source.place((*keys, "id")))]) from None


def as_axes_are_spelled(image: Image, axes: Iterable[str]) -> Image:
    """Return the image; its exclusions and inclusions name the axes as the matrix spells them."""
    names = {nfc(axis): axis for axis in axes if not axis.isascii()}
    if not names:
        return image
    rules = {kind: [{names.get(nfc(axis), axis): value for axis, value in rule.items()} for rule in given]
             for kind, given in (("exclude", image.exclude), ("include", image.include))}  # fmt: skip
    return image.model_copy(update=rules)


class Resolver:
    """Resolves the axes of a project's specs. Each data file is read once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._read: dict[tuple[Path, str | None], list[Row]] = {}

    def resolve(self, spec: Spec, keys: Keys, written: Any) -> Sequence[Any]:
        """Return the values of the axis at `keys` of a spec, at least one. Raises ProjectError."""
        match written:
            case []:
                place = spec.source.place(keys)
                raise ProjectError([Problem(f"axis {keys[-1]} has no values: the matrix is empty", place)])
            case list():
                return [
                    table_row(value, index + 1, spec, (*keys, index)) if isinstance(value, dict) else value
                    for index, value in enumerate(written)
                ]
            case Range(start=start, count=count, step=step):
                return axis_values.numbers(start, count, step)
            case DataFile(file=name, id=column):
                return self._rows(spec, name, column, (*keys, "file"))
            case _:
                return [written]

    def _rows(self, spec: Spec, name: str, column: str | None, keys: Keys) -> list[Row]:
        """Return the rows of the data file that a spec names at `keys`."""
        place = partial(spec.source.place, keys)  # lazy, since finding a place takes as long as reading the spec
        try:
            written = as_spelled(spec.path.parent, name)
        except ValueError:  # NUL
            written = spec.path.parent / name
        try:
            path, root = Path(os.path.realpath(written)), Path(os.path.realpath(self._project.root))
            exists = path.exists()
            # realpath() follows all links, unless they form a circle.
            reason = "its links form a circle" if path.is_symlink() else ""
        except (OSError, ValueError) as error:  # the name is too long or contains NUL
            reason = getattr(error, "strerror", None) or "no file can have this name"
        if reason:
            raise ProjectError([Problem(f"{name} can't be read: {reason}", place())])
        if not path.is_relative_to(root):
            hint = "data files are part of the project: copy it into the repository"
            raise ProjectError([Problem(f"{name} lies outside the project", place(), hint=hint)])
        if not exists:
            beside = [other.name for other in path.parent.iterdir() if other.is_file()] if path.parent.is_dir() else []
            raise ProjectError([Problem(f"no such file: {name}", place(), hint=did_you_mean(path.name, beside))])
        if (path, column) not in self._read:
            shown = self._project.shown(Path(os.path.normpath(written)))
            try:
                self._read[path, column] = rows.read(path, shown, column)
            except ProjectError as error:
                raise ProjectError([replace(each, place=each.place or place()) for each in error.problems]) from None
        return self._read[path, column]
