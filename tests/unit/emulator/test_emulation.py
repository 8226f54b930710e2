from __future__ import annotations

import time

from qwenbuild.emulator.dashscope import Terms
from qwenbuild.emulator.emulation import Emulation
from qwenbuild.emulator.faults import FaultPlan
from tests.support.orders import charge, exchange


def test_the_clock_can_be_moved() -> None:
    """Moves add up, and the clock goes on from there."""
    emulation = Emulation(Terms(), FaultPlan())
    emulation.advance(1000)
    emulation.advance(-300)
    earliest = time.time() + 700
    now = emulation.now()
    assert earliest <= now <= time.time() + 700


def test_a_reset_emulation_is_a_new_one() -> None:
    """Calls, bill, faults and clock are back at the start; the terms stay."""
    emulation = Emulation(Terms(region="beijing"), FaultPlan(["throttle"]))
    emulation.calls.append(exchange())
    emulation.service.bill.charges.append(charge())
    emulation.advance(1000)
    emulation.reset()
    assert (list(emulation.calls), emulation.faults.fired(), emulation.bill()["count"]) == ([], [], 0)
    assert emulation.now() <= time.time()
    assert emulation.bill()["region"] == "beijing"


def test_only_the_last_calls_are_kept() -> None:
    """Of 10,001 calls the first one is forgotten."""
    emulation = Emulation(Terms(), FaultPlan())
    first = exchange()
    emulation.calls.extend([first, *(exchange() for _ in range(10_000))])
    assert (len(emulation.calls), first in emulation.calls) == (10_000, False)


def test_the_bill_is_as_of_now() -> None:
    """The bill includes a task that has ended since the last call."""
    emulation = Emulation(Terms(limits=0, latency_s=1000), FaultPlan())
    account = emulation.service.account("Bearer sk-a")
    body = {"model": "qwen-image-plus", "input": {"prompt": "a cat"}}
    emulation.service.create(account, body, exchange(), emulation.now())
    assert emulation.bill()["count"] == 0
    emulation.advance(3600)
    assert emulation.bill()["count"] == 1
