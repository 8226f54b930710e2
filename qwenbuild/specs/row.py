"""A row of data, as an axis binds it and templates see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Row(dict[str, Any]):
    """A row of data bound by an axis; prints as its id."""

    def __init__(self, values: Mapping[str, Any], label: str) -> None:
        super().__init__(values)
        self._label = label  # out of a template's reach: `row.label` is the column

    def __str__(self) -> str:
        return self._label
