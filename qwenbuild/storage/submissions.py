"""The submissions of a run: recorded in the ledger, and mirrored in the project's state.

Invariants:
- The ledger is written first, on disk. The state's mirror follows, so each file alone can restore the other.
- Submissions that cost nothing are recorded only in the state. Free providers never open the ledger.
- The ledger is the user's own; the state may have come with the project. A submission that only the state has counts
  only if it was made with the present API key, which nobody else can show. Else nothing is polled or downloaded, and
  the ledger gets no row: a link to a stranger's image would put it into the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from qwenbuild.candidates import Search
from qwenbuild.emulation import FACT
from qwenbuild.errors import LedgerError, StateError
from qwenbuild.problems import Problem, plain
from qwenbuild.provider import Price, Provider, accounted, result_life_s
from qwenbuild.request import Request, Submission

from .claims import ASSUMED, ENVIRON, Intent, Row
from .ledger import Ledger
from .ledger_file import FILE
from .ledger_hints import damaged_hint
from .state import State
from .store import Store
from .store_place import named_folder

_UNPROVEN = "an account that nothing shows to be yours"
_MOST_NAMED, _SHOWN = 5, 60  # submissions, and characters of a prompt, in a warning
_ANOTHER = "another"  # stands in `Submission.context` for an account that is not the present one


def ledger_folder(environ: Mapping[str, str], store: Store) -> Path:
    """Return the folder of the user's ledger: `$QWENBUILD_LEDGER_DIR`, else `ledger/` in the store's folder.

    Raises StoreError if the variable names a relative folder.
    """
    return named_folder(environ, ENVIRON) or store.root / "ledger"


class Submissions:
    """The submissions that one run sees and makes. Threads may share it.

    Methods that read or write the ledger raise LedgerError; every method may raise StateError.
    """

    def __init__(self, state: State, folder: Path | None, provider: Provider, project: Path) -> None:
        """`folder` is the ledger's, None for a free provider; `project` is the project's root."""
        self._state, self._folder, self._provider = state, folder, provider.name
        self._accounted, self._life_s = accounted(provider), result_life_s(provider)
        self._account = self._accounted.account() if self._accounted else {}
        self._project: Final = os.path.realpath(project)
        self._ledger: Ledger | None = None
        self._mirroring: list[Callable[[], None]] | None = None  # writes that wait for the ledger's commit
        self.fault: LedgerError | None = None  # why `open` could not read the ledger
        self.unproven: list[Submission] = []  # what `open` found in the state alone, and not made with the present key

    def close(self) -> None:
        """Close the ledger, if it is open. The claims of submissions that are still open end."""
        if self._ledger:
            self._ledger.close()
            self._ledger = None

    def prepare(self) -> None:
        """Become ready to submit: open the ledger, bring ledger and state into step, and become a claimant."""
        if self._folder is None:
            return
        ledger = self._ledger = self._ledger or Ledger(self._folder)
        ledger.prepare()
        mirrored = [it for it in self._state.open_submissions() if it.uid and it.provider == self._provider]
        outcomes = ledger.outcomes(it.uid for it in mirrored)
        for it in mirrored:
            outcome = outcomes.get(it.uid)
            if outcome is not None:
                self._state.settle_mirror(it.uid, outcome)
            elif it.uid not in outcomes and self._is_proven(it):
                intent = Intent(it.key, it.request, it.provider, self._project, it.cell, it.context, it.forced)
                ledger.restore(intent, it.uid, it.handle, it.intended_at_s)
        handles = {it.uid: it.handle for it in mirrored}
        for row in ledger.rows_of(self._project):
            if handles.get(row.uid) != row.handle:  # the state lacks the row, or what a full disk kept from it
                self._state.mirror(self._submission(row))

    # --- reading ---

    def mirrored(self) -> list[Submission]:
        """Return the open submissions of this project by its state. Never opens the ledger."""
        return [self._judged(it) for it in self._state.open_submissions()]

    def open(self) -> list[Submission]:
        """Return the open submissions of all projects. If the ledger can't be read: of this one, and `fault` is set.

        Their ids are unique; those of submissions that only the state has are negative.
        """
        mirrored = self.mirrored()
        try:
            ledger = self._readable()
            if ledger is None:
                return self._judged_alone(mirrored)
            rows = ledger.open_rows()
            known = ledger.outcomes(it.uid for it in mirrored)
            listed = {row.key for row in rows}
            lost = [replace(it, id=-it.id) for it in mirrored if it.uid not in known and it.key not in listed]
            return [*self._judged_alone(lost), *map(self._submission, rows)]
        except LedgerError as error:
            self.fault = error
            return self._judged_alone(mirrored)

    def own(self) -> list[Submission]:
        """Return the open submissions of this project, and those of projects whose folder is gone.

        The ledger is not opened if the state has runs, but no open submission.
        """
        uids = {it.uid for it in self._state.open_submissions()}
        if not (self._ledger or uids or self._state.last_run() is None):
            return []
        return [it for it in self.open() if not it.project or it.uid in uids or not os.path.isdir(it.project)]

    def since(self, since_s: float) -> list[Submission]:
        """Return the submissions since then (seconds since the epoch) that may have been billed, of all projects."""
        ledger = self._readable()
        if ledger is None:
            return self._state.submissions_since(since_s)
        return [self._submission(row) for row in ledger.rows_since(since_s)]

    def refusal(self, key: str, since_s: float) -> Mapping[str, Any] | None:
        """Return why the service refused the key's last submission for good, None if it was not refused since then."""
        row = self._opened.last_settled(key)
        if row is None or row.refusal is None or (row.settled_at_s or 0) < since_s:
            return None
        here = self._account.get("host")
        if json.loads(row.context).get("host", here) != here:
            return None  # what an emulator refuses, the service may accept
        return dict(json.loads(row.refusal))

    def of_keys(self, keys: Collection[str]) -> dict[str, Submission]:
        """Return the open submissions of these keys, by key."""
        return {row.key: self._submission(row) for row in self._opened.open_rows(keys)}

    @property
    def _opened(self) -> Ledger:
        assert self._ledger is not None, "prepare() comes first"
        return self._ledger

    def _readable(self) -> Ledger | None:
        """Return the ledger, None if there is none to read. Creates nothing. Raises LedgerError."""
        if self._ledger is None and self._folder is not None and (self._folder / FILE).exists():
            self._ledger = Ledger(self._folder, create=False)
        return self._ledger

    # --- writing ---

    @contextmanager
    def durably(self) -> Iterator[None]:
        """Join the writes of the context into one commit. When the context ends, all writes are on disk, or none."""
        if self._ledger is None:
            with self._state.durably():
                yield
            return
        waiting = self._mirroring = []
        try:
            with self._ledger.durably():
                yield
        finally:
            self._mirroring = None
        for write in waiting:
            self._mirror(write)

    def _mirror(self, write: Callable[[], None]) -> None:
        """Write to the state, after the ledger's commit."""
        if self._mirroring is not None:
            self._mirroring.append(write)
            return
        with contextlib.suppress(StateError):  # the next `prepare` writes it
            write()

    def intend(
        self, key: str, request: Request, context: Mapping[str, Any], *, cell: str, forced: bool,
        price: Price | None, replaces: str, is_stored: Callable[[], bool],
    ) -> Submission | None:  # fmt: skip
        """Claim the key, and record that its request is about to be sent; see `Ledger.intend`.

        Returns None, and records nothing, if another build has the key's request or has stored its image.
        """
        if self._ledger is None:
            number = self._state.intend(key, request.as_dict(), self._provider, context, forced=forced)
            return Submission(number, key, request, self._provider, "", context, time.time(), forced)
        amount, currency = (price.amount, price.currency) if price else (None, "")
        context = {**context, ASSUMED: True} if price and price.is_assumed else context
        intent = Intent(
            key, request, self._provider, self._project, cell, context, forced, amount, currency, replaces
        )  # fmt: skip
        row = self._ledger.intend(intent, is_stored)
        if not isinstance(row, Row):
            return None
        submission = self._submission(row)
        if replaces:
            self._mirror(lambda: self._state.settle_mirror(replaces, "resubmitted"))
        self._mirror(lambda: self._state.mirror(submission))
        return submission

    def take(self, submission: Submission) -> Submission | None:
        """Claim an open submission, to collect its image.

        Returns None if another build has claimed it, if it was settled meanwhile, or if it can't be collected: it has
        no handle, or is of another account.
        """
        if self._ledger is None or not submission.uid:
            return None if submission.elsewhere else submission
        row = self._ledger.take(submission.uid)
        taken = self._submission(row) if isinstance(row, Row) else None
        if taken and taken.elsewhere:
            self._ledger.release(taken.uid)
            return None
        return taken

    def accept(self, submission: Submission, handle: str, emulated_by: str = "") -> None:
        """Record the handle with which the provider can collect the image: see `Ledger.accepted`."""
        if self._ledger is None or not submission.uid:
            self._state.accepted(submission.id, handle)
            return
        self._ledger.accepted(submission.uid, handle, emulated_by)
        context = {**submission.context, **({FACT: emulated_by} if emulated_by else {})}
        self._mirror(lambda: self._state.mirror(replace(submission, handle=handle, context=context)))

    def settle(self, submission: Submission, outcome: str) -> None:
        """Close a submission: `done`, or `refused` (nothing was billed)."""
        if self._ledger is None or not submission.uid:
            self._state.settle(submission.id, outcome)
            return
        self._ledger.settle(submission.uid, outcome)
        self._mirror(lambda: self._state.settle_mirror(submission.uid, outcome))

    def adopt(self, submission: Submission, handle: str) -> Submission | None:
        """Give a submission with a lost answer a task's handle; return the submission that has it: see `Ledger`."""
        if self._ledger is None or not submission.uid:
            self._state.accepted(submission.id, handle)
            return replace(submission, handle=handle)
        row = self._ledger.adopt(submission.uid, handle)
        owner = None if row is None else self._submission(row)
        if owner and owner.uid == submission.uid:
            self._mirror(lambda: self._state.mirror(owner))
        return owner

    def settle_unbilled(self, submission: Submission) -> bool:
        """Close a submission with a lost answer that was not billed; return False if it has changed: see `Ledger`."""
        if self._ledger is None or not submission.uid:
            self._state.settle(submission.id, "refused")
            return True
        if is_settled := self._ledger.settle_unbilled(submission.uid):
            self._mirror(lambda: self._state.settle_mirror(submission.uid, "refused"))
        return is_settled

    def remember(self, searched: Iterable[Submission]) -> None:
        """Record what a list of tasks says about submissions, so that plans show it."""
        if self._ledger is not None:
            self._ledger.remember({it.uid: it.search.as_dict() for it in searched if it.uid and it.search})

    def release(self, submission: Submission) -> None:
        """End the claim of a submission that stays open, so that another build can collect it."""
        if self._ledger is not None and submission.uid:
            self._ledger.release(submission.uid)

    def explain(self, submission: Submission, refusal: Mapping[str, Any]) -> None:
        """Record why the service refused a submission for good, for builds that wait for its outcome."""
        if self._ledger is not None and submission.uid:
            self._ledger.explain(submission.uid, refusal)

    # --- accounts ---

    @property
    def host(self) -> str:
        """The host of the service that the provider uses; empty if it uses none."""
        return self._account.get("host", "")

    def warnings(self) -> Sequence[Problem]:
        """Return the ledger's `fault`, and a warning that names what is `unproven`, with the next step."""
        faults = self.fault.problems if self.fault else ()
        if not self.unproven:
            return faults
        count = len(self.unproven)
        what = "1 submission that was" if count == 1 else f"{count:,} submissions that were"
        claim = f"the project's state has {what} not made with your API key: left alone"
        facts = [
            f"{it.request.model} {it.request.size} seed {it.request.seed}: {plain(it.request.prompt)[:_SHOWN]}"
            for it in self.unproven[:_MOST_NAMED]
        ]
        hint = "if you sent it, build with the key of then; if it came with the project, `--resubmit` renders the image"
        return [*faults, Problem(claim, facts=tuple(facts), hint=hint, name="unproven-submission")]

    def _submission(self, row: Row) -> Submission:
        ledger = self._opened
        try:
            context, request = dict(json.loads(row.context)), Request.from_dict(json.loads(row.request))
            search = None if row.search is None else Search.from_dict(json.loads(row.search))
        except (ValueError, KeyError, TypeError) as error:
            claim = f"{ledger.path}: row {row.id} is damaged: {error}"
            raise LedgerError(claim, hint=damaged_hint(ledger.path), name="ledger-damaged") from error
        here = self._account.get("account", "")
        if row.account:
            context["account"] = here if row.account == ledger.digest(here) else _ANOTHER
        project = "" if row.project == self._project else row.project
        found = Submission(
            row.id, row.key, request, row.provider, row.handle, context, row.intended_at_s, bool(row.forced),
            row.uid, project, row.cell, ledger.is_held(row), search=search,
        )  # fmt: skip
        return self._judged(found)

    def _judged_alone(self, submissions: Iterable[Submission]) -> list[Submission]:
        """Return submissions that only the state has; those that are not proven belong to another account."""
        found = [
            it if self._is_proven(it) else replace(it, elsewhere=it.elsewhere or _UNPROVEN, forced=False)
            for it in submissions
        ]
        self.unproven = [it for it in found if it.elsewhere and it.provider == self._provider]
        return found

    def _is_proven(self, submission: Submission) -> bool:
        """Whether a submission that only the state has was made here: with the present API key, if one is needed.

        Every version of qwenbuild records the key's fingerprint. Nobody who lacks the key can know the fingerprint.
        """
        here = self._account.get("account")
        is_made_here = bool(here) and submission.context.get("account") == here
        return submission.provider == self._provider and (is_made_here or self._accounted is None)

    def _judged(self, submission: Submission) -> Submission:
        """Return the submission; `elsewhere` names its account if that is not the present one. Results expire."""
        here, there = self._account, submission.context
        if submission.provider == self._provider and submission.handle and self._life_s:
            submission = replace(submission, expires_at_s=submission.intended_at_s + self._life_s)
        if submission.provider != self._provider or not (here.get("account") and there.get("account")):
            return submission
        if submission.handle and self._accounted and not self._accounted.needs_account(submission.handle):
            return submission
        if all(there.get(name) == here.get(name) for name in ("host", "region", "account")):
            return submission
        key = "the same API key" if there["account"] == here["account"] else "another API key"
        return replace(submission, elsewhere=f"{there.get('host')} ({there.get('region')}), {key}")
