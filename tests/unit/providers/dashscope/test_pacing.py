"""Paces: turns in order and far enough apart, slower after throttling, faster after success."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from qwenbuild.providers.dashscope.pacing import Pace


def test_turns_are_as_far_apart_as_the_limit_asks() -> None:
    """Turns come in the order of asking. On the whole they are neither faster nor slower than the limit."""

    async def main() -> tuple[list[int], list[float]]:
        pace, order, times = Pace(100.0), [], []

        async def caller(number: int) -> None:
            times.append(await pace.turn())
            order.append(number)

        await asyncio.gather(*(caller(number) for number in range(40)))
        return order, times

    order, times = asyncio.run(main())
    assert order == list(range(40))
    assert 0.37 <= times[-1] - times[0] <= 0.6
    assert all(later - earlier > -0.001 for earlier, later in pairwise(times))


def test_a_pause_allows_no_burst() -> None:
    """The turns after a pause are as far apart as all others."""

    async def main() -> float:
        pace = Pace(20.0)
        await pace.turn()
        await asyncio.sleep(0.2)
        first = await pace.turn()
        await pace.turn()
        return await pace.turn() - first

    assert asyncio.run(main()) >= 0.08


def test_throttling_halves_the_pace_once_for_submits_sent_together() -> None:
    """Submits that were sent together and throttled together slow the pace once."""

    async def main() -> list[float]:
        pace, rates = Pace(1000.0), []
        turns = [await pace.turn() for _ in range(3)]
        for turn_s in turns:
            pace.slower(turn_s)
            rates.append(pace.per_s)
        pace.slower(await pace.turn())
        rates.append(pace.per_s)
        return rates

    assert asyncio.run(main()) == [500.0, 500.0, 500.0, 250.0]


def test_the_pace_climbs_back_to_the_limit_and_no_further() -> None:
    """Each accepted submit adds a tenth of the limit."""

    async def main() -> list[float]:
        pace, rates = Pace(1000.0), []
        pace.slower(await pace.turn())
        for _ in range(7):
            pace.faster()
            rates.append(pace.per_s)
        return rates

    assert asyncio.run(main()) == [600.0, 700.0, 800.0, 900.0, 1000.0, 1000.0, 1000.0]


def test_the_pace_never_falls_to_zero() -> None:
    """After many throttled submits, the pace stays at 1/32 of the limit."""

    async def main() -> float:
        pace = Pace(1000.0)
        for turn_s in range(1, 100):
            pace.slower(asyncio.get_running_loop().time() + turn_s)
        return pace.per_s

    assert asyncio.run(main()) == 1000.0 / 32


def test_retry_after_delays_callers_that_already_wait() -> None:
    """If the service asks for a pause, a caller that already waits for its turn waits for the pause as well."""

    async def main() -> float:
        pace = Pace(20.0)
        turn_s = await pace.turn()
        waiting = asyncio.create_task(pace.turn())
        await asyncio.sleep(0.01)
        pace.slower(turn_s, retry_after_s=0.25)
        return await waiting - turn_s

    assert asyncio.run(main()) >= 0.25


def test_a_cancelled_caller_takes_no_turn() -> None:
    """The callers behind a cancelled caller are served as if it had never asked."""

    async def main() -> float:
        pace = Pace(10.0)
        first = await pace.turn()
        waiting = [asyncio.create_task(pace.turn()) for _ in range(5)]
        await asyncio.sleep(0.01)
        for task in waiting[:4]:
            task.cancel()
        return await waiting[4] - first

    assert 0.09 <= asyncio.run(main()) < 0.19


def test_places_limit_the_tasks_that_run_at_once() -> None:
    """There are never more tasks than places; a cancelled or failed task frees its place."""

    async def main() -> int:
        pace = Pace(1000.0, at_once=2)
        running = most = 0

        async def task(number: int) -> None:
            nonlocal running, most
            async with pace.place():
                running += 1
                most = max(most, running)
                try:
                    await asyncio.sleep(0.01)
                    if number == 3:
                        raise ValueError
                finally:
                    running -= 1

        tasks = [asyncio.create_task(task(number)) for number in range(8)]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return most

    assert asyncio.run(main()) == 2


def test_ten_thousand_callers_wait_without_work() -> None:
    """Callers that wait, and are then cancelled, cost little processor time."""

    async def main() -> float:
        pace = Pace(2.0)
        waiting = [asyncio.create_task(pace.turn()) for _ in range(10_000)]
        for _ in range(10):  # until all of them wait
            await asyncio.sleep(0)
        begun_s = time.process_time()
        await asyncio.sleep(0.4)
        spent_s = time.process_time() - begun_s
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return spent_s

    begun_s = time.process_time()
    assert asyncio.run(main()) < 0.1
    assert time.process_time() - begun_s < 5


@pytest.mark.parametrize(("limit_per_s", "at_once"), [(0.0, 0), (-1.0, 0), (1.0, -1)])
def test_a_senseless_pace_is_refused(limit_per_s: float, at_once: int) -> None:
    """The rate must be positive; the number of places must not be negative."""
    with pytest.raises(ValueError, match="positive rate"):
        Pace(limit_per_s, at_once)


def test_how_long_a_caller_waits_for_a_turn() -> None:
    """The pace, the callers before it, and what the service asked for count."""

    async def main() -> list[float]:
        pace = Pace(1.0)
        waits = [pace.wait_s]
        turn_s = await pace.turn()
        waiting = [asyncio.create_task(pace.turn()) for _ in range(2)]
        await asyncio.sleep(0)
        waits.append(pace.wait_s)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        pace.slower(turn_s, 30.0)
        return [*waits, pace.wait_s]

    assert asyncio.run(main()) == pytest.approx([0.0, 3.0, 30.0], abs=0.5)
