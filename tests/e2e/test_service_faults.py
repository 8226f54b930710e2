"""Builds with every fault of the emulator, in every call and on both interfaces, and the builds after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.emulator.faults import KINDS, Fault
from qwenbuild.emulator.server import Running

from .studio import KEY, Studio, be_sole_user, unresolved

pytest_plugins = ("tests.support.emulated",)

# Two requests; one of them has two output paths.
SPECS = {
    "fair": '[image.poster]\nprompt = "a fair, {{ hour }}"\nmatrix = { hour = ["noon", "night"], seed = 7 }\n'
    '[image.cover]\nprompt = "a fair, noon"\nseed = 7\n'
}

MOMENTS = {
    "sync": ("sync", "download"),
    "async": ("create", "poll", "download"),
}
DONE = ("rendered", "restored", "reattached", "up_to_date")
SILENT = {"hang-before", "drop-before", "html"}
SPOILT = {"hang-after", "drop-after", "close-after", "html-after", "timeout", "garbage", "missing"}
VALUES = {
    "slow": "=0.1",
    "throttle": "=0.1",
    "error": "=ModelServiceFailed",
}  # seconds and codes that differ from the default


def _cases() -> list[tuple[str, str]]:
    return [
        (interface, f"{kind}{VALUES.get(kind, '')}:{operation}:{_often(kind, operation)}")
        for interface, operations in MOMENTS.items()
        for operation in operations
        for kind in KINDS
        if operation in KINDS[kind].operations and kind != "wrong-size"
    ]


def _often(kind: str, operation: str) -> int:
    """Return how many calls have the fault: one, or all calls of a build if that does not take minutes."""
    if kind in SILENT | SPOILT or kind == "slow":
        return 1
    return 3 if kind == "throttle" or operation == "poll" else 99


def _is_lost(interface: str, fault: Fault) -> bool:
    """Return True if the image is gone afterwards, or if nothing shows that the request was accepted."""
    if fault.kind == "expired":
        return interface == "sync"  # a task can be queried for a new link
    if fault.operations == ("sync",):
        return fault.kind in SILENT or fault.kind in SPOILT
    return fault.operations == ("create",) and fault.kind in SILENT  # an accepted task is in the list


@pytest.mark.parametrize(("interface", "fault"), _cases())
def test_builds_with_a_fault_and_after_the_fault(emulator: Running, tmp_path: Path, interface: str, fault: str) -> None:
    """Every image is there and billed once, or its answer is lost and the image is UNKNOWN.

    What moderation refused is sent again by order. Nobody else uses the account, so an accepted task is in the list.
    """
    be_sole_user()
    patience_s = "0.4" if fault.startswith("hang") else "20"
    studio = Studio.make(tmp_path, emulator, SPECS, interface=f'"{interface}"', timeout_s=patience_s)
    emulator.inject(fault)
    first = studio.build_inside(provider="dashscope")
    assert emulator.fired()[fault] > 0
    studio.check_outputs(set(first.outcomes) - {name for name, outcome in first.outcomes.items() if outcome in DONE})
    emulator.inject()

    for _ in range(2):
        last = studio.build_inside(provider="dashscope", retry_failed=True)
    studio.audit(unresolved(last), billed_unknown=None if interface == "sync" else 0)
    assert bool(unresolved(last)) == _is_lost(interface, Fault.parse(fault))
    assert studio.search(KEY) == []
    assert KEY not in repr(first.events) + repr(last.events) + first.text


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_images_of_another_size_are_billed_once(emulator: Running, tmp_path: Path, interface: str) -> None:
    """Later builds send nothing and download nothing. By order the images are taken, and pinned."""
    studio = Studio.make(tmp_path, emulator, SPECS, interface=f'"{interface}"')
    emulator.inject("wrong-size:download:99")
    first = studio.build_inside(provider="dashscope")
    calls = len(emulator.requests())
    last = studio.build_inside(provider="dashscope")
    assert set(first.outcomes.values()) == set(last.outcomes.values()) == {"failed"}
    assert (len(emulator.requests()), set(studio.billed.values()), studio.submissions) == (calls, {1}, [])
    assert studio.outputs() == {}
    taken = studio.build_inside(provider="dashscope", accept_size=True)
    again = studio.build_inside(provider="dashscope")
    assert (set(taken.outcomes.values()), set(again.outcomes.values())) == ({"restored"}, {"up_to_date"})
    assert (len(emulator.requests()), len(studio.outputs())) == (calls, len(studio.actions))
