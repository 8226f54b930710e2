"""The two ways to a paid image, sync and async: one entered session of the dashscope provider.

Invariants, the provider's side of DESIGN.md, "Never pay twice":
- `Journal.intend` comes before every POST that may be billed, `Journal.accepted` before the first
  poll or download, `Journal.refused` after every answer that says nothing was billed.
- While an intent is open nothing is sent again, whatever error is raised.
- AnswerLost says that an image is UNKNOWN, or, from a handle, that it can't be had any more. Any other
  error raised while a handle stands (BadImage, AccountError, …) leaves the image to a later `collect`.

A handle is `task:ID`, or `result:REQUEST_ID:URL` for a sync answer, whose signed URL is all there is.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qwenbuild.catalogue import Model
from qwenbuild.errors import AnswerLost, BadImage, ProviderError, Refused, Throttled
from qwenbuild.provider import Journal, Rendered
from qwenbuild.request import Request, Submission

from . import error_codes, reconcile, wire
from .client import Client
from .download import Downloads, LinkDead
from .pacing import Pace
from .priority import Priority
from .retry import retrying
from .tasks import LIFE_S, Tasks

_GONE: Final = "it was billed, and can't be had any more; `--resubmit` renders it anew, and pays again"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose; `poll_s` is the longest interval between polls, `first_wait_s` the first retry's.

    `at_once` is how many requests may be with the service at once.
    """

    interface: str
    at_once: int
    poll_s: float
    first_wait_s: float
    download_hosts: tuple[str, ...]


class Renderer:
    """Renders over one `Client`, at each model's pace."""

    def __init__(self, client: Client, choices: Choices, model: Callable[[str], Model]) -> None:
        self._client, self._choices, self._model = client, choices, model
        self.tasks = Tasks(client, choices.poll_s, choices.first_wait_s)
        self._downloads = Downloads(
            client.downloads, client.endpoint, choices.download_hosts, choices.first_wait_s, client.short_s
        )
        self._seats = asyncio.Semaphore(choices.at_once)  # held from the turn until the service's part is done
        self._priority = Priority()
        self._paces: dict[str, Pace] = {}
        self._open: dict[int, Submission] = {}  # creates of this session that may have made a task nobody knows
        self._claimed: set[str] = set()  # tasks that are known to belong to a submission
        self._numbers = itertools.count(-1, -1)  # ids of `_open`, apart from the state's

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Render, as often as the kind of failure is worth it and the journal has nothing open."""
        ledger = _Ledger(journal)
        once = self._render_async if self._choices.interface == "async" else self._render_sync
        async for attempt in retrying(self._choices.first_wait_s, lambda: not ledger.is_open):
            with attempt:
                return await once(request, ledger)
        raise AssertionError("the loop returns or raises")

    def _pace(self, name: str) -> Pace:
        if name not in self._paces:
            model = self._model(name)
            self._paces[name] = Pace(model.submits_per_s, model.concurrent if self._choices.interface == "async" else 0)
        return self._paces[name]

    def _context(self, request: Request) -> dict[str, Any]:
        client = self._client
        return {
            "interface": self._choices.interface,
            "model": request.model,
            "region": client.endpoint.region,
            "host": client.endpoint.host,
            "account": client.account,
        }

    async def _submit(
        self, request: Request, journal: Journal, send: Callable[[Callable[[], None]], Coroutine[Any, Any, wire.Answer]]
    ) -> wire.Answer:
        """Send at the model's pace, between an intent and, where nothing was billed, its withdrawal.

        `send` calls what it is given once the request is sent.
        """
        pace = self._pace(request.model)
        turn_s = await pace.turn()
        with self._priority.sending() as sent:
            await journal.intend(self._context(request))
            try:
                answer = await send(sent)
            except AnswerLost:
                raise
            except ProviderError as error:
                if isinstance(error, Throttled):
                    pace.slower(turn_s, error.retry_after_s)
                await journal.refused()
                raise
        pace.faster()
        return answer

    # --- sync ---

    async def _render_sync(self, request: Request, journal: Journal) -> Rendered:
        async with self._seats:
            body = wire.sync_body(request)
            answer = await self._submit(request, journal, lambda sent: self._client.submit_sync(body, sent))
        result = wire.sync_result(answer)
        if result is None:
            raise _unreadable(answer)
        if not result.url:
            await journal.refused()
            raise error_codes.task_failed(result.code, result.message, request_id=answer.request_id)
        await journal.accepted(f"result:{answer.request_id.replace(':', '')}:{result.url}")
        return await self._download(result.url, request, self._context(request), result.facts, time.time() + LIFE_S)

    # --- async ---

    async def _render_async(self, request: Request, journal: Journal) -> Rendered:
        async with self._pace(request.model).place(), self._seats:
            task_id = await self._create(request, journal)
            await journal.accepted(f"task:{task_id}")
            task = await self.tasks.ended(task_id, time.time() + LIFE_S)
        return await self._image(task, request, self._context(request), journal, time.time() + LIFE_S)

    async def _create(self, request: Request, journal: Journal) -> str:
        """Return the id of a new task; a lost answer is looked up among the account's tasks."""
        number = next(self._numbers)

        def send(sent: Callable[[], None]) -> Coroutine[Any, Any, wire.Answer]:
            # From here on, and no earlier, a task of this prompt may be this one's.
            mine = Submission(number, request.key, request, "", "", self._context(request), time.time())
            self._open[number] = mine
            return self._client.submit_async(wire.async_body(request), sent)

        try:
            answer = await self._submit(request, journal, send)
            task = wire.task(answer)
            if task is None:
                raise _unreadable(answer)
            task_id = task.id
        except AnswerLost as lost:
            task_id = await self._found(self._open[number]) or ""
            if not task_id:  # it stays among the open ones: a task of its prompt may be anybody's
                raise lost from None
        except ProviderError:
            self._open.pop(number, None)
            raise
        self._claimed.add(task_id)
        del self._open[number]
        return task_id

    async def _found(self, mine: Submission) -> str | None:
        """Return the task that a create whose answer was lost has made, None where that is not certain."""
        try:
            found = await reconcile.match(self.tasks, [mine], self._open.values, self._claimed)
        except ProviderError:
            return None
        return found.get(mine.id)

    async def _image(
        self, task: wire.Task, request: Request, context: Mapping[str, Any], journal: Journal, until_s: float
    ) -> Rendered:
        """Return the image of a task that has ended; where its link died, the task is asked for another."""
        for is_last in (False, True):
            if not task.url:
                error = _not_made(task)
                if not isinstance(error, AnswerLost):
                    await journal.refused()
                raise error
            try:
                return await self._download(task.url, request, context, task.facts, until_s)
            except AnswerLost:
                if is_last:
                    raise
            task = await self.tasks.ended(task.id, until_s)
        raise AssertionError("the loop returns or raises")

    # --- both ---

    async def _download(
        self, url: str, request: Request, context: Mapping[str, Any], facts: Mapping[str, Any], until_s: float
    ) -> Rendered:
        """Return the verified image, kept until `until_s`; raises BadImage, or AnswerLost where it is gone."""
        await self._priority.give_way()
        try:
            image = await self._downloads.image(url, request.size)
        except BadImage as bad:
            if not isinstance(bad, LinkDead) and time.time() < until_s:
                raise
            raise AnswerLost("the image was gone before it was downloaded", facts=[bad.claim], hint=_GONE) from None
        known = {name: context[name] for name in ("interface", "region", "model") if name in context}
        return Rendered(image.png, {**known, **facts, "downloaded_from": image.host}, verified=True)

    # --- what a crash left ---

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        """Return the image of an accepted submission; never submits. Raises as the module says."""
        kind, _, handle = submission.handle.partition(":")
        request, context = submission.request, submission.context
        until_s = submission.intended_at_s + LIFE_S
        if kind == "result":
            request_id, _, url = handle.partition(":")
            facts = {"request_id": request_id} if request_id else {}
            return await self._download(url, request, context, facts, until_s)
        self._claimed.add(handle)
        lost: AnswerLost
        try:
            task = await self.tasks.ended(handle, until_s)
            return await self._image(task, request, context, journal, until_s)
        except AnswerLost as error:
            lost = error
        # A new key of the same account sees the account's tasks, so this is asked last.
        if self._is_elsewhere(submission) and time.time() < until_s:
            raise ProviderError(
                "an image in flight was submitted with another key or region",
                facts=[f"submitted to {context.get('host')}, now {self._client.endpoint.host}", f"task: {handle}"],
                hint="build with the key and the region that it was submitted with: it is kept for 24 hours",
            )
        raise lost

    async def reconcile(self, submissions: Sequence[Submission], known: Iterable[Submission]) -> dict[int, str]:
        """Return handles of those whose lost answer matches one of the account's tasks for certain."""
        others = list(known)
        self._claimed.update(one.handle.partition(":")[2] for one in others if one.handle.startswith("task:"))
        wanted = [
            one
            for one in submissions
            if one.context.get("interface") == "async"
            and not self._is_elsewhere(one)
            and time.time() - one.intended_at_s < LIFE_S
        ]
        rivals = [one for one in (*submissions, *others) if not one.handle and one.context.get("interface") == "async"]
        try:
            found = await reconcile.match(self.tasks, wanted, lambda: rivals, self._claimed)
        except ProviderError as error:
            if error.stops_run:
                raise
            found = {}  # they can't be looked up now, and stay UNKNOWN
        self._claimed.update(found.values())
        return {number: f"task:{task_id}" for number, task_id in found.items()}

    def _is_elsewhere(self, submission: Submission) -> bool:
        here = self._context(submission.request)
        return any(submission.context.get(name) != here[name] for name in ("account", "region", "host"))


class _Ledger:
    """A journal that knows whether something that was sent may have been billed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.is_open = False

    async def intend(self, context: Mapping[str, Any]) -> None:
        self.is_open = True
        await self._journal.intend(context)

    async def accepted(self, handle: str) -> None:
        await self._journal.accepted(handle)

    async def refused(self) -> None:
        await self._journal.refused()
        self.is_open = False


def _unreadable(answer: wire.Answer) -> AnswerLost:
    return AnswerLost(
        "the service's answer names neither an image nor an error: it may have been billed",
        facts=[f"status: {answer.status}", f"fields: {', '.join(sorted(map(str, answer.body)))[:200]}"],
        hint="look at the account's bill; `--resubmit` sends it again",
        request_id=answer.request_id,
    )


def _not_made(task: wire.Task) -> ProviderError:
    """Return why a task that has ended has no image."""
    if task.status == "CANCELED":
        return Refused("the task was cancelled", facts=[f"task: {task.id}"], hint="build again to submit it anew")
    if task.status == "FAILED" or task.code:
        return error_codes.task_failed(task.code, task.message, request_id=task.request_id)
    return AnswerLost(
        "a task ended as SUCCEEDED, but names no image: it may have been billed",
        facts=[f"task: {task.id}", f"request id: {task.request_id}"],
        hint="`--resubmit` renders it anew",
    )
