"""The breaker: stops requests to a failing remote cache for a minute, and warns once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from qwenbuild.errors import RemoteError, RemoteUnreachable
from qwenbuild.problems import Problem

_OPEN_S: Final = 60.0  # after this time requests are sent again, because the remote may be back during a watch
_FAILURES_IN_A_ROW: Final = 3


@dataclass
class Breaker:
    """Counts failures in a row. While it is open, its owner sends no request.

    `use` completes "the remote cache is not ..." in the warning, which goes to `warn`.
    """

    use: str
    warn: Callable[[Problem], None] = field(repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)  # seconds
    all_failures: int = 0
    _in_a_row: int = 0
    _opened_s: float = -math.inf
    _has_warned: bool = False

    @property
    def is_open(self) -> bool:
        """Whether no request should be sent now."""
        return self.clock() < self._opened_s + _OPEN_S

    def open(self) -> None:
        """Stop requests for a minute."""
        self._opened_s, self._in_a_row = self.clock(), 0

    def failed(self, error: RemoteError) -> None:
        """Count a failure. The third in a row opens the breaker; RemoteUnreachable opens it at once."""
        self._in_a_row += 1
        self.all_failures += 1
        if isinstance(error, RemoteUnreachable) or self._in_a_row >= _FAILURES_IN_A_ROW:
            self.open()
        if not self._has_warned:
            self._has_warned = True
            self.warn(
                Problem(
                    f"the remote cache is not {self.use}: {error.claim}",
                    facts=error.facts,
                    hint=error.hint,
                    name=error.name,
                )
            )

    def worked(self) -> None:
        """Note a success, which restarts the count of failures in a row."""
        self._in_a_row = 0
