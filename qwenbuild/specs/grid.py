"""The grid: the values of a matrix for one model, and the cells that its `exclude` entries leave out.

A cell is looked up: it is compared once for each set of axes that some entry names, not once for each entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from qwenbuild.catalogue import Model

if TYPE_CHECKING:
    from .declaration import Value

MOST_COMPARISONS = 20_000_000
"""The most cells times sets of axes: this many comparisons take about ten seconds."""


class Exclusions:
    """The rules of one image. A rule has (number of an axis, label) for each axis that its entry names."""

    def __init__(self, rules: Iterable[Sequence[tuple[int, str]]]) -> None:
        self._labels: dict[tuple[int, ...], set[tuple[str, ...]]] = {}  # by the numbers of the axes
        for rule in rules:
            self._labels.setdefault(tuple([at for at, _ in rule]), set()).add(tuple([label for _, label in rule]))

    def __len__(self) -> int:
        """Return the number of comparisons that a cell needs."""
        return len(self._labels)

    def match(self, values: Sequence[Value]) -> bool:
        """Return whether a rule leaves out the cell with these values, one for each axis."""
        return any(tuple([values[at].label for at in axes]) in labels for axes, labels in self._labels.items())


class Grid:
    """The values of all axes for one model, and what is excluded."""

    def __init__(self, model: Model, columns: list[list[Value]], excluded: Exclusions) -> None:
        """`columns` has the values of each axis."""
        self.model, self.columns, self.excluded = model, columns, excluded

    @cached_property
    def labels(self) -> list[dict[str, None]]:
        """The labels of each axis, in order."""
        return [dict.fromkeys([value.label for value in column]) for column in self.columns]

    def holds(self, values: Sequence[Value]) -> bool:
        """Return whether the product has this cell and no rule excludes it."""
        known = all(value.label in labels for value, labels in zip(values, self.labels, strict=True))
        return known and not self.excluded.match(values)
