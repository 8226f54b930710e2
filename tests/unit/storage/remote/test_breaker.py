"""The breaker: it opens after failures in a row, closes after a minute, and warns once."""

from __future__ import annotations

import pytest

from qwenbuild.errors import RemoteError, RemoteUnreachable
from qwenbuild.problems import Problem
from qwenbuild.storage.remote.breaker import Breaker
from tests.support.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def warnings() -> list[Problem]:
    """The warnings of the breaker."""
    return []


@pytest.fixture
def breaker(clock: Clock, warnings: list[Problem]) -> Breaker:
    """A breaker for reading."""
    return Breaker("read", warnings.append, clock)


def test_three_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """A success between failures restarts the count."""
    opened = []
    for worked in (False, False, True, False, False, False):
        breaker.worked() if worked else breaker.failed(RemoteError("oops"))
        opened.append(breaker.is_open)
    assert opened == [False, False, False, False, False, True]
    assert breaker.all_failures == 5


def test_an_unreachable_remote_opens_it_at_once(breaker: Breaker, clock: Clock) -> None:
    """The breaker stays open for a minute."""
    breaker.failed(RemoteUnreachable("down"))
    clock.now_s += 59
    assert breaker.is_open
    clock.now_s += 1
    assert not breaker.is_open


def test_it_warns_of_the_first_failure_only(breaker: Breaker, warnings: list[Problem]) -> None:
    """The warning has the facts and the hint of the first error."""
    for claim in ("down", "still down"):
        breaker.failed(RemoteError(claim, facts=["a fact"], hint="a hint"))
    assert [(one.claim, list(one.facts), one.hint) for one in warnings] == [
        ("the remote cache is not read: down", ["a fact"], "a hint")
    ]
