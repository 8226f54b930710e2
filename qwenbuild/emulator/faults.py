"""Faults to inject: what each kind does and where, their notation, and a reproducible choice of when.

A plan draws at most one fault for a call, the first that fires. Each fault has its own random
sequence, made from the plan's seed, its position and its notation: the same plan, asked the same
way, fires at the same calls.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from qwenbuild.errors import UsageError
from qwenbuild.problems import did_you_mean, listing

from .wire_format import VENDOR_ERRORS

OPERATIONS = ("sync", "create", "poll", "cancel", "list", "download")
"""What a client does: a sync call, creating, polling, cancelling and listing tasks, downloading an image."""

_CALLS = OPERATIONS[:-1]
_SUBMITS = ("sync", "create")

Moment = Literal["before", "after", "task", "image"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a fault does.

    `moment`: "before" the service sees the call (nothing accepted, nothing billed), "after" it was
    carried out (the answer is spoilt; a submit is billed), to the "task" that a create makes, or
    to the "image" that is sent. `value` says what follows `=`: "seconds", "code", or nothing.
    """

    moment: Moment
    operations: Sequence[str]
    meaning: str
    value: Literal["", "seconds", "code"] = ""
    default: str = ""


KINDS = {
    "throttle": Kind("before", _CALLS, "429 Throttling.RateQuota, with Retry-After where seconds are given", "seconds"),
    "500": Kind("before", OPERATIONS, "500 InternalError, not accepted"),
    "503": Kind("before", OPERATIONS, "503 ServiceUnavailable, not accepted"),
    "error": Kind("before", _CALLS, "any error code of the service, with its HTTP status", "code", "InternalError"),
    "moderation": Kind("before", _SUBMITS, "400 DataInspectionFailed"),
    "arrearage": Kind("before", _SUBMITS, "400 Arrearage"),
    "business-error": Kind("before", _CALLS, "HTTP 200 whose body is a code and a message", "code", "InternalError"),
    "html": Kind("before", OPERATIONS, "a proxy's HTML page with status 502; with 200 in place of an image"),
    "redirect": Kind("before", OPERATIONS, "302 to another host name of this emulator"),
    "slow": Kind("before", OPERATIONS, "waits, then goes on as usual", "seconds", "2"),
    "hang-before": Kind("before", OPERATIONS, "never answers, accepts nothing"),
    "drop-before": Kind("before", OPERATIONS, "resets the connection, accepts nothing"),
    "hang-after": Kind("after", _CALLS, "accepts, and never answers"),
    "drop-after": Kind("after", _CALLS, "accepts, and resets the connection: the answer is lost"),
    "close-after": Kind("after", _CALLS, "accepts, and closes the connection in good order without an answer"),
    "html-after": Kind("after", _CALLS, "accepts, and a proxy puts its page in the answer's place, with status 502"),
    "timeout": Kind("after", _SUBMITS, "accepts, and answers 500 RequestTimeOut"),
    "garbage": Kind("after", _CALLS, "accepts, and answers 200 with half of the JSON"),
    "missing": Kind("after", _CALLS, "accepts, and answers 200 without the fields that matter"),
    "task-failed": Kind("task", ("create",), "the task ends FAILED, unbilled", "code", "InternalError"),
    "item-failed": Kind(
        "task", ("create",), "the task ends SUCCEEDED, its result a code", "code", "DataInspectionFailed"
    ),
    "truncated": Kind("image", ("download",), "half of the image, as if it were whole"),
    "cut": Kind("image", ("download",), "half of the image, then the connection is reset"),
    "corrupt": Kind("image", ("download",), "the image with some of its bytes changed"),
    "wrong-size": Kind("image", ("download",), "an image of another size"),
    "expired": Kind("image", ("download",), "403, as for a link that died"),
}

_CHANCE = re.compile(r"(?:(\d+(?:\.\d+)?)%|(\d+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: a kind, its value, the operations it befalls, and when.

    `probability` (0 to 1) holds for each call; `first` is how many calls it befalls from the
    start, None for no such limit.
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
        """The value as seconds; 0 where none was given."""
        return float(self.value or 0)

    def __str__(self) -> str:
        """Return the notation that `parse` reads."""
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
        """Return the fault written as `KIND[=VALUE][:OPERATION,…][:CHANCE]`; raises UsageError."""
        head, *rest = text.strip().split(":")
        name, given, value = head.partition("=")
        kind = KINDS.get(name)
        if kind is None:
            raise _wrong(text, f'unknown kind "{name}"; known: {listing(KINDS, most=99)}', did_you_mean(name, KINDS))
        if given and not kind.value:
            raise _wrong(text, f"{name} takes no value")
        value = value if given else kind.default
        if kind.value == "seconds" and value and not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII):
            raise _wrong(text, f'"{value}" is no number of seconds')
        if kind.value == "code" and value not in VENDOR_ERRORS:
            near = did_you_mean(value, VENDOR_ERRORS)
            raise _wrong(text, f'"{value}" is no error code of the service', near)
        operations: tuple[str, ...] = ()
        probability, first = 1.0, None
        for part in rest:
            if match := _CHANCE.fullmatch(part):
                probability = float(match[1]) / 100 if match[1] else 1.0
                first = int(match[2]) if match[2] else None
                if probability > 1:
                    raise _wrong(text, f"{part} is more than always")
                continue
            operations = tuple(part.split(","))
            for operation in operations:
                if operation not in kind.operations:
                    raise _wrong(
                        text,
                        f'{name} does not happen at "{operation}", but at: {listing(kind.operations)}',
                        did_you_mean(operation, kind.operations),
                    )
        return cls(name, value, operations or tuple(kind.operations), probability, first)


def _wrong(text: str, fact: str, hint: str | None = None) -> UsageError:
    return UsageError(
        f'"{text}" is no fault',
        facts=[fact],
        hint=hint or "write KIND[=VALUE][:OPERATION][:CHANCE], as in throttle:create:20%",
    )


@dataclass(slots=True)
class _Armed:
    notation: str
    fault: Fault
    dice: random.Random
    met: int = 0
    fired: int = 0


class FaultPlan:
    """The faults of one server, drawn call by call."""

    def __init__(self, faults: Iterable[Fault | str] = (), seed: int = 0) -> None:
        """Raises UsageError for a notation that is none."""
        self._armed = []
        for position, given in enumerate(faults):
            fault = Fault.parse(given) if isinstance(given, str) else given
            dice = random.Random(f"{seed}/{position}/{fault}")  # noqa: S311 - must be reproducible
            self._armed.append(_Armed(str(given), fault, dice))

    def draw(self, operation: str) -> Fault | None:
        """Return the fault that befalls this call, or None."""
        for armed in self._armed:
            fault = armed.fault
            if operation not in fault.operations:
                continue
            armed.met += 1
            fires = armed.met <= fault.first if fault.first is not None else armed.dice.random() < fault.probability
            if fires:
                armed.fired += 1
                return fault
        return None

    def fired(self) -> list[tuple[str, int]]:
        """Return each fault, as it was given, and how often it has fired."""
        return [(armed.notation, armed.fired) for armed in self._armed]


def _help() -> str:
    lines = ["A fault is KIND[=VALUE][:OPERATION,…][:CHANCE].", ""]
    lines.append(f"OPERATION  {', '.join(OPERATIONS)} (default: all that the kind knows)")
    lines.append("CHANCE     20% of the calls, or 2 for the first two (default: always)")
    lines += ["", "KIND"]
    for name, kind in KINDS.items():
        value = {"seconds": "[=SECONDS]", "code": "[=CODE]", "": ""}[kind.value]
        lines.append(f"  {name + value:<26} {kind.meaning}")
    lines += ["", "Examples: throttle=1:create:20%   drop-after:sync:1   task-failed=InternalError.Algo:2"]
    return "\n".join(lines)


FAULT_HELP = _help()
"""The notation of faults, for a help text."""
