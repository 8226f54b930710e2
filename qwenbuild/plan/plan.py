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
| MISSING | missing or another | the lock pins bytes that nobody here has; others are not paid for by themselves |

Where the lock pins an action's bytes, no others will do: what an equal request gave elsewhere
restores nothing. What costs nothing is rendered all the same, and is most likely the same.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from qwenbuild.problems import Problem
from qwenbuild.provider import Price
from qwenbuild.request import Submission
from qwenbuild.specs.action import Action
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.outputs import Status
from qwenbuild.storage.past_requests import PastRequests
from qwenbuild.storage.records import Output

from .diff import summary


class Verdict(StrEnum):
    """What a build does about an action."""

    UP_TO_DATE = "up_to_date"
    RESTORE = "restore"
    REATTACH = "reattach"
    RENDER = "render"
    EDITED = "edited"
    UNKNOWN = "unknown"
    MISSING = "missing"


_RENDER, _MISSING = Verdict.RENDER, Verdict.MISSING  # an enum's members are looked up slowly


class Step(NamedTuple):
    """One action of a plan.

    `cause` is the reason's fixed part; `was` is the key of the request that the present output was made
    from, where that is the difference, and what can tell it. `seen` is the file status that the verdict rests on.
    `entry` is the store's, `submission` the one in flight, `adopted` the digest of a file that is
    right but not on record as it stands; `pinned` the digest that the lock demands, empty for none.
    `shared` is the remote cache's entry, without a key where it was asked for by the pinned digest.
    """

    action: Action
    verdict: Verdict
    cause: str
    was: tuple[str, PastRequests] | None = None
    seen: Status | None = None
    entry: Entry | None = None
    submission: Submission | None = None
    price: Price | None = None
    adopted: str = ""
    pinned: str = ""
    shared: Entry | None = None

    @property
    def before(self) -> Mapping[str, Any] | None:
        """The request that the present output was made from, where that is the difference and is known."""
        with contextlib.suppress(ValueError, TypeError):  # of a damaged record
            key, earlier = self.was or ("", None)
            return dict(json.loads(earlier.text(key))) if earlier else None
        return None

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, such as `prompt changed: -red +blue`."""
        before = self.before
        if before is None:
            return self.cause or "its request changed"
        difference = summary(before, self.action.request.as_dict())
        return f"{difference}; {self.cause}" if self.cause else difference


@dataclass(frozen=True, slots=True)
class Orphan:
    """An output that no spec declares any more. `edited`: it is not what qwenbuild wrote there."""

    path: str
    name: str  # of the cell that it was made for
    edited: bool


@dataclass(frozen=True, slots=True)
class BillLine:
    """What the renders of one model cost: how many there are, and the price of each."""

    model: str
    renders: int
    each: Price

    @property
    def total(self) -> Price:
        """The price of all of them."""
        return Price(self.each.amount * self.renders, self.each.currency)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the specs, and orphans.

    `shortest_s` bounds the time that the renders take from below. `inputs` are the files and
    folders that the steps depend on, missing ones that would matter included. `actions` are all
    of the project, whatever was selected, `records` the state's outputs by path and `lock` what
    they were held against; `warnings` are of the remote cache. `strays` were accepted by the
    service, and no spec asks for their images any more: these are collected into the store, for
    they are paid for.
    """

    steps: Sequence[Step]
    orphans: Sequence[Orphan] = ()
    shortest_s: float = 0.0
    inputs: Sequence[Path] = field(default=(), repr=False)
    actions: Sequence[Action] = field(default=(), repr=False)
    records: Mapping[str, Output] = field(default_factory=dict, repr=False)
    lock: Lock = field(default_factory=Lock, repr=False)
    warnings: Sequence[Problem] = ()
    strays: Sequence[Submission] = ()

    def count(self, verdict: Verdict) -> int:
        """Return how many steps have the verdict."""
        return sum(step.verdict is verdict for step in self.steps)

    @property
    def renders(self) -> list[Step]:
        """The steps that render: one for each distinct request."""
        return [step for step in self.steps if step.verdict is _RENDER]

    @property
    def cost(self) -> dict[str, Decimal]:
        """What all renders cost together, by currency; empty if they are free."""
        return Price.by_currency(step.price for step in self.renders)

    @property
    def bill(self) -> list[BillLine]:
        """What the renders of each model cost; empty if they are free."""
        renders = Counter([(step.action.model.name, step.price) for step in self.renders if step.price])
        return [BillLine(model, count, price) for (model, price), count in renders.items()]

    @property
    def counts(self) -> dict[str, int]:
        """The number of steps by verdict, and of orphans."""
        steps = Counter([step.verdict for step in self.steps])
        return {**{verdict.value: steps[verdict] for verdict in Verdict}, "orphans": len(self.orphans)}
