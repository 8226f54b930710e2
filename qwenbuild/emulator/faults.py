"""The faults that can be injected: their kinds, their notation, and when each one fires.

A plan picks at most one fault for a call: the first one that fires. Each fault has its own random
sequence, seeded by the plan's seed, the fault's position and its notation. So the same plan fires
at the same calls again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from qwenbuild.errors import UsageError
from qwenbuild.problems import did_you_mean, listing

from .vendor_errors import VENDOR_ERRORS

OPERATIONS = ("sync", "create", "poll", "cancel", "list", "download")
"""What a client can do: render in one call; create, poll, cancel or list tasks; download an image."""

_CALLS = OPERATIONS[:-1]
_SUBMITS = ("sync", "create")

Moment = Literal["before", "after", "task", "image"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of fault does, to which operations.

    `moment` says when the fault acts: "before" the service sees the call (nothing is accepted or billed);
    "after" the service has carried out the call (only the answer is lost or spoilt, and images are
    billed); on the "task" that a create makes; on the "image" that is downloaded. `value` says what
    may follow `=` in the notation: "seconds", "code", or nothing. `default` stands for a missing value.
    """

    moment: Moment
    operations: Sequence[str]
    meaning: str
    value: Literal["", "seconds", "code"] = ""
    default: str = ""


KINDS = {
    "throttle": Kind("before", _CALLS, "429 Throttling.RateQuota, with Retry-After if seconds are given", "seconds"),
    "500": Kind("before", OPERATIONS, "500 InternalError, accepts nothing"),
    "503": Kind("before", OPERATIONS, "503 ServiceUnavailable, accepts nothing"),
    "error": Kind("before", _CALLS, "any error code of the service, with its HTTP status", "code", "InternalError"),
    "moderation": Kind("before", _SUBMITS, "400 DataInspectionFailed"),
    "arrearage": Kind("before", _SUBMITS, "400 Arrearage"),
    "business-error": Kind(
        "before", _CALLS, "HTTP 200 with an error code and message as its body", "code", "InternalError"
    ),
    "html": Kind("before", OPERATIONS, "a proxy's HTML page: status 502 for a call, 200 instead of an image"),
    "redirect": Kind("before", OPERATIONS, "302 to the same path under another host name of this emulator"),
    "slow": Kind("before", OPERATIONS, "waits, then continues as usual", "seconds", "2"),
    "hang-before": Kind("before", OPERATIONS, "never answers, accepts nothing"),
    "drop-before": Kind("before", OPERATIONS, "resets the connection, accepts nothing"),
    "hang-after": Kind("after", _CALLS, "accepts, but never answers"),
    "drop-after": Kind("after", _CALLS, "accepts, then resets the connection: the answer is lost"),
    "close-after": Kind("after", _CALLS, "accepts, then closes the connection normally without an answer"),
    "html-after": Kind("after", _CALLS, "accepts, but a proxy answers with its HTML page and status 502"),
    "timeout": Kind("after", _SUBMITS, "accepts, but answers 500 RequestTimeOut"),
    "garbage": Kind("after", _CALLS, "accepts, but answers 200 with half of the JSON"),
    "missing": Kind("after", _CALLS, "accepts, but answers 200 with only a request_id"),
    "task-failed": Kind("task", ("create",), "the task ends FAILED, unbilled", "code", "InternalError"),
    "item-failed": Kind(
        "task",
        ("create",),
        "the task ends SUCCEEDED with an error code as its result",
        "code",
        "DataInspectionFailed",
    ),
    "truncated": Kind("image", ("download",), "half of the image, sent as if it were complete"),
    "cut": Kind("image", ("download",), "half of the image, then the connection is closed"),
    "corrupt": Kind("image", ("download",), "the image with 64 of its bytes changed"),
    "wrong-size": Kind("image", ("download",), "an image of another size"),
    "expired": Kind("image", ("download",), "403, as for an expired link"),
}

_CHANCE = re.compile(r"(?:(\d+(?:\.\d+)?)%|(\d+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its kind and value, the operations that it hits, and how often.

    If `first` is a number, the fault hits that many calls and no more. If it is None, the fault hits
    each call with `probability` (0 to 1).
    """

    kind: str
    value: str = ""
    operations: tuple[str, ...] = ()
    probability: float = 1.0
    first: int | None = None

    @property
    def moment(self) -> Moment:
        return KINDS[self.kind].moment

    @property
    def seconds(self) -> float:
        """The value in seconds; 0 if there is none."""
        return float(self.value or 0)

    def __str__(self) -> str:
        """Return the fault in the notation that `parse` reads."""
        parts = [self.kind + (f"={self.value}" if self.value else "")]
        if self.operations != tuple(KINDS[self.kind].operations):
            parts.append(",".join(self.operations))
        if self.first is not None:
            parts.append(str(self.first))
        elif self.probability < 1:
            parts.append(f"{self.probability * 100:g}%")
        return ":".join(parts)

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read a fault written as `KIND[=VALUE][:OPERATION,…][:CHANCE]`; raises UsageError."""
        head, *rest = text.strip().split(":")
        name, given, value = head.partition("=")
        kind = KINDS.get(name)
        if kind is None:
            raise _wrong(text, f'unknown kind "{name}"; known: {listing(KINDS, most=99)}', did_you_mean(name, KINDS))
        if given and not kind.value:
            raise _wrong(text, f"{name} takes no value")
        value = value if given else kind.default
        if kind.value == "seconds" and value and not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII):
            raise _wrong(text, f'"{value}" is not a number of seconds')
        if kind.value == "code" and value not in VENDOR_ERRORS:
            near = did_you_mean(value, VENDOR_ERRORS)
            raise _wrong(text, f'"{value}" is not an error code of the service', near)
        operations: tuple[str, ...] = ()
        probability, first = 1.0, None
        for part in rest:
            if match := _CHANCE.fullmatch(part):
                probability = float(match[1]) / 100 if match[1] else 1.0
                first = int(match[2]) if match[2] else None
                if probability > 1:
                    raise _wrong(text, f"{part} is more than 100%")
                continue
            operations = tuple(part.split(","))
            for operation in operations:
                if operation not in kind.operations:
                    raise _wrong(
                        text,
                        f'{name} can\'t hit "{operation}"; it can hit: {listing(kind.operations)}',
                        did_you_mean(operation, kind.operations),
                    )
        return cls(name, value, operations or tuple(kind.operations), probability, first)


def _wrong(text: str, fact: str, hint: str | None = None) -> UsageError:
    return UsageError(
        f'"{text}" is not a fault',
        facts=[fact],
        hint=hint or "write KIND[=VALUE][:OPERATION][:CHANCE], as in throttle:create:20%",
        name="not-a-fault",
    )


@dataclass(slots=True)
class _Armed:
    notation: str
    fault: Fault
    dice: random.Random
    calls: int = 0  # that could have been hit
    fired: int = 0


class FaultPlan:
    """The faults of one emulator, and how often each has fired."""

    def __init__(self, faults: Iterable[Fault | str] = (), seed: int = 0) -> None:
        """Raises UsageError if a text is not a fault."""
        self._armed = []
        for position, given in enumerate(faults):
            fault = Fault.parse(given) if isinstance(given, str) else given
            dice = random.Random(f"{seed}/{position}/{fault}")  # noqa: S311 - must be reproducible
            self._armed.append(_Armed(str(given), fault, dice))

    def draw(self, operation: str) -> Fault | None:
        """Return the fault that hits the next call of `operation`, or None."""
        for armed in self._armed:
            fault = armed.fault
            if operation not in fault.operations:
                continue
            armed.calls += 1
            fires = armed.calls <= fault.first if fault.first is not None else armed.dice.random() < fault.probability
            if fires:
                armed.fired += 1
                return fault
        return None

    def fired(self) -> list[tuple[str, int]]:
        """Return each fault, as it was written, and how often it has fired."""
        return [(armed.notation, armed.fired) for armed in self._armed]


def _help() -> str:
    lines = ["A fault is KIND[=VALUE][:OPERATION,…][:CHANCE].", ""]
    lines.append(f"OPERATION  {', '.join(OPERATIONS)} (default: all that the kind can hit)")
    lines.append("CHANCE     20% of the calls, or 2 for the first two calls (default: every call)")
    lines += ["", "KIND"]
    for name, kind in KINDS.items():
        value = {"seconds": "[=SECONDS]", "code": "[=CODE]", "": ""}[kind.value]
        lines.append(f"  {name + value:<26} {kind.meaning}")
    lines += ["", "Examples: throttle=1:create:20%   drop-after:sync:1   task-failed=InternalError.Algo:2"]
    return "\n".join(lines)


FAULT_HELP = _help()
"""The notation of faults and all kinds, as a help text."""
