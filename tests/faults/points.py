"""The points: every call of a scenario with every fault that can hit it, and what one of them leads to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from qwenbuild.specs.action import Action

from . import audit, injector
from .audit import Wire
from .injector import Call, Fault
from .scenarios import CELLS, Before, Scenario
from .stage import Ran, Stage

_KILLS = ("kill", "kill-after")
_WRITES = ("short", "ENOSPC", "ENOSPC+", "EIO")
ACTS = {
    "write": (*_KILLS, *_WRITES),
    "pwrite": (*_KILLS, *_WRITES),
    "ftruncate": ("kill", "EIO"),
    "create": (*_KILLS, "ENOSPC", "EACCES"),
    "open": ("kill", "EACCES"),
    "opentrunc": (*_KILLS, "EACCES"),
    "mkdir": (*_KILLS, "ENOSPC"),
    "rename": (*_KILLS, "EIO", "EACCES"),
    "link": (*_KILLS, "EACCES"),
    "unlink": (*_KILLS, "EACCES"),
    "rmdir": ("kill",),
    "fsync": (*_KILLS, "EIO"),
    "fdatasync": (*_KILLS, "EIO"),
    "syncfs": (*_KILLS, "EIO"),
    "send": (*_KILLS, "short", "ECONNRESET"),
    "recv": (*_KILLS, "ECONNRESET"),
}
"""The faults of each kind of call, see `injector.c`. A `+` fault lasts: the disk stays full."""

_SHARED_MEMORY = ("kill", "ENOSPC")  # for SQLite's -shm file, which holds nothing of value


@dataclass(frozen=True, slots=True)
class Point:
    """One fault in one scenario."""

    scenario: Scenario
    fault: Fault

    def __str__(self) -> str:
        return f"{self.scenario.name}: {self.fault}"

    @property
    def command(self) -> str:
        """The command that repeats the point."""
        return f"python -m tests.faults --scenario {self.scenario.name} --at {self.fault.at} --act {self.fault.act}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a point led to. `problems` is empty if all was well, `call` None if the build never made the call."""

    point: Point
    call: Call | None
    problems: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.call.name} {self.call.path}" if self.call else "never reached"
        return "\n    ".join([f"{self.point} ({where})", *self.problems, self.point.command])


def calls(stage: Stage, scenario: Scenario) -> list[Call]:
    """Return the calls of the scenario's build without a fault."""
    stage.set(scenario)
    ran, _ = _with_fault(stage, scenario, None)
    assert ran.code == 0, ran
    return injector.read(stage.log)


def points(scenario: Scenario, made: Sequence[Call]) -> Iterator[Point]:
    """Yield the points of a scenario whose build makes these calls, in their order.

    Calls that fail by themselves, such as `mkdir` of a folder that exists, are left out.
    """
    for call in made:
        if call.is_ok:
            acts = _SHARED_MEMORY if call.path.endswith("-shm") else ACTS[call.name]
            yield from (Point(scenario, Fault(call.number, act)) for act in acts)


def play(stage: Stage, point: Point) -> Result:
    """Build with the fault, then build until everything is there; return what went wrong."""
    stage.set(point.scenario)
    before = audit.images(stage)
    ran, twin = _with_fault(stage, point.scenario, point.fault)
    hit = next((call for call in injector.read(stage.log) if call.number == point.fault.at), None)
    problems = [*_problems(stage, point.scenario, ran, twin)]
    problems += [f"a stored image of {request} is gone" for request in before - audit.images(stage)]
    return Result(point, hit, tuple(problems))


def _with_fault(stage: Stage, scenario: Scenario, fault: Fault | None) -> tuple[Ran, Ran | None]:
    pid = stage.start("one", *scenario.arguments, arming=stage.arming(fault))
    other = stage.start("two", *scenario.arguments) if scenario.twin else None
    return stage.end("one", pid), None if other is None else stage.end("two", other)


def _problems(stage: Stage, scenario: Scenario, ran: Ran, twin: Ran | None) -> Iterator[str]:
    names = ("one", "two") if scenario.twin else ("one",)
    actions = _actions(stage, scenario)
    yield from audit.orderly(ran, "the build with the fault")
    if twin:
        yield from audit.orderly(twin, "the build beside it")
    yield from audit.whole(stage)
    if ran.code == 0:
        yield from audit.complete(stage, "one", actions)
    forgiven = Counter[Wire]()
    for name in names:
        yield from _repair(stage, name, actions, forgiven)
    yield from audit.whole(stage)
    for name in names:
        yield from audit.complete(stage, name, actions)
        if not scenario.is_free:
            yield from audit.settled(stage, name)
    # An answer of the async interface can't be lost for good, so nothing may be billed twice even by order.
    is_lossless = scenario.interface == "async"
    wanted = 0 if scenario.before is Before.STORED else 1
    yield from audit.money(stage, actions, wanted, Counter() if is_lossless else forgiven)


def _repair(stage: Stage, name: str, actions: Sequence[Action], forgiven: Counter[Wire]) -> Iterator[str]:
    """Build until everything is there. Add what is sent again by order to `forgiven`."""
    ran = stage.build(name)
    yield from audit.orderly(ran, f"the next build of {name}")
    if lost := ran.unknown:
        if set(ran.ended.values()) - {"unknown", "up_to_date", "rendered", "restored", "reattached"}:
            yield f"the next build of {name} failed: {ran.ended} {ran.err}"
        forgiven.update({audit.wire(action) for action in actions if action.name in lost})
        ran = stage.build(name, "--resubmit")
        yield from audit.orderly(ran, f"the build of {name} that sends again")
    if ran.code != 0:
        yield f"the next build of {name} ended with {ran.code}: {ran.ended} {ran.err}"
        return
    if set(ran.ended.values()) == {"up_to_date"}:
        return
    last = stage.build(name)
    if last.code != 0 or any(outcome != "up_to_date" for outcome in last.ended.values()):
        yield f"the last build of {name} had something to do: {last.code} {last.ended} {last.err}"


def _actions(stage: Stage, scenario: Scenario) -> Sequence[Action]:
    """Return the actions of the scenario; they are the same in every project of it."""
    return _actions_of(stage, scenario)


@cache
def _actions_of(stage: Stage, scenario: Scenario) -> tuple[Action, ...]:
    found = tuple(stage.actions("one"))
    assert len(found) == CELLS
    return found
