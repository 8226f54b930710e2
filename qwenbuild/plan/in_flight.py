"""In flight: what a provider and its submissions say about actions, and submissions that no action asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from functools import cache, cached_property, partial

from qwenbuild.own_servers import is_repeatable
from qwenbuild.problems import Problem
from qwenbuild.provider import accounted, price_of
from qwenbuild.request import Submission
from qwenbuild.storage.lanes import Lane
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

InFlight = Iterable[tuple[Submission, Lane | None]]
"""Submissions of the project, each with the lane that can collect it: see `Lanes.collected_by`."""


def strays(in_flight: InFlight, declared: Set[str], store: Store) -> list[Submission]:
    """Return collectable submissions that no action asks for; `declared` are the keys of all of the project's."""
    return [it for it, lane in in_flight if lane and it.key not in declared and not is_done(it, store)]


def uncollectable(in_flight: InFlight, declared: Set[str]) -> list[Problem]:
    """Return a problem if accepted requests of this project are of a provider or a region that no image uses now.

    `declared` are the keys that the project's images ask for: what is in flight for them is told beside them.
    """
    left = [
        it for it, lane in in_flight if lane is None and it.handle and not it.is_held and it.key not in declared
    ]  # fmt: skip
    if not left:
        return []
    first, count = left[0], "1 image is" if len(left) == 1 else f"{len(left):,} images are"
    where = f"{first.provider} {first.context.get('region', '')}".strip()
    region = f" --region {first.context['region']}" if first.context.get("region") else ""
    hint = f"`qwenbuild build --provider {first.provider}{region}` collects what that account made"
    claim = f"{count} in flight at a provider that no image uses now: not collected"
    return [
        Problem(
            claim, facts=(f"such as {first.cell or first.key[:12]}: {where}",), hint=hint, name="in-flight-elsewhere"
        )
    ]


def is_done(submission: Submission, store: Store) -> bool:
    """Whether an open submission's image is in the store already, because a crash came before it was settled.

    False for a forced submission: it replaces the stored image, so the store's entry may be older.
    """
    keys = () if submission.forced else submission.image_keys
    return any(store.lookup(key, any_size=True) for key in keys)


class LaneView:
    """What a provider, and its submissions, say about the actions that it renders."""

    def __init__(self, lane: Lane, state: State, store: Store) -> None:
        self._submissions, self._store = lane.submissions, store
        self.address, self.host = lane.address, lane.submissions.host
        self.is_paid, self.is_repeatable = accounted(lane.provider) is not None, is_repeatable(lane.provider)
        self.price = cache(partial(price_of, lane.provider))
        # Keys whose image an emulator may have made for an older version, which took no notice of that.
        self.doubtful = state.keys_sent_to_this_machine() if self.is_paid else frozenset()
        # Keys whose stored image an earlier forced build of this project is about to replace. The state has them, but
        # after a kill it may lag behind the ledger.
        forced = {it.key for it in self._submissions.mirrored() if it.forced and it.emulated_by in ("", self.address)}
        self.replaced = {key for key in forced if (it := self.in_flight.get(key)) and it.forced and it.handle}

    @cached_property
    def in_flight(self) -> Mapping[str, Submission]:
        """The open submissions of all projects by key. Images that are in the store already are left out."""
        return {it.key: it for it in self._submissions.open() if not is_done(it, self._store)}
