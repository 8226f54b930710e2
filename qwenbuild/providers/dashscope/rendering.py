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
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qwenbuild.candidates import ADOPTED, Search
from qwenbuild.catalogue import Model
from qwenbuild.emulation import FACT, is_unmarked
from qwenbuild.errors import AnswerLost, BadImage, ProviderError, Refused, Throttled
from qwenbuild.provider import Journal, Rendered
from qwenbuild.request import Request, Submission

from . import error_codes, reconcile, wire
from .client import Client, Unsent
from .download import Downloads, LinkDead
from .pacing import Pace
from .priority import Priority
from .retry import TrackedJournal, retrying
from .tasks import Tasks

_LOOK: Final = "`qwenbuild tasks` shows the tasks that may be its own; `--resubmit` sends the request again"
_LATER: Final = "build again: the task is kept for 24 hours; `--force` renders the image again, and pays again"
_GONE: Final = "the image was billed and is gone; `--resubmit` renders it again, and pays again"


@dataclass(frozen=True, slots=True)
class Choices:
    """The user's settings.

    `interface_of` gives the interface of a model, sync or async. `at_once` is the most requests that the service works
    on at once. In seconds: `poll_s` is the longest interval between polls of a task, `first_wait_s` the first wait
    before a retry.
    """

    interface_of: Callable[[str], str]
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
            client.mask,
        )
        self._seats = asyncio.Semaphore(choices.at_once)  # held from the turn until the service has finished
        self._priority = Priority()
        self._paces: dict[str, Pace] = {}

    async def render(self, request: Request, journal: Journal) -> Rendered:
        """Return the image. Tries again after a failure, unless the request may have been billed."""
        tracked = TrackedJournal(journal, self._pace(request.model))
        once = self._render_async if self._choices.interface_of(request.model) == "async" else self._render_sync
        wait_s = self._choices.first_wait_s
        async for attempt in retrying(wait_s, lambda: not tracked.is_open, tell=tracked.delayed):
            with attempt:
                return await once(request, tracked)
        raise AssertionError("the loop returns or raises")  # pragma: no cover - it does

    def _pace(self, name: str) -> Pace:
        if name not in self._paces:
            model, is_async = self._model(name), self._choices.interface_of(name) == "async"
            self._paces[name] = Pace(model.submits_per_s, model.concurrent if is_async else 0)
        return self._paces[name]

    def _context(self, request: Request) -> dict[str, Any]:
        client = self._client
        return {
            "interface": self._choices.interface_of(request.model),
            "model": request.model,
            "region": client.endpoint.region,
            "host": client.endpoint.host,
            "account": client.account,
            "workspace": client.endpoint.workspace,
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
        result = wire.result(answer)
        if result is None:
            raise _unreadable(answer)
        if not result.url:
            await journal.refused()
            raise error_codes.task_failed(result.code, result.message, request_id=answer.request_id)
        return await self._result(answer, result, request, journal)

    async def _result(self, answer: wire.Answer, result: wire.Result, request: Request, journal: Journal) -> Rendered:
        """Return the image whose link stands in the answer to a request."""
        handle = f"result:{answer.request_id.replace(':', '')}:{result.url}"
        await journal.accepted(handle, emulated_by=self._emulator(answer.is_emulated))
        until_s = time.time() + wire.LIFE_S
        return await self._download(result.url, self._context(request), result.facts, until_s, journal)

    # --- async ---

    async def _render_async(self, request: Request, journal: Journal) -> Rendered:
        async with self._pace(request.model).place(), self._seats:
            answer = await self._create(request, journal)
            task = wire.task(answer)
            if task is None:
                if (result := wire.result(answer)) and result.url:  # a gateway made the image at once
                    return await self._result(answer, result, request, journal)
                raise _lost_task(_unreadable(answer))
            await journal.accepted(f"task:{task.id}", emulated_by=self._emulator(answer.is_emulated))
            until_s = time.time() + wire.LIFE_S
            task = task if task.url else await self.tasks.ended(task.id, until_s, journal.delayed)
        return await self._image(task, self._context(request), journal, time.time() + wire.LIFE_S)

    async def _create(self, request: Request, journal: Journal) -> wire.Answer:
        """Return the answer to the creation of a task."""
        body = wire.async_body(request)
        try:
            return await self._submit(request, journal, lambda sent: self._client.submit_async(body, sent))
        except AnswerLost as error:
            lost = error
        raise _lost_task(lost)

    async def _image(self, task: wire.Task, context: Mapping[str, Any], journal: Journal, until_s: float) -> Rendered:
        """Return the image of an ended task. If the link is dead, the task is queried once for a new link.

        While the service keeps the task, a later collect may get a working link: the handle is not given up.
        """
        for is_last in (False, True):
            if not task.url:
                error = _not_made(task)
                if not isinstance(error, AnswerLost):
                    await journal.refused()
                raise error
            try:
                return await self._download(task.url, context, task.facts, until_s, journal)
            except AnswerLost as lost:
                if is_last and time.time() < until_s:
                    raise BadImage(
                        lost.claim, facts=[*lost.facts, f"task: {task.id}"], hint=_LATER, name="download-failed"
                    ) from None
                if is_last:
                    raise
            task = await self.tasks.ended(task.id, until_s, journal.delayed)
        raise AssertionError("the loop returns or raises")  # pragma: no cover - it does

    # --- both ---

    async def _download(
        self, url: str, context: Mapping[str, Any], facts: Mapping[str, Any], until_s: float, journal: Journal
    ) -> Rendered:
        """Return the verified image, of whatever size. Raises BadImage, or AnswerLost if the image is gone.

        The service keeps the image until `until_s`, in seconds since the epoch.
        """
        await self._priority.give_way()
        try:
            image = await self._downloads.image(url, journal.delayed)
        except BadImage as bad:
            if not isinstance(bad, LinkDead) and time.time() < until_s:
                raise
            raise AnswerLost(
                "the image was gone before it was downloaded", facts=[bad.claim], hint=_GONE, name="image-expired"
            ) from None
        known = {name: context[name] for name in ("interface", "region", "model", ADOPTED) if name in context}
        emulator = context.get(FACT) or self._emulator(image.is_emulated or FACT in facts)
        found = {**known, **facts, "downloaded_from": image.host}
        found.pop(FACT, None)
        if not emulator and is_unmarked(found):
            found[FACT] = ""  # a gateway on this machine: the image is not to be taken for an older version's
        return Rendered(image.png, found, verified=True, emulated_by=emulator)

    def _emulator(self, is_emulated: bool) -> str:
        """Return the address of the base URL if an answer is an emulator's, else an empty text."""
        return self._client.endpoint.address if is_emulated else ""

    # --- submissions of earlier builds ---

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        """Return the image of an accepted submission; see `Resumable.collect`. Never submits."""
        kind, _, handle = submission.handle.partition(":")
        request, context = submission.request, submission.context
        until_s = submission.intended_at_s + wire.LIFE_S
        if kind == "result":
            request_id, _, url = handle.partition(":")
            facts = {"request_id": request_id} if request_id else {}
            return await self._download(url, context, facts, until_s, journal)
        lost: AnswerLost
        try:
            task = await self.tasks.ended(handle, until_s, journal.delayed)
            if context.get(ADOPTED):
                reconcile.check_adopted(task, request)
            rendered = await self._image(task, context, journal, until_s)
            if context.get(ADOPTED):
                reconcile.check_size(rendered, task, request)
        except AnswerLost as error:
            lost = error
        else:
            return rendered
        # Checked last, because a new key of the same account still sees the account's tasks.
        if self._is_elsewhere(submission) and time.time() < until_s:
            raise ProviderError(
                "an image in flight was submitted with another key or region",
                facts=[f"submitted to {context.get('host')}, now {self._client.endpoint.host}", f"task: {handle}"],
                hint="build with the same key and region as then: the image is kept for 24 hours",
                name="other-account",
            )
        raise lost

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], patience_s: float
    ) -> dict[int, Search]:
        """Return what the list of tasks says about lost answers; see `Searchable.search`.

        Sync calls are in no list, and the list of another account or workspace says nothing.
        """
        wanted = [
            one
            for one in lost
            if one.context.get("interface") == "async"
            and not self._is_elsewhere(one)
            and one.context.get("workspace", "") == self._client.endpoint.workspace
        ]
        if not wanted:
            return {}
        return await reconcile.search(
            self.tasks, wanted, others, lost_within_s=self._client.short_s, patience_s=patience_s
        )

    def _is_elsewhere(self, submission: Submission) -> bool:
        """Return True if the submission went to another account, region or host than this session's."""
        here = self._context(submission.request)
        return any(submission.context.get(name) != here[name] for name in ("account", "region", "host"))


def _lost_task(lost: AnswerLost) -> AnswerLost:
    """Return the error with the hint that the account's list may show the task."""
    return AnswerLost(lost.claim, facts=lost.facts, hint=_LOOK, code=lost.code, request_id=lost.request_id)


def _unreadable(answer: wire.Answer) -> AnswerLost:
    return AnswerLost(
        "the service's answer holds neither an image nor an error: it may have been billed",
        facts=[f"status: {answer.status}", f"it says: {answer.excerpt}"],
        hint=error_codes.RESUBMIT,
        request_id=answer.request_id,
    )


def _not_made(task: wire.Task) -> ProviderError:
    """Return the error of an ended task without an image."""
    if task.status == "CANCELED":
        return Refused(
            "the task was cancelled",
            facts=[f"task: {task.id}"],
            hint="build again to submit it again",
            name="task-cancelled",
        )
    if task.status == "FAILED" or task.code:
        return error_codes.task_failed(task.code, task.message, request_id=task.request_id, task_id=task.id)
    return AnswerLost(
        "a task is SUCCEEDED, but has no image: it may have been billed",
        facts=[f"task: {task.id}", *([f"request id: {task.request_id}"] if task.request_id else [])],
        hint="`--resubmit` renders the image again",
    )
