"""Row places: the file and line of the data rows that a cell was made from, for messages."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from functools import cached_property

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import as_spelled
from qwenbuild.problems import plain

from . import rows
from .axes import WrittenAxis
from .declaration import Declaration, Value
from .fields import DataFile
from .findings import DataRow


class RowPlaces:
    """The rows of one image's axes. Files are looked at again when the first place is asked for."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._axes = [
            (number, axis, written)
            for number, (axis, written) in enumerate(declaration.written.items())
            if isinstance(written.values, DataFile)
            or (isinstance(written.values, list) and any(isinstance(value, dict) for value in written.values))
        ]

    def of(self, values: Sequence[Value]) -> list[DataRow]:
        """Return the row of each axis of a cell that has rows."""
        labels = [(axis, written, values[number].label) for number, axis, written in self._axes]
        return [
            DataRow(_shown(written), self._lines[axis].get(label, 0), f"{axis}={label}")
            for axis, written, label in labels
        ]

    @cached_property
    def _lines(self) -> Mapping[str, Mapping[str, int]]:
        """The lines of the rows, by axis and label. A file that can't be read any more has none."""
        found: dict[str, Mapping[str, int]] = {}
        for _, axis, written in self._axes:
            match written.values:
                case DataFile(file=name, id=column):
                    try:
                        found[axis] = rows.lines(as_spelled(written.folder, name), name, column)
                    except ProjectError:
                        found[axis] = {}
                case _:
                    labels = [plain(value) for value in self._declaration.axes[axis]]
                    found[axis] = {label: written.place(index).line for index, label in enumerate(labels)}
        return found


def _shown(axis: WrittenAxis) -> str:
    """Return the path of the file with an axis's rows, relative to the project as the spec's own path is."""
    if not isinstance(axis.values, DataFile):
        return axis.source.shown
    return posixpath.normpath(posixpath.join(posixpath.dirname(axis.source.shown), axis.values.file))
