from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.emulator.faults import FAULT_HELP, KINDS, OPERATIONS, Fault, FaultPlan
from qwenbuild.emulator.vendor_errors import VENDOR_ERRORS
from qwenbuild.errors import UsageError


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Draw any fault that can be written."""
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    value = kind.default
    if kind.value == "seconds":
        value = draw(st.sampled_from([kind.default, "0.5", "10"]))
    if kind.value == "code":
        value = draw(st.sampled_from(sorted(VENDOR_ERRORS)))
    operations = draw(st.lists(st.sampled_from(kind.operations), min_size=1, unique=True))
    first = draw(st.none() | st.integers(0, 50))
    probability = draw(st.sampled_from([1.0, 0.2, 0.125])) if first is None else 1.0
    return Fault(name, value, tuple(operations), probability, first)


@given(faults())
def test_a_fault_reads_back_as_it_is_written(fault: Fault) -> None:
    """Parsing the notation of a fault gives the same fault."""
    assert Fault.parse(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("throttle:create:20%", Fault("throttle", "", ("create",), 0.2)),
        ("drop-after:sync:1", Fault("drop-after", "", ("sync",), 1.0, 1)),
        ("500:poll:2", Fault("500", "", ("poll",), 1.0, 2)),
        ("503:5%:sync,create", Fault("503", "", ("sync", "create"), 0.05)),
        ("slow=0.2:download", Fault("slow", "0.2", ("download",))),
        ("slow", Fault("slow", "2", OPERATIONS)),
        ("task-failed", Fault("task-failed", "InternalError", ("create",))),
        ("error=Throttling.BurstRate:sync", Fault("error", "Throttling.BurstRate", ("sync",))),
    ],
)
def test_the_notation_is_short(text: str, fault: Fault) -> None:
    """Value, operations and chance are optional. Operations and chance can stand in either order."""
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("throtle", 'did you mean "throttle"?'),
        ("truncated:sync", 'truncated can\'t hit "sync"; it can hit: download'),
        ("throttle:creat", 'did you mean "create"?'),
        ("throttle:120%", "120% is more than 100%"),
        ("throttle=soon", '"soon" is not a number of seconds'),
        ("moderation=3", "moderation takes no value"),
        ("error=Throtling", 'did you mean "Throttling"?'),
        ("", 'unknown kind ""'),
        ("throttle:", 'throttle can\'t hit ""; it can hit: '),
    ],
)
def test_a_wrong_fault_is_explained(text: str, expected: str) -> None:
    """The error names what was probably meant, or what is possible."""
    with pytest.raises(UsageError) as caught:
        Fault.parse(text)
    assert expected in str(caught.value)


def test_the_first_calls_are_counted_for_each_fault() -> None:
    """A fault with a number hits that many calls of its operations."""
    plan = FaultPlan(["throttle:create:2", "500:poll:1"])
    drawn = [plan.draw(operation) for operation in ("create", "poll", "create", "create", "poll")]
    assert [fault and fault.kind for fault in drawn] == ["throttle", "500", "throttle", None, None]
    assert plan.fired() == [("throttle:create:2", 2), ("500:poll:1", 1)]


def test_one_fault_hits_a_call() -> None:
    """The first fault that fires wins. The faults after it do not count the call."""
    plan = FaultPlan(["slow:sync:1", "drop-after:sync:1"])
    assert [str(plan.draw("sync") or "") for _ in range(3)] == ["slow=2:sync:1", "drop-after:sync:1", ""]


def test_the_same_seed_fires_at_the_same_calls() -> None:
    """The same seed gives the same sequence, and another seed gives another."""

    def run(seed: int) -> list[bool]:
        plan = FaultPlan(["throttle:20%"], seed)
        return [plan.draw("create") is not None for _ in range(500)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 60 < sum(run(1)) < 140


def test_the_help_names_every_kind() -> None:
    """The help text explains every kind."""
    assert [name for name in KINDS if f"\n  {name}" not in FAULT_HELP] == []
