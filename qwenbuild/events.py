"""What happens during a build, as typed events: one stream feeds the terminal, `--json` and every other view.

`as_dict` gives an event as `--json` prints it: `{"event": "…", …}`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from .problems import Problem


class Outcome(StrEnum):
    """How one output ended."""

    RENDERED = "rendered"
    RESTORED = "restored"
    REATTACHED = "reattached"
    UP_TO_DATE = "up_to_date"
    EDITED = "edited"
    UNKNOWN = "unknown"
    FAILED = "failed"
    MISSING = "missing"  # the lock pins bytes that nobody here has
    SUBMITTED = "submitted"  # left with the service, for a later build to collect
    SKIPPED = "skipped"  # not begun: the build was stopped


@dataclass(frozen=True, slots=True)
class Started:
    """The build begins: how many outputs of each verdict it found."""

    event: ClassVar[str] = "started"
    provider: str
    plan: dict[str, int]


@dataclass(frozen=True, slots=True)
class ImageStarted:
    """An image is being made."""

    event: ClassVar[str] = "image_started"
    name: str
    path: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImageFinished:
    """One output ended; `problems` tell why where it failed, was kept or may have been billed."""

    event: ClassVar[str] = "image_finished"
    name: str
    path: str
    outcome: Outcome
    reason: str
    seconds: float
    problems: Sequence[Problem] = field(default=())


@dataclass(frozen=True, slots=True)
class LookingUp:
    """The service is being asked what became of `submissions` whose answers were lost, and takes its time."""

    event: ClassVar[str] = "looking_up"
    submissions: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """The build takes up nothing more: `reason` is `interrupted` or an error's claim; `in_flight` renders go on.

    `problems` are those that no output's end tells.
    """

    event: ClassVar[str] = "stopping"
    reason: str
    in_flight: int
    problems: Sequence[Problem] = field(default=())


@dataclass(frozen=True, slots=True)
class Finished:
    """The build ended. Counts are of outputs; `seconds` is wall time; `cost` is by currency, as decimal texts.

    `strays` are images that no spec asks for any more and that were collected into the store.
    """

    event: ClassVar[str] = "finished"
    rendered: int
    restored: int
    up_to_date: int
    failed: int
    edited: int
    unknown: int
    seconds: float
    reattached: int = 0
    submitted: int = 0
    skipped: int = 0
    missing: int = 0
    orphans: int = 0
    strays: int = 0
    interrupted: bool = False
    cost: dict[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether every output is there and as its action asks for."""
        left = self.failed or self.unknown or self.skipped or self.missing or self.edited or self.submitted
        return not (left or self.interrupted)

    @property
    def exit_code(self) -> int:
        """0 where every output is there, 1 where some are not, 3 where these are those that the lock pins alone.

        130 where the build was interrupted.
        """
        if self.interrupted:
            return 130
        return 1 if self.failed or self.unknown or self.skipped else 3 if self.missing else 0


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is not as it should be, and the build goes on without it; the images don't suffer."""

    event: ClassVar[str] = "warning"
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class Replanned:
    """A watch has read the files again: what a build would do now and what that costs, by currency as decimal texts.

    `changed` are the files that were saved, as messages name them; none the first time. Where
    `problems` tell what is wrong in the files, the plan is the last good one, empty before the first.
    """

    event: ClassVar[str] = "replanned"
    changed: Sequence[str]
    plan: dict[str, int]
    cost: dict[str, str]
    seconds: float
    problems: Sequence[Problem] = field(default=())


@dataclass(frozen=True, slots=True)
class Drafted:
    """A watch has made a draft of a cell whose image costs money: `image` is its digest in the store."""

    event: ClassVar[str] = "drafted"
    name: str
    path: str
    image: str


@dataclass(frozen=True, slots=True)
class Serving:
    """The preview answers at `address`, which holds the token that lets it spend money."""

    event: ClassVar[str] = "serving"
    address: str


Event = (
    Started | LookingUp | ImageStarted | ImageFinished | Stopping | Finished | Warned | Replanned | Drafted | Serving
)
Emit = Callable[[Event], None]


def as_dict(event: Event) -> dict[str, Any]:
    """Return the event as a JSON-ready table."""
    table = {"event": event.event, **asdict(event)}
    if isinstance(event, ImageFinished | Stopping | Finished | Warned | Replanned):
        table["problems"] = [str(problem) for problem in event.problems]
        if not event.problems:
            del table["problems"]
    if "seconds" in table:
        table["seconds"] = round(table["seconds"], 3)
    return table
