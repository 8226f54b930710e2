"""In flight: what a provider and its submissions say about actions, and submissions that no action asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, cached_property

from qwenbuild.provider import accounted
from qwenbuild.request import Submission
from qwenbuild.specs.action import Action
from qwenbuild.storage.lanes import Lane, Lanes
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store


def strays(actions: Iterable[Action], store: Store, lanes: Lanes) -> list[Submission]:
    """Return collectable submissions of the project that no action asks for; `actions` are all of the project's."""
    in_flight = {(it.uid, it.id): it for lane in lanes for it in lane.submissions.own() if lane.can_collect(it)}
    declared = {action.request_key for action in actions} if in_flight else ()
    return [it for it in in_flight.values() if it.key not in declared and not is_done(it, store)]


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
        self.is_paid = accounted(lane.provider) is not None
        self.price = cache(lane.provider.price)
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
