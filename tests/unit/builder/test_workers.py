"""The workers: they take items from queues, and stop when the build stops."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from qwenbuild.builder.commits import Commits
from qwenbuild.builder.journal import RunJournal
from qwenbuild.builder.run import Run
from qwenbuild.builder.workers import Workers
from qwenbuild.catalogue import builtin
from qwenbuild.errors import Refused, UsageError
from qwenbuild.events import Event, Stopping, Warned
from qwenbuild.provider import Journal, Provider, Rendered, Settings, Stopped
from qwenbuild.providers.registry import create
from qwenbuild.request import Submission
from qwenbuild.storage.state import State
from tests.support.builds import ScriptedProvider
from tests.support.runs import run_of
from tests.support.workspace import Workspace


@pytest.fixture
def events() -> list[Event]:
    """The events of the run."""
    return []


def make_run(place: Workspace, state: State, events: list[Event], provider: Provider | None = None) -> Run:
    place.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": '[image.a]\nprompt = "a"\n'})
    return run_of(place.root, state, events.append, provider)


@pytest.fixture
def run(project: Workspace, state: State, events: list[Event]) -> Run:
    """A run whose provider is not resumable."""
    return make_run(project, state, events)


def test_every_item_is_taken(run: Run) -> None:
    """Each item is given to one job, and at most `count` jobs run at once."""
    seen: list[int] = []
    running, most = 0, 0

    async def job(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        seen.append(item)
        running -= 1

    asyncio.run(Workers(run).drain(deque(range(20)), 3, job))
    assert (sorted(seen), most) == (list(range(20)), 3)


def test_an_exception_is_raised_after_all_workers_ended(run: Run) -> None:
    """A job that raises ends its own worker; the others empty the queue, and then the exception is raised."""
    seen: list[int] = []

    async def job(item: int) -> None:
        if item == 0:
            raise ZeroDivisionError
        await asyncio.sleep(0)
        seen.append(item)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(Workers(run).drain(deque(range(6)), 2, job))
    assert seen == [1, 2, 3, 4, 5]


def test_a_stopped_build_takes_no_item(run: Run, events: list[Event]) -> None:
    """After `stop` no further item is taken; the event names the reason and the problems."""
    workers, queue = Workers(run), deque(range(5))
    error = Refused("enough")

    async def job(item: int) -> None:
        if item == 1:
            workers.stop(error.claim, error.problems)

    asyncio.run(workers.drain(queue, 1, job))
    assert list(queue) == [2, 3, 4]
    assert (workers.is_stopped, workers.is_closed, workers.problems) == (True, True, [*error.problems])
    assert events == [Stopping("enough", 0, error.problems)]


def test_stopping_twice(run: Run, events: list[Event]) -> None:
    """Only the first stop is reported, unless the second one closes the build and the first did not."""
    workers = Workers(run)
    workers.stop("budget", close=False)
    workers.stop("budget again", close=False)
    assert (workers.is_stopped, workers.is_closed) == (True, False)
    workers.stop("interrupted")
    workers.stop("interrupted again")
    assert (workers.is_stopped, workers.is_closed) == (True, True)
    assert [event.reason for event in events if isinstance(event, Stopping)] == ["budget", "interrupted"]


def stopped_call(run: Run) -> str:
    """Stop the build during a call of the provider that takes 0.05 s; return how the call ended."""

    async def call() -> str:
        await asyncio.sleep(0.05)
        return "finished"

    async def use() -> str:
        workers, action = Workers(run), run.plan.steps[0].action
        journal = RunJournal(run, Commits(run.state), action.key, action.request, lambda: workers.is_closed)
        waiting = asyncio.create_task(workers.until_stopped(call(), journal))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        workers.stop("interrupted")
        try:
            return await waiting
        except Stopped:
            return "stopped"

    return asyncio.run(use())


def test_a_call_that_has_sent_nothing(project: Workspace, state: State, events: list[Event]) -> None:
    """Closing the build cancels a resumable provider's call that has sent nothing; other providers' calls finish."""
    assert stopped_call(make_run(project, state, events)) == "finished"
    assert stopped_call(make_run(project, state, events, create("dashscope", Settings({}, builtin(), {})))) == "stopped"
    assert [event.in_flight for event in events if isinstance(event, Stopping)] == [1, 0]


def test_stopping_waits_for_what_was_sent(project: Workspace, state: State, events: list[Event]) -> None:
    """A call whose request is out goes on and counts as in flight; one that still waits for its turn is stopped."""
    run = make_run(project, state, events, Waiting())
    action = run.plan.steps[0].action

    async def call(journal: RunJournal, is_sent: bool) -> str:
        if is_sent:
            await journal.intend({})
        await ready.wait()
        await go_on.wait()
        return "made"

    async def main() -> None:
        workers, commits = Workers(run), Commits(state)

        def journal() -> RunJournal:
            return RunJournal(run, commits, action.key, action.request, lambda: workers.is_closed)

        async with commits.running():
            calls = [
                asyncio.ensure_future(workers.until_stopped(call(each, is_sent), each))
                for is_sent in (True, False, True, False)
                for each in [journal()]
            ]
            await ready.wait()
            workers.stop("enough")
            workers.stop("enough again")
            for waits in calls[1::2]:
                with pytest.raises(Stopped):
                    await waits
            go_on.set()
            assert [await sent for sent in calls[::2]] == ["made", "made"]
        assert (workers.is_stopped, workers.is_closed) == (True, True)

    ready, go_on = asyncio.Barrier(5), asyncio.Event()
    asyncio.run(main())
    assert [event for event in events if isinstance(event, Stopping)] == [Stopping("enough", 2, ())]


def test_a_stop_that_sends_on(project: Workspace, state: State, events: list[Event]) -> None:
    """Over the budget no further step is begun; calls that wait for their turn still send their requests."""
    run = make_run(project, state, events, Waiting())

    async def call() -> str:
        await go_on.wait()
        return "made"

    async def main() -> str:
        workers = Workers(run)
        waits = asyncio.create_task(workers.until_stopped(call()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        workers.stop("budget", close=False)
        go_on.set()
        return await waits

    go_on = asyncio.Event()
    assert asyncio.run(main()) == "made"
    assert events == [Stopping("budget", 1)]


@pytest.mark.parametrize(
    ("is_sent", "interrupts", "expected"),
    [
        (False, 0, Stopped),
        (False, 1, Stopped),
        (False, 2, asyncio.CancelledError),
        (True, 0, asyncio.CancelledError),
        (None, 1, Stopped),
        (None, 2, asyncio.CancelledError),
    ],
)
def test_a_call_that_is_cancelled(
    run: Run, is_sent: bool | None, interrupts: int, expected: type[BaseException]
) -> None:
    """It counts as not sent, unless its request is out, or the user leaves at once. None: a call without a journal."""
    action = run.plan.steps[0].action
    sent = Submission(1, action.key, action.request, "null", "task:1", {}, 0.0)
    for _ in range(interrupts):
        run.interrupt.request()

    async def main() -> None:
        journal = RunJournal(
            run,
            Commits(run.submissions),
            action.key,
            action.request,
            lambda: False,
            collected=sent if is_sent else None,
        )
        call = asyncio.Event().wait()
        task = asyncio.create_task(Workers(run).until_stopped(call, None if is_sent is None else journal))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(expected):
            await task

    asyncio.run(main())


class Waiting(ScriptedProvider):
    """A provider whose images a later build can collect."""

    async def collect(self, submission: Submission, journal: Journal) -> Rendered:
        raise AssertionError("nothing was left")


def test_giving_up_one_of_two_providers(run: Run, events: list[Event]) -> None:
    """None of its steps is begun any more; those of the other provider are. With one provider the build stops."""
    workers, other = Workers(run), create("null", Settings({}, builtin(), {}))
    workers.parts = 2
    error = UsageError("no key")
    workers.give_up(run.provider, error.claim, error.problems)
    workers.give_up(run.provider, error.claim, error.problems)
    queue, rest = deque([1, 2]), deque([3])

    async def use() -> None:
        await workers.drain(queue, 2, done, run.provider)
        await workers.drain(rest, 2, done, other)

    async def done(item: int) -> None:
        ended.append(item)

    ended: list[int] = []
    asyncio.run(use())
    assert (ended, workers.is_given_up(run.provider), workers.is_given_up(other)) == ([3], True, False)
    assert (workers.problems, events) == ([*error.problems], [Warned(error.problems)])
    alone = Workers(run)
    alone.give_up(run.provider, error.claim)
    assert alone.is_closed
