"""Row places: the file and line of the data rows that a cell was made from, for messages."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from functools import cached_property

from qwenbuild.errors import DataRow, ProjectError
from qwenbuild.files.paths import as_spelled

from . import rows
from .matrix import Declaration, Value
from .spec import DataFile


class RowPlaces:
    """The rows of one image's axes. The data files are read again when the first place is asked for."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._files = [
            (number, axis, values)
            for number, axis in enumerate(declaration.axes)
            if isinstance(values := declaration.image.matrix.get(axis), DataFile)
        ]

    def of(self, values: Sequence[Value]) -> list[DataRow]:
        """Return the row of each axis of a cell that has rows."""
        labels = [(axis, file, values[number].label) for number, axis, file in self._files]
        return [
            DataRow(self._shown(file), self._lines[axis].get(label, 0), f"{axis}={label}")
            for axis, file, label in labels
        ]

    def _shown(self, file: DataFile) -> str:
        """Return the path of a data file relative to the project, as the spec's own path is shown."""
        folder = posixpath.dirname(self._declaration.spec.source.shown)
        return posixpath.normpath(posixpath.join(folder, file.file))

    @cached_property
    def _lines(self) -> Mapping[str, Mapping[str, int]]:
        """The lines of the rows, by axis and label. A file that can't be read any more has none."""
        found: dict[str, Mapping[str, int]] = {}
        for _, axis, file in self._files:
            path = as_spelled(self._declaration.spec.path.parent, file.file)
            try:
                found[axis] = rows.lines(path, file.file, file.id)
            except ProjectError:
                found[axis] = {}
        return found
