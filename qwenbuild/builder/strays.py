"""Strays: collects images that were accepted earlier and that no spec asks for any more."""

from __future__ import annotations

import asyncio
from functools import partial

from qwenbuild.emulation import emulated_key
from qwenbuild.errors import AnswerLost, QwenbuildError, WrongSize
from qwenbuild.events import Warned
from qwenbuild.provider import Rendered, Stopped, broken, resumable
from qwenbuild.request import Request, Submission
from qwenbuild.storage.action_result import Entry

from .commits import Commits
from .journal import RunJournal
from .keep import keep
from .run import Run
from .workers import Workers


async def keep_sent(
    run: Run, journal: RunJournal, sent_key: str, request: Request, rendered: Rendered, pinned: str, *, forced: bool
) -> tuple[Entry, bytes]:
    """Store an image that was sent for; see `keep`. After WrongSize, it is in the store, and nothing is in flight.

    `sent_key` is the key that was claimed: that of the request, unless its seed was drawn.
    """
    key, alias = request.key, "" if sent_key in (request.key, *request.older_keys) else sent_key
    if not alias:
        key = sent_key
    if rendered.emulated_by:
        key, alias = (emulated_key(it, rendered.emulated_by) if it else "" for it in (key, alias))
    try:
        return await asyncio.to_thread(
            keep, run.store, run.provider.name, key, request, rendered,
            pinned=pinned, forced=forced, accept_size=run.options.accept_size, alias=alias,
        )  # fmt: skip
    except WrongSize:
        await journal.settle("done")
        raise


class Strays:
    """The strays of one provider in a build. `collected` is the number of images that are in the store now."""

    def __init__(self, run: Run, commits: Commits, workers: Workers) -> None:
        self._run, self._commits, self._workers = run, commits, workers
        self.collected = 0

    async def collect(self, stray: Submission) -> None:
        """Collect an image that no spec asks for: it is paid for, and a spec may ask for it again."""
        service = resumable(self._run.provider)
        assert service is not None, "only a resumable provider has strays, see `in_flight.strays`"
        is_closed = partial(self._workers.is_given_up, self._run.provider)
        journal = RunJournal(self._run, self._commits, stray.key, stray.request, is_closed, collected=stray)
        try:
            taken = await journal.take()
            rendered = await self._workers.until_stopped(service.collect(taken, journal), journal)
            await keep_sent(self._run, journal, stray.key, stray.request, rendered, "", forced=stray.forced)
            await journal.settle("done")
            self.collected += 1
        except Stopped:
            pass
        except QwenbuildError as error:  # unless the answer is lost for good, a later build tries again
            if isinstance(error, AnswerLost):
                await journal.lost()
            self._run.emit(Warned(error.problems))
            if error.stops_run:
                self._workers.give_up(self._run.provider, error.claim)
        except Exception as error:  # a plugin's mistake must not end the others
            self._run.emit(Warned(broken(self._run.provider.name, error).problems))
        await journal.release()
