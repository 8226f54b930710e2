"""Rendering: has a provider make or collect images, and stores each before it counts as done.

Invariants: at most `provider.concurrency` renders run, and only their bytes and two batches of free images are in
memory. A price is counted before its request is sent. A request that may have been billed is never sent again without
the user's order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qwenbuild.errors import (
    AnswerLost,
    BudgetExceeded,
    ExecutorError,
    ImageBudgetExceeded,
    LedgerError,
    ModelRefused,
    QwenbuildError,
    Refused,
    StateError,
    Untrusted,
)
from qwenbuild.events import Event, ImageStarted, LookingUp, NotSent, Outcome, Warned
from qwenbuild.plan.drawn_seeds import with_seed
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.provider import Detached, Rendered, Stopped, broken, resumable, searchable
from qwenbuild.request import Submission

from .away import Orders
from .batches import AllKept, Batches
from .budget import Spending
from .commits import Commits
from .endings import Endings
from .journal import Elsewhere, RunJournal, settle_stored
from .keep import Verified, verified
from .lost_answers import Answer, Fate, LostAnswers
from .others import Kept, Others
from .run import Run
from .strays import Strays, keep_sent
from .workers import Workers

_PATIENCE_S = 1.0  # a look-up at the service that takes longer is reported


def _adopted(step: Step, answer: Answer) -> Step:
    """Return the step that collects the task which was adopted for a lost answer."""
    return step._replace(verdict=Verdict.REATTACH, submission=answer.submission, price=None,
                         cause="found among the service's tasks")  # fmt: skip


class Rendering:
    """The renders of one provider in a build.

    `commits` must be running as long as `run` is, and longer. `strays` collects what no step asks for.
    """

    def __init__(
        self, run: Run, workers: Workers, endings: Endings, spending: Spending, kept: Kept, all_kept: AllKept
    ) -> None:
        """`kept` and `all_kept` are called for images that are in the store; they end the steps.

        `spending` is what all renders of the build cost.
        """
        self._run, self._workers, self._endings, self._spending = run, workers, endings, spending
        self._kept, self._batches = kept, Batches(run, endings, kept, all_kept)
        self.orders = Orders(run)
        self.commits = Commits(run.submissions)
        self.strays = Strays(run, self.commits, workers)
        self._others = Others(run, workers, endings, kept)
        self._lost_answers = LostAnswers(run.provider, run.submissions)
        self._lost: list[tuple[Step, RunJournal, QwenbuildError, float]] = []  # steps that may still be found
        self._emit_fault: Exception | None = None  # raised by `emit` while a provider was rendering
        self._refused: dict[str, ModelRefused] = {}  # why no more requests of a model are sent, by model
        self._over_budget: set[str] = set()  # the names of images whose own budget is used up
        self._unsent: Counter[str] = Counter()  # the steps that were not sent for that, by model

    async def run(self, renders: deque[Step], strays: deque[Submission]) -> None:
        """Render or collect the steps, then collect the strays."""
        provider = self._run.provider
        try:
            if any(step.price or step.verdict is Verdict.UNKNOWN for step in renders):
                await asyncio.to_thread(self._run.store.prepare)
            await asyncio.to_thread(self._run.submissions.prepare)
            await asyncio.to_thread(settle_stored, self._run.submissions, self._run.store)
            is_away = not strays and all(map(self.orders.takes, renders))
            async with contextlib.nullcontext() if is_away else provider.session(), self._batches.running():
                await self._reconcile(renders)
                while renders:
                    away = self.orders.take(renders)
                    await self._workers.drain_all([away, (renders, provider.concurrency)], self._render, provider)
                    await self._batches.finish()
                    renders = await self._others.outcomes() or await self._found_at_last()
                await self._workers.drain(strays, provider.concurrency, self.strays.collect, provider)
        except QwenbuildError as error:  # such as no writable store, no API key, a wrong setting
            self._workers.give_up(provider, error.claim, error.problems)
        finally:
            for step, _, lost, begun_s in self._lost:
                self._endings.fail(step, lost, begun_s)
            for model, count in self._unsent.items():
                self._run.emit(NotSent(model, count, self._refused[model].claim))

    # --- lost answers ---

    async def _reconcile(self, renders: deque[Step]) -> None:
        """Ask the service about submissions whose answers were lost; end the steps that stay UNKNOWN."""
        unknown = [step for step in renders if step.verdict is Verdict.UNKNOWN]
        answers = await self._answers([step.submission for step in unknown if step.submission])
        for step in unknown:
            renders.remove(step)
            again = self._judged_again(step, answers)
            if again is None:
                continue
            if again.verdict is Verdict.REATTACH:
                renders.appendleft(again)
            else:
                renders.append(again)

    def _judged_again(self, step: Step, answers: Mapping[int, Answer]) -> Step | None:
        """Return an UNKNOWN step as one to collect or to render; end it if it stays UNKNOWN, or MISSING."""
        answer = answers.get(step.submission.id) if step.submission else None
        if answer and answer.fate is Fate.ADOPTED:
            return _adopted(step, answer)
        if answer and answer.fate is Fate.NOT_BILLED:
            price = self._run.price(step.action)
            step = step._replace(submission=None, cause="the service has no task for it: not billed")
            if not (step.pinned and price and not self._run.options.relock):
                return step._replace(verdict=Verdict.RENDER, price=price)
            cause = f"{step.cause}; the lock pins bytes that are not in the store"
            self._endings.finish_all(step._replace(verdict=Verdict.MISSING, cause=cause), Outcome.MISSING)
            return None
        if answer and answer.submission.search and (count := len(answer.submission.search.unexplained)):
            tasks = "1 task" if count == 1 else f"{count:,} tasks"
            step = step._replace(cause=f"{step.cause}; {tasks} may be its own: `qwenbuild tasks` shows more")
        self._endings.finish_all(step, Outcome.UNKNOWN)
        return None

    async def _answers(self, lost: Sequence[Submission]) -> Mapping[int, Answer]:
        """Return what the service says about submissions whose answers were lost, by their ids."""
        if not lost:
            return {}
        loop = asyncio.get_running_loop()
        report = loop.call_later(_PATIENCE_S, lambda: self._run.emit(LookingUp(len(lost))))
        try:
            with contextlib.suppress(Stopped):
                found = await self._workers.until_stopped(self._lost_answers.resolve(lost, can_wait=True))
                return {it.id: answer for it, answer in zip(lost, found, strict=True)}
        finally:
            report.cancel()
        return {}

    async def _may_find(self, journal: RunJournal) -> bool:
        """Return whether an answer that was lost just now may be found at the end of the build."""
        if journal.handle or not journal.is_open or self._run.options.fail_fast:
            return False
        try:
            return searchable(self._run.provider) is not None and await self._lost_answers.is_sole_user()
        except QwenbuildError as wrong:  # the user's own config
            self._workers.stop(wrong.claim, wrong.problems)
            return False

    async def _found_at_last(self) -> deque[Step]:
        """Return the steps whose answers were lost in this build and were found now; end the others."""
        asked = [] if self._workers.is_stopped else [journal.submission for _, journal, *_ in self._lost]
        answers = await self._answers([it for it in asked if it])
        found: deque[Step] = deque()
        while self._lost:
            step, journal, error, begun_s = self._lost.pop()
            answer = answers.get(journal.submission.id) if journal.submission else None
            if answer and answer.fate is Fate.ADOPTED:
                found.append(_adopted(step, answer))
            else:
                self._endings.fail(step, error, begun_s)
                await journal.release()
        return found

    # --- one step ---

    async def _render(self, step: Step) -> None:
        """Render or collect the image of one step, store it, and end the step."""
        begun_s = time.monotonic()
        if step.verdict is not Verdict.REATTACH and step.action.model.name in self._refused:
            self._skip(step)
            return
        try:  # the prompt is rendered once, and kept in memory until the image is made
            action = with_seed(step, labelled=self._run.provider.labelled)
        except QwenbuildError as error:  # pragma: no cover - a bug in qwenbuild; see `Action.request`
            self._endings.fail(step, error, begun_s)
            return
        wanted, step = step.action, step._replace(action=action)
        collected = step.submission if step.verdict is Verdict.REATTACH else None
        forced = self._run.options.force or bool(step.submission and step.submission.forced)
        is_plain = not (forced or wanted.is_seed_random)
        # A paid render is reported as started when its key is claimed: until then stopping it loses nothing.
        is_claimed = bool(step.price or collected)
        start = (lambda: self._emit_started(step)) if is_claimed else None
        journal = RunJournal(
            self._run, self.commits, wanted.request_key, action.request, lambda: self._is_closed(action.model.name),
            step=step._replace(action=wanted), collected=collected, start=start, emit=self._emit,
        )  # fmt: skip
        try:
            self._spending.pay(step.price, action.declaration.name, action.declaration.image.max_cost)
            if not is_claimed:
                self._emit_started(step)
            rendered = await self._rendered(step, journal, is_plain=is_plain)
            if isinstance(rendered, Verified):
                await self._batches.add(step, rendered, begun_s)
                return
            if rendered.warnings:
                self._run.emit(Warned(rendered.warnings))
            rendered = replace(rendered, facts={**rendered.facts, **self._run.plan.uses.facts(action)})
            action = action.made_by(rendered.emulated_by)
            step = step._replace(action=action)
            if step.price is None and is_plain and not journal.is_open:
                facts = self._run.provider.name, action.key, action.request, rendered
                await self._batches.add(step, await asyncio.to_thread(verified, *facts), begun_s)
                return
            entry, image = await keep_sent(
                self._run, journal, wanted.request_key, action.request, rendered, step.pinned, forced=forced
            )
            if not forced:
                await journal.settle("done")
        except asyncio.CancelledError:  # the user does not want to wait
            self._leave(step._replace(action=wanted), journal, begun_s)
            raise
        except (Detached, Stopped, QwenbuildError) as error:
            await self._end_without_image(step._replace(action=wanted), journal, error, begun_s)
            return
        outcome = Outcome.REATTACHED if step.verdict is Verdict.REATTACH else Outcome.RENDERED
        if await self._kept(step, entry, image, outcome, begun_s):
            with contextlib.suppress(LedgerError, StateError):  # then a later build writes the outputs again
                await journal.settle("done")
        else:
            # A forced image stays in flight: as long as its outputs hold the old image, they look up to date.
            await journal.release()

    def _is_closed(self, model: str) -> bool:
        """Return whether no request of a model is sent any more."""
        return self._workers.is_given_up(self._run.provider) or model in self._refused

    def _skip(self, step: Step) -> None:
        """End a step whose request is not sent."""
        model, before = step.action.model.name, self._endings.counts[Outcome.SKIPPED]
        refused = self._refused.get(model)
        if refused:
            step = step._replace(was=None, cause=f"not sent: {refused.claim}")
        self._endings.finish_all(step, Outcome.SKIPPED)
        if refused:
            self._unsent[model] += self._endings.counts[Outcome.SKIPPED] - before

    def _skip_over_budget(self, step: Step, error: QwenbuildError) -> None:
        """End a step that its image's own budget does not allow; the first one of an image is told."""
        image = step.action.declaration.name
        if image not in self._over_budget:
            self._over_budget.add(image)
            self._workers.problems += error.problems
            self._run.emit(Warned(error.problems))
        self._endings.finish_all(step._replace(was=None, cause=f"not sent: {error.claim}"), Outcome.SKIPPED)

    def _refund(self, step: Step) -> None:
        """Count the price of a step no more: its request was not billed."""
        self._spending.refund(step.price, step.action.declaration.name)

    def _emit_started(self, step: Step) -> None:
        self._emit(ImageStarted(step.action.name, step.action.output, step.verdict, step.reason))

    def _emit(self, event: Event) -> None:
        """Emit an event from within a call of the provider."""
        try:
            self._run.emit(event)
        except Exception as error:
            self._emit_fault = error
            raise

    def _leave(self, step: Step, journal: RunJournal, begun_s: float) -> None:
        """End a step whose render was cancelled."""
        if journal.is_open and not journal.handle:
            hint = "the next build asks the service; if its answer is not certain, `--resubmit` sends the request again"
            error = AnswerLost(
                "left before the answer came: the request may have been billed", hint=hint, name="answer-lost"
            )
            self._endings.fail(step, error, begun_s)
        else:
            if journal.unbilled:
                self._refund(step)
            self._endings.finish_all(step, Outcome.SUBMITTED if journal.handle else Outcome.SKIPPED)

    async def _end_without_image(
        self, step: Step, journal: RunJournal, error: Detached | Stopped | QwenbuildError, begun_s: float
    ) -> None:
        """End a step that got no image. A step over the budget stays unended: it counts as skipped."""
        match error:
            case Detached():
                self._endings.finish_all(step, Outcome.SUBMITTED, time.monotonic() - begun_s)
            case Elsewhere():
                self._refund(step)
                await self._others.add(step)
            case Stopped():
                self._refund(step)
                self._skip(step)
            case ImageBudgetExceeded():
                self._skip_over_budget(step, error)
            case BudgetExceeded():
                # Renders whose price is counted already still send their requests.
                self._workers.stop(error.claim, error.problems, close=False)
            case _:
                if isinstance(error, ModelRefused) and step.action.model.name not in self._refused:
                    self._refused[step.action.model.name] = error
                    self._workers.stop_model(self._run.provider, step.action.model.name)
                may_find = isinstance(error, AnswerLost) and await self._may_find(journal)
                if isinstance(error, AnswerLost):
                    await journal.lost()
                if journal.unbilled:
                    self._refund(step)
                if journal.unbilled and isinstance(error, Refused):
                    await journal.explain(error)
                if may_find:
                    self._lost.append((step, journal, error, begun_s))
                    return
                self._endings.fail(step, error, begun_s)
        await journal.release()

    async def _rendered(self, step: Step, journal: RunJournal, *, is_plain: bool) -> Rendered | Verified:
        """Return the provider's image; raises only Detached, Stopped, ProviderError and StateError."""
        if step.verdict is Verdict.REATTACH and self._run.options.detach:
            raise Detached
        service = resumable(self._run.provider)
        try:
            if self.orders.takes(step):
                made = self.orders.made(step.action, is_plain=is_plain, is_forced=journal.is_forced)
                return await self._workers.until_stopped(made, journal)
            if step.verdict is Verdict.REATTACH and step.submission and service:
                taken = await journal.take()
                return await self._workers.until_stopped(service.collect(taken, journal), journal)
            return await self._workers.until_stopped(self._run.provider.render(step.action.request, journal), journal)
        except (ExecutorError, Untrusted) as error:  # no image is to blame
            self._workers.give_up(self._run.provider, error.claim, error.problems)
            raise Stopped from None
        except (QwenbuildError, Detached, Stopped):
            raise
        except Exception as error:  # a plugin's mistake must not end the other renders
            if error is self._emit_fault:  # `emit` raised it, not the plugin
                raise
            raise broken(self._run.provider.name, error) from error
