"""The judge: gives each action its verdict, and finds orphans."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import cached_property, partial
from pathlib import Path

from qwenbuild import request as requests
from qwenbuild.errors import WrongSize
from qwenbuild.files.paths import clash_key
from qwenbuild.noop_answers import local_time
from qwenbuild.options import Options
from qwenbuild.request import Request, Submission
from qwenbuild.routes import Choice
from qwenbuild.specs.action import Action
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.lanes import Lanes
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.outputs import POINTER, Status, digest, is_unchanged, is_untouched, pointed, status
from qwenbuild.storage.past_requests import PastRequests
from qwenbuild.storage.records import Failure, Output
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store, second_key

from .emulation import EMULATED, PINNED, AddressOf, keys_of, nowhere, shows_unmarked, with_emulated_keys
from .in_flight import LaneView
from .ownership import Ownership, pinned_outputs
from .plan import _MISSING, _RENDER, _UP_TO_DATE, Orphan, Step, Verdict

_STRANGE = "a file that qwenbuild did not write is in its place"

# Makes the same object as `Step(...)`, from a tuple of all fields: row cold-plan takes 5 % less.
_step = partial(tuple.__new__, Step)


def with_known_keys(
    actions: Sequence[Action], lock: Lock, state: State, store: Store, address_of: AddressOf = nowhere
) -> Sequence[Action]:
    """Return the actions under the keys that their requests were recorded with, even by an earlier key schema.

    The lock is asked first, then the state, then the store. A request that none of them knows gets the
    present schema's key. So a new schema causes no renders, and changes no lock. If the emulator at an action's address
    made the image, the action gets the key of that image.
    """
    if requests.OLDER_KEYS:
        pinned = {pin.key for pins in (lock.pins, lock.theirs or {}) for pin in pins.values()}
        recorded = {it.key for it in state.outputs().values()} | {it.key for it in state.open_submissions()}
        sources: Sequence[Callable[[str], object]] = (pinned.__contains__, recorded.__contains__, store.lookup)

        def known(request: Request, address: str) -> str:
            keys = [request.key, *request.older_keys]
            found = (key for is_known in sources for key in keys if any(map(is_known, keys_of(key, address))))
            return next(found, request.key)

        actions = [action._replace(key=known(action.request, address_of(action))) for action in actions]
    if address_of is nowhere:
        return actions
    return with_emulated_keys(actions, address_of, lock, state.outputs(), store)


def judge(
    actions: Sequence[Action], out: Path, records: Mapping[str, Output], state: State, store: Store,
    lanes: Lanes, options: Options, lock: Lock | None = None,
) -> list[Step]:  # fmt: skip
    """Return a step for each action, in order. `records` are the state's outputs.

    The submissions of `lanes` are asked for those of other projects only if an image is missing.
    """
    unknown = {action.key for action in actions}
    unknown.difference_update([record.key for record in records.values()])
    absent = store.absent(unknown)
    judged = _Judge(out, records, absent, state, store, lanes, options, lock or Lock())
    return [judged.step(action) for action in actions]


def orphans(actions: Iterable[Action], out: Path, records: Mapping[str, Output], lock: Lock) -> list[Orphan]:
    """Return the outputs of state and lock that still exist and that no action declares.

    `actions` are all of the project's. A clone has only the lock's. What another profile made is no orphan.
    """
    declared = {*(action.output for action in actions), *lock.others}
    candidates = [(path, record) for path, record in records.items() if path not in declared]
    folded = {clash_key(path): path for path in declared} if candidates else {}
    found = []
    for path, record in candidates:
        seen = status(out / path)
        # A file system that folds `A.png` and `a.png` shows the output of a declared cell under its former spelling.
        now = status(out / folded[clash_key(path)]) if seen and clash_key(path) in folded else None
        if seen is not None and not (now and (now.st_dev, now.st_ino) == (seen.st_dev, seen.st_ino)):
            is_edited = not is_unchanged(out / path, record, seen)
            found.append(Orphan(path, record.name, is_edited, None, is_edited and bool(pointed(out / path, seen))))
    others = [pin for path, pin in lock.every.items() if path not in declared and path not in records]
    for it, is_own in pinned_outputs(others, out):
        found.append(Orphan(it.path, it.name, not is_own, it, not is_own and bool(pointed(out / it.path, it))))
    return sorted(found) if others else found


class _Judge:
    """Gives verdicts, one action after another; knows which keys an earlier step of the plan renders."""

    def __init__(
        self, out: Path, records: Mapping[str, Output], absent: Set[str], state: State, store: Store,
        lanes: Lanes, options: Options, lock: Lock,
    ) -> None:  # fmt: skip
        self._out, self._store, self._options, self._lock = str(out), store, options, lock
        self._records, self._earlier = records, PastRequests(state)
        self._absent = absent  # keys that are certainly not in the store
        self._lanes, self._state = lanes, state
        self._views: dict[Choice, LaneView] = {}
        self._ownership = Ownership(records, lock, state, store)
        self._looked_up: tuple[str, Entry | None] = "", None
        self._failures = {(it.path, it.key): it for it in state.failures()}
        self._first: dict[str, Step] = {}
        self._folders: dict[str, bool] = {}  # whether each folder of outputs exists

    def _lane(self, action: Action) -> LaneView:
        """Return what the provider of an action knows."""
        choice = action.choice
        if choice not in self._views:
            self._views[choice] = LaneView(self._lanes.of(choice), self._state, self._store)
        return self._views[choice]

    def step(self, action: Action) -> Step:
        step = self._step(action)
        if not self._failures or step.failure or step.verdict is _UP_TO_DATE:
            return step
        return step._replace(failure=self._failures.get((action.output, action.key)))

    def _step(self, action: Action) -> Step:
        output, key = action.output, action.key
        record, path = self._records.get(output), f"{self._out}/{output}"
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._folders[folder] = status(folder) is not None
        seen: Status | None = status(path) if self._folders[folder] else None
        if record and seen and is_untouched(record, seen):
            seen = record  # the record has the same values, and is in memory anyway
        forced = self._options.force or action.request_key in self._lane(action).replaced
        pin = None if forced else self._lock.pinned(output, key)
        pinned = pin.image if pin else ""  # the digest that the lock demands; empty if any will do
        if seen is None:
            cause = "output deleted" if record and record.key == key else "never rendered"
        elif record and (seen is record or is_unchanged(path, record, seen)):
            if record.key != key:
                cause = ""
            elif forced:
                cause = "forced"
            elif pinned and record.image != pinned:
                cause = "the lock pins other bytes"
            elif key in self._lane(action).doubtful and shows_unmarked(path):
                cause, pinned = EMULATED, ""
            else:
                adopted = "" if seen is record else record.image
                nothing = (None, None, None)
                return _step((action, _UP_TO_DATE, "up to date", None, seen, *nothing, adopted, "", *nothing))
        else:
            return self._unrecorded(action, record, path, seen, pinned, forced=forced)
        was = (self._earlier.add(record.key), self._earlier) if record and record.key != key else None
        return self._make(action, seen, "" if was else cause, was, pinned, forced=forced)

    def _unrecorded(
        self, action: Action, record: Output | None, path: str, seen: Status, pinned: str, *, forced: bool
    ) -> Step:
        """Return the step of an output whose file is not the one of its `record`, if it has a record."""
        output, key = action.output, action.key
        entry, image, target = self._entry(key, pinned), digest(path, seen), pointed(path, seen)
        if not (pinned or entry):  # the file may be an image of another size that the user took
            entry = self._any_entry(key)
        wanted = pinned or (entry.image if entry else "")
        was = None
        if image and image == wanted:
            if not forced and not (self._lane(action).is_paid and shows_unmarked(path)):
                return Step(action, Verdict.UP_TO_DATE, "up to date", seen=seen, adopted=wanted)
            cause, pinned = ("forced", pinned) if forced else (EMULATED, "")
        elif target and target in (pinned, entry and entry.image):
            cause = POINTER
        elif own := self._ownership.outdated(output, key, path, image):
            before, request = own
            cause = "the lock pins other bytes" if before == key else ""
            was = None if before == key else (self._earlier.add(before, request), self._earlier)
        elif self._options.overwrite and stat.S_ISREG(seen.st_mode):
            cause = "overwrites an edited file"
        else:
            why = POINTER if target else self._edited(record, seen, image)
            return Step(action, Verdict.EDITED, why, seen=seen)
        return self._make(action, seen, cause, was, pinned, forced=forced)

    def _entry(self, key: str, pinned: str) -> Entry | None:
        """Return the store's entry. If the lock pins bytes, an entry with other bytes needs `relock`.

        An image of another size than asked for needs the lock, or `accept_size`.
        """
        entry = self._any_entry(key)
        if pinned and entry and entry.image == pinned:
            return entry
        if entry and entry.other_size and not self._options.accept_size:
            entry = None
        if not pinned:
            return entry
        pin = self._store.lookup(second_key(key, pinned), any_size=True)
        return pin or (entry if self._options.relock else None)

    def _any_entry(self, key: str) -> Entry | None:
        """Return the store's entry, of whatever size. Each step asks twice."""
        if key != self._looked_up[0]:
            self._looked_up = key, None if key in self._absent else self._store.lookup(key, any_size=True)
        return self._looked_up[1]

    def _make(
        self, action: Action, seen: Status | None, cause: str, was: tuple[str, PastRequests] | None, pinned: str,
        *, forced: bool,
    ) -> Step:  # fmt: skip
        """Return the step of an output that must be made: from the store, from the service, or by a render."""
        key = action.key
        entry = None if forced else self._entry(key, pinned)
        if entry:
            if entry.other_size:
                cause = f"made in another size: {entry.other_size}, not {action.size}"
                was = None
            elif cause == "never rendered":
                cause = "rendered before"
            return Step(action, Verdict.RESTORE, cause, was, seen, entry, pinned=pinned)
        first = self._first.get(key)
        # A paid render for another output, with no pin or another pin, does not give the bytes that this pin demands.
        if first and not (pinned and pinned != first.pinned and first.verdict is _RENDER and self._is_held(action)):
            verdict = Verdict.UNKNOWN if first.verdict is Verdict.UNKNOWN else Verdict.RESTORE
            return Step(action, verdict, f"same request as {first.action.name}", None, seen, pinned=pinned)
        if not forced and (copy := self._ownership.copy_of(action.output, key, pinned, self._out)):
            cause = f"its image is at {copy[0]}"
            return Step(action, Verdict.RESTORE, cause, was, seen, pinned=pinned, copy=copy)
        lane = self._lane(action)
        may_be_emulated = bool(lane.address) and not action.emulated
        # What gives the same bytes is rendered again: looking it up would take longer.
        is_sought = not forced and self._gives_other_bytes(action)
        for it in (action, *([action.made_by(lane.address)] if may_be_emulated else [])) if is_sought else ():
            if kept := self._ownership.kept(it.key, pinned):
                cause = "rendered before" if cause == "never rendered" else cause
                return Step(it, Verdict.RESTORE, cause, was, seen, pinned=pinned, copy=kept)
        step = self._missing(action, seen, cause, was, pinned)
        if step.verdict not in (_MISSING, Verdict.FAILED):
            self._first[key] = step
        return step

    def _is_held(self, action: Action) -> bool:
        """Whether no render may replace pinned bytes, because it would give other bytes."""
        return self._gives_other_bytes(action) and not self._options.relock

    def _gives_other_bytes(self, action: Action) -> bool:
        """Whether another render of an action's request would give other bytes: what costs money always does."""
        lane = self._lane(action)
        return not lane.is_repeatable or lane.price(action.model.name, action.size) is not None

    def _missing(
        self, action: Action, seen: Status | None, cause: str, was: tuple[str, PastRequests] | None, pinned: str
    ) -> Step:
        """Return the step of an action whose bytes are not in the store."""
        lane = self._lane(action)
        submission = lane.in_flight.get(action.request_key)
        is_real = bool(submission and submission.emulated_by in ("", lane.address))
        if submission and submission.is_held and self._options.force:
            submission = None  # the build waits for the other one, then renders its own
        if submission and (submission.is_held or (is_real and submission.handle and not submission.elsewhere)):
            cause = _held(submission) if submission.is_held else "submitted by an earlier build"
            return Step(action, Verdict.REATTACH, cause, None, seen, None, submission, pinned=pinned)
        if submission and is_real and not self._options.resubmit:
            cause = unknown_cause(submission, "an earlier build")
            return Step(action, Verdict.UNKNOWN, cause, None, seen, None, submission, pinned=pinned)
        price = lane.price(action.model.name, action.size)
        if pinned and lane.is_paid and shows_unmarked(self._store.blob_path(pinned)):
            cause, pinned = PINNED, ""
        if pinned and self._is_held(action):
            cause = cause if cause == POINTER else "the lock pins bytes that are not in the store"
            return Step(action, _MISSING, cause, None, seen, None, submission, price, pinned=pinned)
        if failure := self._final(action):
            return Step(action, Verdict.FAILED, f"not sent again: {failure.reason}", None, seen, pinned=pinned,
                        failure=failure)  # fmt: skip
        if submission and is_real:
            cause = "may have been billed before; sent again"
        elif cause == "output deleted":
            cause = "output deleted, and no longer in the store"
        return _step((action, _RENDER, cause, was, seen, None, submission, price, "", pinned, None, None, None))

    def _final(self, action: Action) -> Failure | None:
        """Return the failure for which the request is not sent again; None if it may be sent."""
        if self._options.retry_failed or self._options.force:
            return None
        if (entry := self._any_entry(action.key)) and entry.other_size:
            is_free = not self._lane(action).is_paid
            wrong = WrongSize.kept(action.size, entry.other_size, is_free=is_free)
            return Failure.of(wrong, action.output, action.key)
        host = self._lane(action).host
        return next((it for it in self._final_failures.get(action.key, ()) if it.host == host), None)

    @cached_property
    def _final_failures(self) -> Mapping[str, Sequence[Failure]]:
        """The failures of requests that are not sent to their service again, by key."""
        found: dict[str, list[Failure]] = {}
        for failure in self._failures.values():
            if failure.is_final:
                found.setdefault(failure.key, []).append(failure)
        return found

    def _edited(self, record: Output | None, seen: Status, image: str) -> str:
        """Return why a file is kept; `image` is the digest of its bytes."""
        if stat.S_ISREG(seen.st_mode):
            if cell := self._ownership.cell_of(image):
                return f"it holds the image of {cell}"
            return "changed by hand since it was written" if record else _STRANGE
        kinds = {stat.S_IFDIR: "folder", stat.S_IFLNK: "symbolic link"}
        return f"a {kinds.get(stat.S_IFMT(seen.st_mode), 'special file')} is in its place"


def unknown_cause(submission: Submission, sender: str) -> str:
    """Return why the image of an open submission can't be collected; `sender` is who sent the request."""
    if submission.handle:
        return f"it was submitted to {submission.elsewhere}: only that account can collect it"
    return f"{sender} sent it and lost the answer: it may have been billed"


def _held(submission: Submission) -> str:
    since = local_time(submission.intended_at_s)
    return f"being rendered by {submission.project or 'another build of this project'} since {since}"
