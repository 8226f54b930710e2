"""Rendering: submits a request through the sync or async interface and returns the verified image.

Invariants, this package's part of "never pay twice":
- `Journal.intend` comes before every POST that may be billed.
- `Journal.accepted` comes before the first poll or download.
- `Journal.refused` comes after every answer that says that nothing was billed.
- While an intent is open, nothing is sent again, whatever the error.
- AnswerLost without a handle means that the image is UNKNOWN; with a handle, that the image is gone.
- After any other error, an image with a handle can still be fetched by a later `collect`.

A handle is `task:ID` for the async interface, and `result:REQUEST_ID:URL` for the sync interface. The
sync interface has no task, so the signed URL is the only way to the image.
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
from .client import Client, Unsent
from .download import Downloads, LinkDead
from .pacing import Pace
from .priority import Priority
from .retry import retrying
from .tasks import LIFE_S, Tasks

_GONE: Final = "the image was billed and is gone; `--resubmit` renders it again, and pays again"


@dataclass(frozen=True, slots=True)
class Choices:
    """The user's settings.

    `at_once` is the most requests that the service works on at once. In seconds: `poll_s` is the longest
    interval between polls of a task, `first_wait_s` the first wait before a retry.
    """

    interface: str
    at_once: int
    poll_s: float
    first_wait_s: float
    download_hosts: tuple[str, ...]


class Renderer:
    """Renders, collects and reconciles with one `Client`. Each model has its own pace."""

    def __init__(self, client: Client, choices: Choices, model: Callable[[str], Model]) -> None:
        self._client, self._choices, self._model = client, choices, model
        self.tasks = Tasks(client, choices.poll_s, choices.first_wait_s)
        self._downloads = Downloads(
            client.downloads,
            client.endpoint,
            choices.download_hosts,
            choices.first_wait_s,
            client.short_s,
            client.timeout_s,
        )
        self._seats = asyncio.Semaphore(choices.at_once)  # held from the turn until the service has finished
        self._priority = Priority()
        self._paces: dict[str, Pace] = {}
        self._open: dict[int, Submission] = {}  # creates of this session whose task id is not known yet
        self._claimed: set[str] = set()  # ids of tasks that belong to a known submission
        self._numbers = itertools.count(-1, -1)  # keys of `_open`; ids from the state are positive

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the image. Tries again after a failure, unless the request may have been billed."""
        tracked = _TrackedJournal(journal)
        once = self._render_async if self._choices.interface == "async" else self._render_sync
        async for attempt in retrying(self._choices.first_wait_s, lambda: not tracked.is_open):
            with attempt:
                return await once(request, tracked)
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
        """Wait for the model's turn, record the intent, send, and withdraw the intent if nothing was billed.

        `send` gets a function that it calls once the request is sent.
        """
        pace = self._pace(request.model)
        turn_s = await pace.turn()
        with self._priority.sending() as sent:
            await journal.intend(self._context(request))
            try:
                answer = await send(sent)
            except AnswerLost:
                raise
            except Unsent:  # the user left while the connection was made
                await journal.refused()
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
        """Return the id of a new task. If the answer is lost, look for the task among the account's tasks."""
        number = next(self._numbers)

        def send(sent: Callable[[], None]) -> Coroutine[Any, Any, wire.Answer]:
            # From now on, a new task with this prompt may belong to this request.
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
            if not task_id:  # stays in `_open`: a task with this prompt may be this request's
                raise lost from None
        except ProviderError:
            self._open.pop(number, None)
            raise
        self._claimed.add(task_id)
        del self._open[number]
        return task_id

    async def _found(self, mine: Submission) -> str | None:
        """Return the id of the task that a create with a lost answer made, None if this is not certain."""
        try:
            found = await reconcile.match(self.tasks, [mine], self._open.values, self._claimed)
        except ProviderError:
            return None
        return found.get(mine.id)

    async def _image(
        self, task: wire.Task, request: Request, context: Mapping[str, Any], journal: Journal, until_s: float
    ) -> Rendered:
        """Return the image of an ended task. If the link is dead, the task is queried once for a new link."""
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
        """Return the verified image. Raises BadImage, or AnswerLost if the image is gone.

        The service keeps the image until `until_s`, in seconds since the epoch.
        """
        await self._priority.give_way()
        try:
            image = await self._downloads.image(url, request.size)
        except BadImage as bad:
            if not isinstance(bad, LinkDead) and time.time() < until_s:
                raise
            raise AnswerLost("the image was gone before it was downloaded", facts=[bad.claim], hint=_GONE) from None
        known = {name: context[name] for name in ("interface", "region", "model") if name in context}
        return Rendered(image.png, {**known, **facts, "downloaded_from": image.host}, verified=True)

    # --- submissions of earlier builds ---

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        """Return the image of an accepted submission; see `Resumable.collect`. Never submits."""
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
        # Checked last, because a new key of the same account still sees the account's tasks.
        if self._is_elsewhere(submission) and time.time() < until_s:
            raise ProviderError(
                "an image in flight was submitted with another key or region",
                facts=[f"submitted to {context.get('host')}, now {self._client.endpoint.host}", f"task: {handle}"],
                hint="build with the same key and region as then: the image is kept for 24 hours",
            )
        raise lost

    async def reconcile(self, submissions: Sequence[Submission], known: Iterable[Submission]) -> dict[int, str]:
        """Return handles by `Submission.id`; see `Resumable.reconcile`."""
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
            found = {}  # the tasks can't be listed now, so the submissions stay UNKNOWN
        self._claimed.update(found.values())
        return {number: f"task:{task_id}" for number, task_id in found.items()}

    def _is_elsewhere(self, submission: Submission) -> bool:
        """Return True if the submission went to another account, region or host than this session's."""
        here = self._context(submission.request)
        return any(submission.context.get(name) != here[name] for name in ("account", "region", "host"))


class _TrackedJournal:
    """A journal with `is_open`: True while a request that was sent may have been billed."""

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
        "the service's answer holds neither an image nor an error: it may have been billed",
        facts=[f"status: {answer.status}", f"fields: {', '.join(sorted(map(str, answer.body)))[:200]}"],
        hint=error_codes.RESUBMIT,
        request_id=answer.request_id,
    )


def _not_made(task: wire.Task) -> ProviderError:
    """Return the error of an ended task without an image."""
    if task.status == "CANCELED":
        return Refused("the task was cancelled", facts=[f"task: {task.id}"], hint="build again to submit it again")
    if task.status == "FAILED" or task.code:
        return error_codes.task_failed(task.code, task.message, request_id=task.request_id)
    return AnswerLost(
        "a task is SUCCEEDED, but has no image: it may have been billed",
        facts=[f"task: {task.id}", *([f"request id: {task.request_id}"] if task.request_id else [])],
        hint="`--resubmit` renders the image again",
    )
