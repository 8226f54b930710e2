"""The plan: every action with a verdict and a reason, and the orphaned outputs.

Making a plan is pure: it reads actions, state, store and output files, and changes nothing. A build
carries out exactly the plan that it gets.

| verdict | the output file | why |
|---|---|---|
| UP_TO_DATE | is what the action asks for | nothing to do |
| RESTORE | is missing, or another image | the store has the bytes, or an equal request of this plan renders them |
| REATTACH | is missing, or another image | the service has accepted the request: a build collects the image |
| RENDER | is missing, or another image | nobody has the bytes: a build pays for them |
| EDITED | is not what qwenbuild wrote | a build keeps it |
| UNKNOWN | is missing, or another image | it was sent and may have been billed: a build does not send it again |
| MISSING | is missing, or another image | the lock pins bytes that nobody here has: a build does not pay for others |
| FAILED | is missing, or another image | moderation refused it, or its image has another size: it is not sent again |

If the lock pins an action's bytes, only those bytes will do: the image of an equal request restores
nothing. A free provider renders nevertheless, because its bytes are most likely the same.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from qwenbuild.problems import Problem
from qwenbuild.provider import Price
from qwenbuild.request import Submission
from qwenbuild.specs.action import Action
from qwenbuild.specs.lint_rules import COSTLY, Remark
from qwenbuild.specs.variable_uses import VariableUses
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.outputs import POINTER, Status
from qwenbuild.storage.past_requests import PastRequests
from qwenbuild.storage.records import Failure, Output, request_fields

from . import lacking
from .diff import is_same, summary
from .emulation import EMULATED, PINNED


class Verdict(StrEnum):
    """What a build does about an action."""

    UP_TO_DATE = "up_to_date"
    RESTORE = "restore"
    REATTACH = "reattach"
    RENDER = "render"
    EDITED = "edited"
    UNKNOWN = "unknown"
    MISSING = "missing"
    FAILED = "failed"


# A global is found faster than an enum's member.
_RENDER, _MISSING, _UP_TO_DATE = Verdict.RENDER, Verdict.MISSING, Verdict.UP_TO_DATE


class Step(NamedTuple):
    """One action of a plan.

    - `cause`: the fixed part of the reason.
    - `was`: if the request changed, the key of the present output's request, and an object that finds
      the request by this key.
    - `seen`: the file status that the verdict was made from; None if there is no file.
    - `entry`: the store's entry.
    - `shared`: the remote cache's entry; its key is empty if the pinned digest found it.
    - `submission`: the submission in flight; `price`: what the render costs, None if free or not rendered.
    - `adopted`: the digest of a file that is right, but whose present status is not recorded.
    - `pinned`: the digest that the lock demands, empty for none.
    - `failure`: the last failure of this request, None if there was none since the output succeeded.
    - `copy`: the path and the digest of a file that holds the image: another output that the lock pins, or a blob of
      the store that no action result names.
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
    copy: tuple[str, str] | None = None
    failure: Failure | None = None

    @property
    def before(self) -> Mapping[str, Any] | None:
        """The request of the present output, if the request changed and the old one is known."""
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # the record is damaged
            key, earlier = self.was or ("", None)
            return request_fields(earlier.text(key)) if earlier else None
        return None

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, such as `prompt changed: -red +blue`."""
        text = self._reason
        return f"{text}; its seed is not drawn yet" if self.action.is_seed_random and self.verdict is _RENDER else text

    @property
    def _reason(self) -> str:
        before = self.before
        if before is None:
            return self.cause or "its request changed"
        request = self.action.request.as_dict()
        if self.action.is_seed_random:  # another seed follows from another request
            request |= {name: before[name] for name in ("seed", "label") if name in before}
        difference = summary(before, request)
        if is_same(before, request):  # only the image of an emulator has another key than its request
            difference = PINNED if self.action.emulated else EMULATED
        return f"{difference}; {self.cause}" if self.cause else difference


@dataclass(frozen=True, slots=True, order=True)
class Orphan:
    """An output that no spec declares any more. `edited`: it is not what qwenbuild wrote.

    `is_pointer`: it is a Git LFS pointer in place of an image.
    `pinned` is set if only the lock knows it, as in a clone: the record that the state is to have.
    """

    path: str
    name: str  # the cell that it was made for
    edited: bool
    pinned: Output | None = field(default=None, compare=False, repr=False)
    is_pointer: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class BillLine:
    """What the renders of one model cost: how many there are, and the price of each."""

    model: str
    renders: int
    each: Price

    @property
    def total(self) -> Price:
        """The price of all these renders."""
        return Price(self.each.amount * self.renders, self.each.currency)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the specs, and orphans.

    - `shortest_s`: the least time that the renders can take, in seconds.
    - `inputs`: files and folders that the steps depend on, including missing ones.
    - `actions`: all actions of the project, whatever was selected.
    - `records`: the state's outputs by path; `lock`: the lock that the actions were compared with.
    - `warnings`: warnings about the remote cache. `has_remote`: a remote cache was asked.
    - `of_stars`: what to say about starred cells; see `stars`. `without_key`: about providers that lack an API key.
    - `remarks`: what specs say but most likely do not mean, as far as `lint.quick_remarks` sees it.
    - `uses`: what the command line gives, and which outputs depend on it.
    - `strays`: accepted submissions whose images no spec asks for any more. They are paid for, so a
      build collects them into the store.
    """

    steps: Sequence[Step]
    orphans: Sequence[Orphan] = ()
    shortest_s: float = 0.0
    inputs: Sequence[Path] = field(default=(), repr=False)
    actions: Sequence[Action] = field(default=(), repr=False)
    records: Mapping[str, Output] = field(default_factory=dict, repr=False)
    lock: Lock = field(default_factory=Lock, repr=False)
    warnings: Sequence[Problem] = ()
    has_remote: bool = False
    uses: VariableUses = field(default_factory=VariableUses, repr=False)
    strays: Sequence[Submission] = ()
    of_stars: Sequence[Problem] = ()
    without_key: Sequence[Problem] = ()
    remarks: Sequence[Remark] = ()

    def count(self, verdict: Verdict) -> int:
        """Return the number of steps with this verdict."""
        return sum(step.verdict is verdict for step in self.steps)

    @property
    def renders(self) -> list[Step]:
        """The steps with verdict RENDER: one for each distinct request."""
        return [step for step in self.steps if step.verdict is _RENDER]

    @property
    def pointers(self) -> int:
        """The number of outputs that a Git LFS pointer keeps from being what they should be."""
        held = (Verdict.MISSING, Verdict.EDITED)
        return sum(step.cause == POINTER and step.verdict in held for step in self.steps)

    @property
    def advice(self) -> list[Problem]:
        """What to do about a missing API key, and about images: lacking, dearer than their own budget, or starred."""
        found = lacking.problem(self.count(Verdict.MISSING), self.pointers, has_remote=self.has_remote)
        return [*self.without_key, *([found] if found else []), *self._over_budget, *self.of_stars]

    @property
    def costly(self) -> list[Problem]:
        """What a build says before it pays, such as axes that change no request."""
        return [remark.problem for remark in self.remarks if remark.rule in COSTLY] if self.cost else []

    @property
    def _over_budget(self) -> Iterator[Problem]:
        images: dict[str, list[Step]] = {}
        for step in self.renders:
            if step.price and step.action.declaration.image.max_cost is not None:
                images.setdefault(step.action.declaration.name, []).append(step)
        for name, steps in images.items():
            declaration = steps[0].action.declaration
            limit, place = declaration.image.max_cost, declaration.place("max_cost")
            for currency, amount in Price.by_currency(step.price for step in steps).items():
                if limit is not None and amount > limit:
                    claim = f"the {len(steps):,} renders of {name} cost {amount:.2f} {currency}, more than its max_cost"
                    yield Problem(
                        claim,
                        place,
                        hint="a build stops before the first one that would pass it",
                        name="over-image-budget",
                    )

    @property
    def uncollected(self) -> list[Submission]:
        """The accepted requests whose results the service will forget, the first to expire first."""
        waiting = [*(step.submission for step in self.steps if step.verdict is Verdict.REATTACH), *self.strays]
        found = {it.key: it for it in waiting if it and it.handle and not it.is_held and it.expires_at_s is not None}
        return sorted(found.values(), key=lambda it: it.expires_at_s or 0.0)

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

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of `plan --json`, as a JSON-ready table."""
        return {
            "event": "planned",
            **self.counts,
            "strays": len(self.strays),
            "cost": {currency: str(amount) for currency, amount in self.cost.items()},
            "shortest_s": round(self.shortest_s, 3),
            **self.uses.as_dict(),
            **({"expires_at_s": waiting[0].expires_at_s} if (waiting := self.uncollected) else {}),
        }
