"""Checked settings: reads the table of a provider, and tells all mistakes in it at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn, TypeVar

from .errors import UsageError, WrongSettings
from .provider import Settings, reject_unknown

_T = TypeVar("_T")


class CheckedSettings:
    """The settings of one provider. Call `read` for each value, then `check`."""

    def __init__(self, name: str, settings: Settings, known: Sequence[str]) -> None:
        """`known` are the keys that the table `[providers.name]` may have."""
        self._name, self._table = name, settings.table
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

    def seconds(self, key: str, default: float) -> float:
        """Return the number of seconds at a key; `default` if there is none. A wrong one is kept as a fault."""
        value = self._table.get(key, default)
        is_right = type(value) in (int, float) and 0 < value < math.inf
        return self.read(
            key, lambda: float(value) if is_right else self._refuse(key, "number of seconds", default), 1.0
        )

    def count(self, key: str, default: int) -> int:
        """Return the whole number above 0 at a key; `default` if there is none. A wrong one is kept as a fault."""
        value = self._table.get(key, default)
        is_right = type(value) is int and value > 0
        return self.read(key, lambda: int(value) if is_right else self._refuse(key, "whole number", default), 1)

    def _refuse(self, key: str, what: str, default: float) -> NoReturn:
        claim = f"[providers.{self._name}] {key} is not a {what} above 0"
        raise UsageError(claim, hint=f"such as {default:g}", name="wrong-setting")

    def check(self) -> None:
        """Raise WrongSettings if a value could not be read."""
        if self._faults:
            raise WrongSettings(self._faults)
