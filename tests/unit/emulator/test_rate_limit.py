from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.emulator.rate_limit import TokenBucket
from qwenbuild.emulator.vendor_errors import Refusal


def taken(bucket: TokenBucket, now: float) -> bool:
    """Return whether a token could be taken."""
    try:
        bucket.take(now)
    except Refusal as refusal:
        assert refusal.code == "Throttling.RateQuota"
        return False
    return True


def test_a_full_bucket_allows_a_burst_and_then_the_rate() -> None:
    """With a burst of two and a rate of two, two calls pass at once, and then one every half second."""
    bucket = TokenBucket(rate_per_s=2, burst=2)
    times = [10, 10, 10, 10.25, 10.5, 10.75, 11]
    assert [taken(bucket, now) for now in times] == [True, True, False, False, True, False, True]


def test_a_refused_call_takes_no_token() -> None:
    """A call that comes too early does not delay the next token."""
    bucket = TokenBucket(rate_per_s=1, burst=1)
    bucket.take(0)
    with pytest.raises(Refusal, match="Requests rate limit exceeded"):
        bucket.take(0.5)
    bucket.take(1)


@given(st.lists(st.integers(0, 40), max_size=60).map(sorted), st.integers(1, 4), st.integers(1, 6))
def test_no_window_has_more_calls_than_its_burst_and_rate_allow(times: list[int], rate: int, burst: int) -> None:
    """In any window of s seconds, at most `burst` + `rate` * s calls are accepted."""
    bucket = TokenBucket(rate, burst)
    accepted = [now for now in times if taken(bucket, now)]
    assert [
        (first, last)
        for start, first in enumerate(accepted)
        for count, last in enumerate(accepted[start:], 1)
        if count > burst + rate * (last - first)
    ] == []
