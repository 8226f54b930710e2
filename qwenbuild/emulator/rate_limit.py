"""A token bucket: how often an account may call."""

from __future__ import annotations

from .vendor_errors import Refusal


class TokenBucket:
    """Holds at most `burst` tokens and gains `rate_per_s` tokens a second. It starts full."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._tokens, self._at_s = burst, 0.0

    def take(self, now: float) -> None:
        """Take one token at the time `now` (epoch seconds); raises Refusal if there is none."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at_s) * self._rate_per_s)
        self._at_s = now
        if self._tokens < 1:
            raise Refusal("Throttling.RateQuota")
        self._tokens -= 1
