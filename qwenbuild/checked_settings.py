"""Checked settings: reads the table of a provider, and tells all mistakes in it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from .errors import UsageError, WrongSettings
from .provider import Settings, reject_unknown

_T = TypeVar("_T")


class CheckedSettings:
    """The settings of one provider. Call `read` for each value, then `check`."""

    def __init__(self, name: str, settings: Settings, known: Sequence[str]) -> None:
        """`known` are the keys that the table `[providers.name]` may have."""
        self._faults: list[tuple[str, UsageError]] = []
        for key, value in settings.table.items():
            self.read(key, partial(reject_unknown, {key: value}, known, name), None)

    def read(self, key: str, read: Callable[[], _T], instead: _T) -> _T:
        """Return what `read` returns. If that raises UsageError, keep the error, and return `instead`."""
        try:
            return read()
        except UsageError as error:
            self._faults.append((key, error))
            return instead

    def check(self) -> None:
        """Raise WrongSettings if a value could not be read."""
        if self._faults:
            raise WrongSettings(self._faults)
