"""The events of a build: one typed stream for the terminal, `--json` and every other view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from signal import SIGINT
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
    SUBMITTED = "submitted"  # in flight at the service; a later build collects the image
    SKIPPED = "skipped"  # not begun, because the build was stopped


@dataclass(frozen=True, slots=True)
class Started:
    """The build begins. `plan` has the number of outputs for each verdict."""

    event: ClassVar[str] = "started"
    provider: str
    plan: dict[str, int]


@dataclass(frozen=True, slots=True)
class ImageStarted:
    """The provider begins to make an image."""

    event: ClassVar[str] = "image_started"
    name: str
    path: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImageFinished:
    """One output has its outcome. `problems` explain a failure, a kept file, or a request that may have been billed."""

    event: ClassVar[str] = "image_finished"
    name: str
    path: str
    outcome: Outcome
    reason: str
    seconds: float
    problems: Sequence[Problem] = field(default=())


@dataclass(frozen=True, slots=True)
class LookingUp:
    """The build asks the service about `submissions` (a number) whose answers were lost. This can take a while."""

    event: ClassVar[str] = "looking_up"
    submissions: int


@dataclass(frozen=True, slots=True)
class ImageWaiting:
    """Another build renders the same request: `project` is its folder, `since_s` seconds since the epoch."""

    event: ClassVar[str] = "waiting"
    name: str
    path: str
    project: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Delayed:
    """A request for an image failed for now, such as by throttling. It is tried again at `again_at_s`.

    `reason` is what was said. `again_at_s` is in seconds since the epoch. Short waits have no event.
    """

    event: ClassVar[str] = "delayed"
    name: str
    path: str
    reason: str
    again_at_s: float


@dataclass(frozen=True, slots=True)
class NotSent:
    """The service refuses a model, so `images` (a number) of that model were not sent. `reason` is what was said."""

    event: ClassVar[str] = "not_sent"
    model: str
    images: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """The build starts no more renders; `in_flight` renders go on.

    `reason` is `interrupted` or the claim of an error. `problems` has only problems that no `ImageFinished` reports.
    """

    event: ClassVar[str] = "stopping"
    reason: str
    in_flight: int
    problems: Sequence[Problem] = field(default=())


@dataclass(frozen=True, slots=True)
class Finished:
    """The build has ended. The counts are of outputs, `seconds` is wall time, `cost` maps currencies to decimal texts.

    `strays` counts collected images that no spec declares any more. `signal` is the number of the signal that
    interrupted the build; 0 if it was not interrupted, or not by a signal.
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
    signal: int = 0
    cost: dict[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether every output exists and matches its action."""
        left = self.failed or self.unknown or self.skipped or self.missing or self.edited or self.submitted
        return not (left or self.interrupted)

    @property
    def exit_code(self) -> int:
        """0: success. 1: some outputs failed or were skipped. 3: only bytes that the lock pins are missing.

        128 and the number of a signal: the build was interrupted by it; 130 if it was interrupted without a signal.
        """
        if self.interrupted:
            return 128 + (self.signal or SIGINT)
        return 1 if self.failed or self.unknown or self.skipped else 3 if self.missing else 0


@dataclass(frozen=True, slots=True)
class Warned:
    """Something does not work, such as the remote cache. The build goes on, and the images are not affected."""

    event: ClassVar[str] = "warning"
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class Replanned:
    """A watch has read the files again. `plan` and `cost` say what a build would do now.

    `plan` has the number of outputs for each verdict, `cost` maps currencies to decimal texts. `changed` are the saved
    files, as messages name them; the first time there are none. If the files have `problems`, `plan` is the last good
    plan, or empty.
    """

    event: ClassVar[str] = "replanned"
    changed: Sequence[str]
    plan: dict[str, int]
    cost: dict[str, str]
    seconds: float
    problems: Sequence[Problem] = field(default=())


@dataclass(frozen=True, slots=True)
class Drafted:
    """A watch has drafted a cell whose image costs money. `image` is the draft's digest in the store."""

    event: ClassVar[str] = "drafted"
    name: str
    path: str
    image: str


@dataclass(frozen=True, slots=True)
class Serving:
    """The preview answers at `address`. The address contains the token that allows renders for money."""

    event: ClassVar[str] = "serving"
    address: str


Event = (
    Started
    | LookingUp
    | ImageWaiting
    | ImageStarted
    | ImageFinished
    | Delayed
    | NotSent
    | Stopping
    | Finished
    | Warned
    | Replanned
    | Drafted
    | Serving
)
Emit = Callable[[Event], None]


def as_dict(event: Event) -> dict[str, Any]:
    """Return the event as `--json` prints it: a JSON-ready table that begins with the key `event`."""
    table = {"event": event.event, **asdict(event)}
    if isinstance(event, ImageFinished | Stopping | Finished | Warned | Replanned):
        if event.problems:
            table["problems"] = [str(problem) for problem in event.problems]
            table["problem_names"] = [problem.name for problem in event.problems]
        else:
            del table["problems"]
    if isinstance(event, Finished) and not event.signal:
        del table["signal"]
    if "seconds" in table:
        table["seconds"] = round(table["seconds"], 3)
    return table


def in_words(summary: Mapping[str, Any] | None) -> str:
    """Return how the outputs of a build ended, such as `2 rendered, 1 failed`. `summary` is that of the state's run."""
    counts = summary or {}
    ends = [f"{counts[end]:,} {end.value.replace('_', ' ')}" for end in Outcome if counts.get(end)]
    return ", ".join(ends) or "did not end"
