"""A clock that a test sets by hand."""

from __future__ import annotations


class Clock:
    """Returns `now_s` at each call."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s
