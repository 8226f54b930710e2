"""The history of a state: which images were written at which paths, and when."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import NamedTuple

from .state import State


class Written(NamedTuple):
    """An image that was written at an output's path: its request's key, its SHA-256, and when it was written.

    `at_s` is in seconds since the epoch. `before` is the key of the image that it replaced; empty if there was none.
    """

    path: str
    key: str
    image: str
    at_s: float
    before: str


def written(state: State, paths: Collection[str], most: int | None = None) -> list[Written]:
    """Return the images that were written at these paths, the newest first. `most` is how many, None for all.

    Raises StateError.
    """
    which = ("WHERE path = ?", *paths) if len(paths) == 1 else ()
    with state._faults():
        rows = (row for row in state._written("path, id, key, image, at_s", *which) if row[0] in paths)
        return [
            Written(path, key, image, at_s, _before(state, path, number))
            for path, number, key, image, at_s in islice(rows, most)
        ]


def _before(state: State, path: str, number: int) -> str:
    """Return the key of the image that was written at a path before row `number`."""
    query = "SELECT key FROM history WHERE path = ? AND id < ? ORDER BY id DESC LIMIT 1"
    found = state._db.execute(query, (path, number)).fetchone()
    return found[0] if found else ""


def images_before(state: State, at_s: float) -> dict[str, tuple[str, str, float]]:
    """Return (key, SHA-256, time) of the last image that was written at each path before `at_s`, by path.

    Times are in seconds since the epoch. Raises StateError.
    """
    with state._faults():
        rows = state._written("path, key, image, at_s", "WHERE at_s < ?", at_s)
        found: dict[str, tuple[str, str, float]] = {}
        for path, *image in rows:  # the newest first
            found.setdefault(path, tuple(image))
        return found
