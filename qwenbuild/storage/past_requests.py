"""Past requests: what outputs were rendered from before, read from the state only when needed.

A plan may have 10,000 changed outputs, of which people look at a few. A recorded request never
changes, so reading it later gives the same text. Requests are read in batches: row template-edit takes half the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from qwenbuild.errors import StateError

from .state import KEYS_PER_QUERY, State


class PastRequests:
    """Recorded requests by key. They can be read after `state` was closed."""

    def __init__(self, state: State) -> None:
        self._path = state.path
        self._keys: list[str] = []
        self._given: dict[str, str] = {}
        self._batch: Mapping[str, str] = {}
        self._after_batch = 0  # the index in `_keys` of the first key after the batch

    def add(self, key: str, request: str = "") -> str:
        """Note that `text` may be called for `key`, probably in the order of the `add` calls; return `key`.

        `request` is the canonical JSON, if the caller knows it.
        """
        if request:
            self._given[key] = request
        self._keys.append(key)
        return key

    def text(self, key: str) -> str:
        """Return the request of an added key as canonical JSON; empty if it is not recorded or can't be read."""
        if key in self._given:
            return self._given[key]
        batch = self._batch
        if key not in batch:
            try:
                start = self._keys.index(key, self._after_batch)
            except ValueError:
                start = self._keys.index(key)
            keys, self._after_batch = self._keys[start : start + KEYS_PER_QUERY], start + KEYS_PER_QUERY
            self._batch = batch = self._read(keys)
        return batch[key]

    def read(self, keys: Iterable[str]) -> None:
        """Read the requests of these added keys at once: `text` reads those between them, too, and more slowly."""
        self._given |= self._read([key for key in keys if key not in self._given])

    def _read(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the text of each key; empty for those that are not recorded."""
        found: Mapping[str, str] = {}
        with (
            contextlib.suppress(StateError),
            contextlib.closing(State(self._path, create=False, is_checked=True)) as state,
        ):
            found = state.requests(keys)
        return {**dict.fromkeys(keys, ""), **found}
