"""The points: every call of a scenario with every fault that can hit it, and what one of them leads to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from qwenbuild.specs.action import Action
from qwenbuild.storage.ledger_file import FILE

from . import audit, injector
from .audit import Wire
from .injector import Call, Fault
from .scenarios import CELLS, Before, Scenario
from .stage import Ran, Stage

_WRITES = ("kill", "short", "ENOSPC", "ENOSPC+", "EIO")
ACTS = {
    "write": _WRITES,
    "pwrite": _WRITES,
    "ftruncate": ("kill", "EIO"),
    "create": ("kill", "ENOSPC", "EACCES"),
    "open": ("kill", "EACCES"),
    "opentrunc": ("kill", "EACCES"),
    "mkdir": ("kill", "ENOSPC"),
    "rename": ("kill", "EIO", "EACCES"),
    "link": ("kill", "EACCES"),
    "unlink": ("kill", "EACCES"),
    "rmdir": ("kill",),
    "fsync": ("kill", "EIO"),
    "fdatasync": ("kill", "EIO"),
    "syncfs": ("kill", "EIO"),
    "send": ("kill", "kill-after", "short", "ECONNRESET"),
    "recv": ("kill", "kill-after", "ECONNRESET"),
}
"""The faults of each kind of call, see `injector.c`. A `+` fault lasts: the disk stays full.

For the disk, a kill after one call is a kill before the next one. For the service, it is not.
"""

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
    problems = [*_problems(stage, point.scenario, ran, twin, before)]
    problems += [f"a stored image of {request} is gone" for request in before - audit.images(stage)]
    return Result(point, hit, tuple(problems))


def _with_fault(stage: Stage, scenario: Scenario, fault: Fault | None) -> tuple[Ran, Ran | None]:
    pid = stage.start("one", *scenario.arguments, arming=stage.arming(fault))
    other = stage.start("two", *scenario.arguments) if scenario.twin else None
    return stage.end("one", pid), None if other is None else stage.end("two", other)


def _problems(
    stage: Stage, scenario: Scenario, ran: Ran, twin: Ran | None, before: Mapping[Wire, int]
) -> Iterator[str]:
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
    if (stage.ledger / FILE).exists():
        yield from _lost(stage, actions, forgiven)
    yield from audit.whole(stage)
    for name in names:
        yield from audit.complete(stage, name, actions)
        if not scenario.is_free:
            yield from audit.settled(stage, name)
    # An answer of the async interface can't be lost for good, so nothing may be billed twice even by order.
    again = Counter[Wire]() if scenario.interface == "async" else forgiven
    most = 0 if scenario.before is Before.STORED else 1
    yield from audit.money(stage, actions, most, again, forgiven, before)


def _lost(stage: Stage, actions: Sequence[Action], forgiven: Counter[Wire]) -> Iterator[str]:
    """Add forced requests whose answer was lost to `forgiven`; yield those that another `--force` would not report.

    The old image stays, and later builds are content with it.
    """
    for request in audit.lost(stage):
        verdicts = stage.planned("one", "--force")
        if {verdicts[action.name] for action in actions if audit.wire(action) == request} != {"unknown"}:
            yield f"{request} may have been billed, and `plan --force` says {verdicts}"
        forgiven[request] += 1


_FINE = {"up_to_date", "rendered", "restored", "reattached", "unknown"}
_MOST_BUILDS = 6


def _repair(stage: Stage, name: str, actions: Sequence[Action], forgiven: Counter[Wire]) -> Iterator[str]:
    """Build until there is nothing to do. Add what is sent again by order to `forgiven`.

    Requests are sent again once two builds have reported the same ones: what was lost on a full disk may be found
    by the second build only.
    """
    reported = set[str]()
    for _ in range(_MOST_BUILDS):
        ran = stage.build(name)
        lost = set(ran.unknown)
        if lost and lost == reported:
            forgiven.update({audit.wire(action) for action in actions if action.name in lost})
            ran = stage.build(name, "--resubmit")
            if ran.unknown:
                yield f"{ran.unknown} were not sent again"
        reported = set(ran.unknown)
        yield from audit.orderly(ran, f"a later build of {name}")
        outcomes = set(ran.ended.values())
        if outcomes - _FINE or ran.code != int("unknown" in outcomes):
            yield f"a later build of {name} ended with {ran.code}: {ran.ended} {ran.err}"
            return
        if outcomes == {"up_to_date"}:
            return
    yield f"after {_MOST_BUILDS} builds there is still something to do in {name}: {ran.ended}"


@cache
def _actions(stage: Stage, scenario: Scenario) -> Sequence[Action]:
    """Return the actions of the scenario that is being played; they are the same in each of its projects."""
    found = tuple(stage.actions("one"))
    assert len(found) == CELLS
    return found
