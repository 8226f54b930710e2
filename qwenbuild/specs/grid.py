"""The grid: the values of a matrix for one model, and the cells that its `exclude` and `only` entries leave.

- A cell is looked up: it is compared once for each set of axes that some entry names, not once for each entry.
- The cells that match `only` are made from its entries. So four cells of a vast matrix cost no more than four cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from qwenbuild.catalogue import Model

if TYPE_CHECKING:
    from .declaration import Value

COUNTED = 1_000_000
"""Cells: up to this number, those that `exclude` and `only` leave are counted exactly."""

MOST_COMPARISONS = 20_000_000
"""The most cells times sets of axes: this many comparisons take about ten seconds."""


class Rules:
    """The entries of `exclude` or `only`. A rule has (number of an axis, label) for each axis that its entry names."""

    def __init__(self, rules: Iterable[Sequence[tuple[int, str]]]) -> None:
        self._labels: dict[tuple[int, ...], set[tuple[str, ...]]] = {}  # by the numbers of the axes
        for rule in rules:
            self._labels.setdefault(tuple([at for at, _ in rule]), set()).add(tuple([label for _, label in rule]))

    def __len__(self) -> int:
        """Return the number of comparisons that a cell needs."""
        return len(self._labels)

    def __iter__(self) -> Iterator[dict[int, str]]:
        """Yield each rule: the labels by the number of the axis."""
        return (dict(zip(axes, row, strict=True)) for axes, labels in self._labels.items() for row in labels)

    def match(self, values: Sequence[Value]) -> bool:
        """Return whether a rule names the cell with these values, one for each axis."""
        return any(tuple([values[at].label for at in axes]) in labels for axes, labels in self._labels.items())


class Grid:
    """The values of all axes for one model, what is excluded, and what alone stays."""

    def __init__(self, model: Model, columns: list[list[Value]], excluded: Rules, only: Rules | None) -> None:
        """`columns` has the values of each axis. `only` is None if the image has no such entries."""
        self.model, self.columns, self._excluded, self._only = model, columns, excluded, only

    def __len__(self) -> int:
        """Return the most comparisons that a cell needs."""
        return max(len(self._excluded), len(self._only or ()))

    def __iter__(self) -> Iterator[tuple[Value, ...]]:
        """Yield the cells that stay, in the order of the product."""
        cells = itertools.product(*self.columns) if self._only is None else map(self._cell, self.numbers)
        return itertools.filterfalse(self._excluded.match, cells) if len(self._excluded) else iter(cells)

    def _cell(self, numbers: Sequence[int]) -> tuple[Value, ...]:
        return tuple([column[number] for column, number in zip(self.columns, numbers, strict=True)])

    @cached_property
    def numbers(self) -> list[tuple[int, ...]]:
        """The cells of the product that match `only`, in order: the number of the value of each axis."""
        found: set[tuple[int, ...]] = set()
        every = [range(len(column)) for column in self.columns]
        for rule in self._only or ():
            named = {at: self.labels[at][label] for at, label in rule.items() if label in self.labels[at]}
            if len(named) == len(rule):
                found.update(itertools.product(*[(named[at],) if at in named else it for at, it in enumerate(every)]))
        return sorted(found)

    @cached_property
    def labels(self) -> list[dict[str, int]]:
        """The labels of each axis, in order, with the numbers of their values."""
        return [{value.label: number for number, value in enumerate(column)} for column in self.columns]

    def stays(self, values: Sequence[Value]) -> bool:
        """Return whether no entry leaves out this cell of the product."""
        return not self._excluded.match(values) and (self._only is None or self._only.match(values))

    def holds(self, values: Sequence[Value]) -> bool:
        """Return whether the product has this cell and `exclude` leaves it."""
        known = all(value.label in labels for value, labels in zip(values, self.labels, strict=True))
        return known and not self._excluded.match(values)
