"""The state of one running emulator: the service, the faults, the recorded calls, and the clock."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from .dashscope import Service, Terms
from .exchange import Exchange
from .faults import FaultPlan

_MOST_CALLS = 10_000  # older calls are forgotten


class Emulation:
    """The service, the faults, the calls (oldest first), and the clock."""

    def __init__(self, terms: Terms, faults: FaultPlan) -> None:
        self.terms = terms
        self.service = Service(terms)
        self.faults = faults
        self.calls: deque[Exchange] = deque(maxlen=_MOST_CALLS)
        self._ahead_s = 0.0

    def now(self) -> float:
        """Return the emulated time in seconds since the epoch."""
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Move the emulated clock. Tasks and links age with it, and `Date` headers show it."""
        self._ahead_s += seconds

    def reset(self) -> None:
        """Return to the state of a new emulator without faults."""
        self.service = Service(self.terms)
        self.faults = FaultPlan()
        self.calls.clear()
        self._ahead_s = 0.0

    def bill(self) -> dict[str, Any]:
        """Return the bill as of now, as JSON."""
        self.service.settle(self.now())
        return self.service.bill.as_json()
