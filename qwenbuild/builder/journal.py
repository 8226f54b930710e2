"""The journal of one request: records what happens to the request among the run's submissions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from qwenbuild.errors import LedgerError, ProviderError, Refused, StateError
from qwenbuild.events import Delayed, Emit
from qwenbuild.plan.in_flight import is_done
from qwenbuild.plan.plan import Step
from qwenbuild.provider import Detached, Provider, Stopped, resumable
from qwenbuild.request import Request, Submission
from qwenbuild.storage.store import Store
from qwenbuild.storage.submissions import Submissions

from .commits import Commits
from .keep import stored
from .run import Run

SHOWN_S: Final = 3.0
"""A request that is delayed for less than this is not reported."""


def settle_stored(submissions: Submissions, store: Store) -> None:
    """Settle the submissions whose image is in the store already. Only a crash leaves them open."""
    for submission in submissions.open():
        if not submission.is_held and is_done(submission, store):
            submissions.settle(submission, "done")


class Elsewhere(Stopped):
    """Another build has sent the request of this key: it renders the image, left it, or has stored it by now.

    A kind of Stopped, because providers let Stopped pass.
    """


class RunJournal:
    """`provider.Journal` among the submissions of a run, for all submissions of one request.

    `handle` belongs to the open submission; empty if the service has not accepted it. `unbilled` is True
    while nothing that was sent can have been billed. If the render is cancelled during a write, the
    write is completed.
    """

    def __init__(
        self, run: Run, commits: Commits, key: str, request: Request, is_closed: Callable[[], bool], *,
        step: Step | None = None, collected: Submission | None = None, start: Callable[[], None] | None = None,
        emit: Emit | None = None,
    ) -> None:  # fmt: skip
        """`step` is the step to render, None for a stray. `collected` is the earlier submission to collect, if any.

        `start` is called once, when the key is claimed, and before a request is sent. `is_closed` returns True once
        the build may send no more requests. `emit` gets the events of delays; by default the run's own `emit`.
        """
        self._run, self._commits, self._key, self._request = run, commits, key, request
        self._is_closed, self._start, self._emit = is_closed, start, emit or run.emit
        self._step, self._open = step, collected
        self.handle = collected.handle if collected else ""
        self.unbilled = True
        self._settled: Submission | None = None  # the submission that was settled last
        self._delayed_s = 0.0  # `time.time()` at the first failure that the provider has told of

    async def intend(self, context: Mapping[str, Any]) -> None:
        """See `provider.Journal`."""
        if self._is_closed():
            raise Stopped
        self._open = await self._claimed(context)
        try:
            self._started()
        except BaseException:  # the request is not sent
            await self.settle("refused")
            raise
        self.unbilled = False

    def _started(self) -> None:
        if self._start:
            self._start()
        self._start = None

    @property
    def is_forced(self) -> bool:
        """Whether an image that was made before is not the one that the user wants: see `own_servers.is_forced`."""
        options, before = self._run.options, self._step.submission if self._step else None
        return options.force or options.retry_failed or bool(before and before.forced)

    async def _claimed(self, context: Mapping[str, Any]) -> Submission:
        """Return the new submission. Raises Elsewhere if another build has the key's request or image."""
        run, step = self._run, self._step
        before = step.submission if step else None
        forced = run.options.force or bool(before and before.forced)
        replaces = before.uid if before else ""
        any_size = not run.options.retry_failed
        any_will_do = not (forced or (step and step.pinned))
        write = self._commits.enqueue(
            run.submissions.intend, self._key, self._request, context, cell=step.action.name if step else "",
            forced=forced, price=step.price if step else None, replaces=replaces,
            is_stored=lambda: bool(any_will_do and step and stored(step.action, run, any_size=any_size)[1]),
        )  # fmt: skip
        try:
            found = await asyncio.shield(write)
        except asyncio.CancelledError:  # nothing was sent; an open submission would be reported as lost
            self._open = await write
            await self.settle("refused")
            raise
        if found is None:
            raise Elsewhere
        return found

    @property
    def model(self) -> str:
        """The model of the request."""
        return self._request.model

    @property
    def provider(self) -> Provider:
        """The provider that renders the request."""
        return self._run.provider

    @property
    def is_waiting(self) -> bool:
        """Whether the request was certainly not sent yet: other providers' journals do not show it."""
        return not self.is_open and resumable(self._run.provider) is not None

    @property
    def is_open(self) -> bool:
        """Whether a request was sent whose end is not known yet."""
        return self._open is not None

    @property
    def submission(self) -> Submission | None:
        """The open submission as it was recorded first, if there is one."""
        return self._open

    async def accepted(self, handle: str, *, emulated_by: str = "") -> None:
        """See `provider.Journal`.

        If the handle can't be written, the image is fetched nevertheless: it is paid for, and there may
        be no later chance.
        """
        self.handle = handle
        detach = self._run.options.detach
        try:
            await self._write(partial(self._run.submissions.accept, emulated_by=emulated_by), handle)
        except (LedgerError, StateError):
            if detach:
                raise
        if detach:
            raise Detached

    async def refused(self) -> None:
        """See `provider.Journal`."""
        self.unbilled = True
        await self.settle("refused")

    def delayed(self, error: ProviderError, wait_s: float) -> None:
        """See `provider.Journal`. A wait is shown if some seconds pass from the first failure to its end."""
        if self._is_closed() and not self.is_open:  # nothing would be sent after the wait
            raise Stopped
        now_s, step = time.time(), self._step
        self._delayed_s = self._delayed_s or now_s
        if step and now_s + wait_s - self._delayed_s >= SHOWN_S:
            reason = ": ".join([error.claim, *error.facts[:1]])
            self._emit(Delayed(step.action.name, step.action.output, reason, now_s + wait_s))

    async def lost(self) -> None:
        """Forget the handle, which can't be collected any more. The submission stays open."""
        if self._open is not None:
            self.handle = ""
            await self._write(self._run.submissions.accept, "")

    async def settle(self, outcome: str) -> None:
        """Close the open submission, if there is one."""
        if self._open is not None:
            self._settled = self._open
            await self._write(self._run.submissions.settle, outcome)
            self._open, self.handle = None, ""

    async def take(self) -> Submission:
        """Claim the submission to collect, and return it as it is now.

        Raises Elsewhere if another build has taken or settled it, or if it can't be collected any more.
        """
        assert self._open is not None
        taken = await self._commits.enqueue(self._run.submissions.take, self._open)
        if taken is None:
            self._open, self.handle = None, ""
            raise Elsewhere
        self._open, self.handle = taken, taken.handle
        self._started()
        return taken

    async def release(self) -> None:
        """End the claim of a submission that stays open: this build does nothing more for it."""
        if self._open is not None:
            with contextlib.suppress(LedgerError):  # the end of the build releases it
                await asyncio.shield(self._commits.enqueue(self._run.submissions.release, self._open))

    async def explain(self, error: Refused) -> None:
        """Record why the service refused the request for good, for builds that wait for its outcome."""
        if self._settled is not None:
            refusal = {
                "claim": error.claim, "facts": list(error.facts), "hint": error.hint, "code": error.code,
                "is_final": error.is_final,
            }  # fmt: skip
            await asyncio.shield(self._commits.enqueue(self._run.submissions.explain, self._settled, refusal))

    async def _write(self, write: Callable[[Submission, str], None], value: str) -> None:
        """Call `write` with the open submission and a value; cancelling this call does not stop the write."""
        assert self._open is not None, "a provider reported on a request that it did not intend"
        await asyncio.shield(self._commits.enqueue(write, self._open, value))
