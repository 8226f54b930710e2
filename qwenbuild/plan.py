"""The plan: every action with a verdict and a reason, and the outputs that no spec declares any more.

Pure: making a plan reads specs' actions, the state, the store and the output files, and changes
none of them. A build carries out exactly the plan that it is given.

| verdict | the output file is | and |
|---|---|---|
| UP_TO_DATE | what the action asks for | nothing is done |
| RESTORE | missing or another | its bytes are in the store, or rendered by an equal request of this plan |
| REATTACH | missing or another | the service has accepted the request: its image is collected |
| RENDER | missing or another | nobody has the bytes: they are paid for |
| EDITED | not what qwenbuild wrote there | it is kept |
| UNKNOWN | missing or another | the request was sent and may have been billed; it is not sent again by itself |
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from .changes import summary
from .expand import Action
from .outputs import digest, is_unchanged, status
from .provider import Price, Provider
from .request import Submission
from .state import Output, State
from .store import Entry, Store


class Verdict(StrEnum):
    """What a build does about an action."""

    UP_TO_DATE = "up_to_date"
    RESTORE = "restore"
    REATTACH = "reattach"
    RENDER = "render"
    EDITED = "edited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a plan.

    `cause` is the reason's fixed part; `before` the request that the present output was made
    from, where that is the difference. `seen` is the file status that the verdict rests on.
    `entry` is the store's, `submission` the one in flight, `adopted` the digest of a file that is
    right but not on record as it stands.
    """

    action: Action
    verdict: Verdict
    cause: str
    before: Mapping[str, Any] | None = field(default=None, repr=False)
    seen: os.stat_result | None = field(default=None, repr=False)
    entry: Entry | None = None
    submission: Submission | None = field(default=None, repr=False)
    price: Price | None = None
    adopted: str = ""

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, such as `prompt changed: -red +blue`."""
        if self.before is None:
            return self.cause
        difference = summary(self.before, self.action.request.as_dict())
        return f"{difference}; {self.cause}" if self.cause else difference


@dataclass(frozen=True, slots=True)
class Orphan:
    """An output that no spec declares any more. `edited`: it is not what qwenbuild wrote there."""

    path: str
    name: str  # of the cell that it was made for
    edited: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the specs, and orphans.

    `shortest_s` bounds the time that the renders take from below. `inputs` are the files and
    folders that the steps depend on, missing ones that would matter included.
    """

    steps: Sequence[Step]
    orphans: Sequence[Orphan] = ()
    shortest_s: float = 0.0
    inputs: Sequence[Path] = field(default=(), repr=False)

    def count(self, verdict: Verdict) -> int:
        """Return how many steps have the verdict."""
        return sum(step.verdict is verdict for step in self.steps)

    @property
    def renders(self) -> list[Step]:
        """The steps that render: one for each distinct request."""
        return [step for step in self.steps if step.verdict is Verdict.RENDER]

    @property
    def cost(self) -> dict[str, Decimal]:
        """What the renders cost in all, by currency; empty where they are free."""
        total: dict[str, Decimal] = {}
        for step in self.renders:
            if step.price:
                total[step.price.currency] = total.get(step.price.currency, Decimal(0)) + step.price.amount
        return total

    @property
    def counts(self) -> dict[str, int]:
        """The number of steps by verdict, and of orphans."""
        return {**{verdict.value: self.count(verdict) for verdict in Verdict}, "orphans": len(self.orphans)}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user asked for beyond what is needed.

    `force` renders again what is there, `overwrite` gives up edited files, `resubmit` sends again
    what may have been billed.
    """

    force: bool = False
    overwrite: bool = False
    resubmit: bool = False


def judge(
    actions: Iterable[Action], out: Path, state: State, store: Store, provider: Provider, rules: Rules
) -> list[Step]:
    """Return a step for each action, in order; `provider` names the price of what must be rendered."""
    judged = _Judge(out, state, store, provider, rules)
    return [judged.step(action) for action in actions]


def orphans(actions: Iterable[Action], out: Path, state: State) -> list[Orphan]:
    """Return the recorded outputs that none of `actions` (all of the project's) declares and that still exist."""
    declared = {action.output for action in actions}
    found = []
    for path, record in state.outputs().items():
        if path not in declared:
            seen = status(out / path)
            if seen is not None:
                found.append(Orphan(path, record.name, not is_unchanged(out / path, record, seen)))
    return found


def is_done(submission: Submission, store: Store) -> bool:
    """Whether the image of an open submission is in the store: a crash came before the submission was closed.

    A forced one replaces what the store has, so that nothing can be said of it.
    """
    return not submission.forced and store.lookup(submission.key) is not None


class _Judge:
    """Gives verdicts; remembers which keys an earlier step of the plan renders already."""

    def __init__(self, out: Path, state: State, store: Store, provider: Provider, rules: Rules) -> None:
        self._out, self._state, self._store, self._provider, self._rules = out, state, store, provider, rules
        self._records = state.outputs()
        self._in_flight = {it.key: it for it in state.open_submissions() if not is_done(it, store)}
        self._first: dict[str, Step] = {}

    def step(self, action: Action) -> Step:
        record, seen = self._records.get(action.output), status(os.path.join(self._out, action.output))
        if seen is None:
            cause = "output deleted" if record and record.key == action.key else "never rendered"
            return self._make(action, None, cause, record)
        path = self._out / action.output
        if record and is_unchanged(path, record, seen):
            if record.key == action.key:
                if self._is_forced(action.key):
                    return self._make(action, seen, "forced", None)
                moved = (seen.st_mtime_ns, seen.st_ino) != (record.mtime_ns, record.inode)
                return Step(action, Verdict.UP_TO_DATE, "up to date", seen=seen, adopted=record.image if moved else "")
            return self._make(action, seen, "", record)
        entry = self._store.lookup(action.key)
        if entry and seen.st_size == entry.size_bytes and digest(path, seen) == entry.image:
            if self._is_forced(action.key):
                return self._make(action, seen, "forced", None)
            return Step(action, Verdict.UP_TO_DATE, "up to date", seen=seen, adopted=entry.image)
        if self._rules.overwrite and stat.S_ISREG(seen.st_mode):
            return self._make(action, seen, "overwrites an edited file", None)
        return Step(action, Verdict.EDITED, _edited(record, seen), seen=seen)

    def _make(self, action: Action, seen: os.stat_result | None, cause: str, record: Output | None) -> Step:
        """Return the step of an output that must be made: from the store, the service, or anew."""
        before = None
        if record and record.key != action.key:
            before = self._state.request(record.key)
            cause = "" if before else "its request changed"
        if first := self._first.get(action.key):
            verdict = Verdict.UNKNOWN if first.verdict is Verdict.UNKNOWN else Verdict.RESTORE
            return Step(action, verdict, f"same request as {first.action.name}", None, seen)
        entry = None if self._is_forced(action.key) else self._store.lookup(action.key)
        if entry:
            cause = "rendered before" if cause == "never rendered" else cause
            return Step(action, Verdict.RESTORE, cause, before, seen, entry)
        self._first[action.key] = step = self._missing(action, seen, cause, before)
        return step

    def _is_forced(self, key: str) -> bool:
        """Whether the image is to be replaced: by this build, or by a render that an earlier one left in flight."""
        submission = self._in_flight.get(key)
        return self._rules.force or bool(submission and submission.forced and submission.handle)

    def _missing(
        self, action: Action, seen: os.stat_result | None, cause: str, before: Mapping[str, Any] | None
    ) -> Step:
        """Return the step of an action whose bytes are not in the store."""
        submission = self._in_flight.get(action.key)
        if submission and submission.handle:
            return Step(action, Verdict.REATTACH, "submitted by an earlier build", None, seen, None, submission)
        if submission and not self._rules.resubmit:
            cause = "an earlier build sent it and lost the answer: it may have been billed"
            return Step(action, Verdict.UNKNOWN, cause, None, seen, None, submission)
        if submission:
            cause = "may have been billed before; sent again"
        elif cause == "output deleted":
            cause = "output deleted, and the store has it no longer"
        price = self._provider.price(action.request)
        return Step(action, Verdict.RENDER, cause, before, seen, None, submission, price)


def _edited(record: Output | None, seen: os.stat_result) -> str:
    if stat.S_ISDIR(seen.st_mode):
        return "a folder is in its place"
    if stat.S_ISLNK(seen.st_mode):
        return "a symbolic link is in its place"
    if not stat.S_ISREG(seen.st_mode):
        return "no regular file is in its place"
    return "changed by hand since it was written" if record else "a file that qwenbuild did not write is in its place"
