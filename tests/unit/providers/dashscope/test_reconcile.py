"""Reconciliation: a lost submission gets a task only if the task is certainly its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import AnswerLost
from qwenbuild.provider import Rendered
from qwenbuild.providers.dashscope.reconcile import match
from qwenbuild.providers.dashscope.wire import Task
from qwenbuild.request import Request, Submission
from tests.support.scripted import PNG, Journal, Reply, Scripted, request_of

NOW_S = 1_800_000_000.0


def lost(number: int, prompt: str, at_s: float = NOW_S, model: str = "m") -> Submission:
    request = request_of(prompt, model=model, seed=number)
    return Submission(number, request.key, request, "dashscope", "", {}, at_s)


class Account:
    """An account with these tasks. The end of `silent` tasks can't be queried."""

    def __init__(self, tasks: Sequence[Task], *, ahead_s: float = 0.0, silent: Sequence[str] = ()) -> None:
        self._tasks, self._ahead_s, self._silent = tasks, ahead_s, silent
        self.asked: list[str] = []

    async def listed(self, model: str) -> tuple[Sequence[Task], float] | None:
        shown = [Task(one.id, one.status, one.model, created_at_s=one.created_at_s) for one in self._tasks]
        return [one for one in shown if one.model == model], self._ahead_s

    async def finished(self, task_id: str) -> Task | None:
        self.asked.append(task_id)
        return None if task_id in self._silent else next(one for one in self._tasks if one.id == task_id)


def done(
    task_id: str, prompt: str, at_s: float | None = NOW_S + 1, status: str = "SUCCEEDED", model: str = "m"
) -> Task:
    return Task(task_id, status, model, created_at_s=at_s, prompt=prompt if status == "SUCCEEDED" else "")


def matched(tasks: Sequence[Task], wanted: Sequence[Submission], **more: Any) -> dict[int, str]:
    rivals, claimed = more.pop("rivals", []), more.pop("claimed", set())
    return asyncio.run(match(Account(tasks, **more), wanted, lambda: rivals, claimed))


@pytest.mark.parametrize(
    ("tasks", "more", "expected"),
    [
        ([done("a", "cat")], {}, {1: "a"}),
        ([done("a", " cat\n")], {}, {1: "a"}),
        ([done("a", "dog"), done("b", "cat")], {}, {1: "b"}),
        ([done("a", "cat", None)], {}, {1: "a"}),
        ([done("a", "cat"), done("f", "cat", status="FAILED")], {}, {1: "a"}),
        ([], {}, {}),
        ([done("a", "dog")], {}, {}),
        ([done("a", "cat"), done("b", "cat")], {}, {}),
        ([done("a", "cat")], {"claimed": {"a"}}, {}),
        ([done("a", "cat"), done("b", "cat")], {"claimed": {"a"}}, {1: "b"}),
        ([done("a", "cat")], {"rivals": [lost(2, "cat")]}, {}),
        ([done("a", "cat")], {"rivals": [lost(2, "dog")]}, {1: "a"}),
        ([done("a", "cat")], {"rivals": [lost(2, "cat", NOW_S - 3600)]}, {1: "a"}),
        ([done("a", "cat", NOW_S - 60)], {}, {}),
        ([done("a", "cat", NOW_S + 600)], {}, {}),
        ([done("a", "cat", NOW_S + 7200)], {"ahead_s": 7200.0}, {1: "a"}),
        ([done("a", "cat")], {"ahead_s": 7200.0}, {}),
        ([done("a", "cat"), done("r", "?")], {"silent": ["r"]}, {}),
        ([done("a", "cat", model="other")], {}, {}),
    ],
)  # fmt: skip
def test_only_a_certain_match_counts(tasks: list[Task], more: dict[str, Any], expected: dict[int, str]) -> None:
    """A match needs one open submission and one unclaimed task with its prompt, created in its time."""
    assert matched(tasks, [lost(1, "cat")], **more) == expected


def test_two_lost_submissions_with_one_prompt_match_nothing() -> None:
    """An image with a wrong seed would be worse than no image."""
    tasks = [done("a", "cat"), done("b", "cat"), done("c", "dog")]
    assert matched(tasks, [lost(1, "cat"), lost(2, "cat"), lost(3, "dog")]) == {3: "c"}


def test_a_request_that_was_lost_twice_takes_its_task_once() -> None:
    """Both submissions are of one request, so either may get the task."""
    first, second = lost(1, "cat"), lost(1, "cat")
    twice = Submission(**{**_fields(second), "id": 2})
    assert matched([done("a", "cat")], [first], rivals=[twice]) == {1: "a"}
    assert matched([done("a", "cat")], [first, twice]) == {1: "a"}


def test_a_claim_made_while_waiting_counts() -> None:
    """A task is excluded if another create claims it while the match waits."""
    claimed: set[str] = set()

    class Waiting(Account):
        async def finished(self, task_id: str) -> Task | None:
            claimed.add("a")
            return await super().finished(task_id)

    account = Waiting([done("a", "cat"), done("b", "cat")])
    assert asyncio.run(match(account, [lost(1, "cat")], list, claimed)) == {1: "b"}


def test_only_tasks_near_a_lost_submission_are_queried() -> None:
    """Of an account with thousands of tasks, only those of the right time are queried."""
    account = Account([done("near", "cat"), *(done(str(age), "cat", NOW_S - age) for age in range(100, 1000))])
    asyncio.run(match(account, [lost(1, "cat")], list, set()))
    assert account.asked == ["near"]


@given(
    st.lists(st.tuples(st.sampled_from("pq"), st.booleans()), max_size=5),
    st.lists(st.sampled_from("pq"), max_size=2),
)
def test_a_match_is_the_submissions_own_task(sent: list[tuple[str, bool]], strangers: list[str]) -> None:
    """This holds for all combinations of lost and made tasks, if no other program sent the same prompt."""
    submissions = [lost(number, prompt) for number, (prompt, _) in enumerate(sent)]
    tasks = [done(str(number), prompt) for number, (prompt, is_made) in enumerate(sent) if is_made]
    tasks += [done(f"s{number}", prompt) for number, prompt in enumerate(strangers)]
    for number, task_id in matched(tasks, submissions).items():
        if sent[number][0] not in strangers:
            assert task_id == str(number)


# --- over HTTP ---


async def submitted_and_lost(
    server: Scripted, *requests: Request, before: Callable[[], object] = lambda: None
) -> list[Submission]:
    """Submit each request, lose the answer, refuse the list of tasks; return the open submissions."""
    found = []
    async with (provider := server.provider(interface="async")).session():
        for number, request in enumerate(requests, 1):
            journal = Journal()
            server.script["create"].append(Reply(fault="drop", made=True))
            server.script["list"].append(Reply(400, b'{"code": "InvalidParameter", "message": "not now"}'))
            with pytest.raises(AnswerLost):
                await provider.render(request, journal)
            found.append(journal.submission(request, number))
    return found


def test_a_create_with_a_lost_answer_is_found_at_once() -> None:
    """The list of tasks and the finished task's prompt lead to the task; nothing is paid twice."""

    async def main() -> tuple[Rendered, Journal, int]:
        journal = Journal()
        async with Scripted() as server:
            server.add_task("another program's prompt")
            server.script["create"].append(Reply(fault="drop", made=True))
            async with (provider := server.provider(interface="async")).session():
                rendered = await provider.render(request_of(), journal)
        return rendered, journal, server.bill

    rendered, journal, bill = asyncio.run(main())
    assert (rendered.png, rendered.facts["task_id"], bill) == (PNG, "task-1", 1)
    assert journal.log[1:] == [("accepted", "task:task-1")]


def test_two_lost_creates_with_one_prompt_stay_unknown() -> None:
    """With two seeds of one prompt nothing is guessed, and both submissions stay open."""

    async def main() -> tuple[list[object], list[Journal]]:
        journals = [Journal(), Journal()]
        async with Scripted() as server:
            server.script["create"].extend([Reply(fault="drop", made=True)] * 2)
            async with (provider := server.provider(interface="async")).session():
                results = await asyncio.gather(
                    *(provider.render(request_of(seed=seed), journals[seed]) for seed in (0, 1)),
                    return_exceptions=True,
                )
        return list(results), journals

    results, journals = asyncio.run(main())
    assert [type(result) for result in results] == [AnswerLost, AnswerLost]
    assert [journal.kinds for journal in journals] == [["intend"], ["intend"]]


def test_a_request_that_waits_for_its_turn_is_no_rival() -> None:
    """The same prompt with another seed was not sent yet, so the lost task can't belong to it."""

    async def main() -> list[str]:
        journals = [Journal(), Journal()]
        async with Scripted() as server:
            server.script["create"].append(Reply(fault="drop", made=True))
            async with (provider := server.provider(interface="async", submits="2/second")).session():
                await asyncio.gather(*(provider.render(request_of(seed=seed), journals[seed]) for seed in (0, 1)))
        return [journal.handle for journal in journals]

    assert asyncio.run(main()) == ["task:task-0", "task:task-1"]


@pytest.mark.parametrize("ahead_s", [0.0, 4000.0, -4000.0])
def test_a_later_build_finds_the_task(ahead_s: float) -> None:
    """A later build finds the task even if this machine's clock is wrong by an hour."""

    async def main() -> tuple[dict[int, str], bytes]:
        async with Scripted() as server:
            server.ahead_s = ahead_s
            submissions = await submitted_and_lost(server, request_of("a"), request_of("b"))
            async with (provider := server.provider(interface="async")).session():
                found = dict(await provider.reconcile(submissions))
                collected = Submission(**{**_fields(submissions[1]), "handle": found[2]})
                rendered = await provider.collect(collected, Journal())
        return found, rendered.png

    assert asyncio.run(main()) == ({1: "task:task-0", 2: "task:task-1"}, PNG)


def test_a_task_of_a_settled_submission_is_claimed() -> None:
    """The same prompt with another seed was rendered shortly before; its task is no candidate."""

    async def main() -> tuple[dict[int, str], dict[int, str]]:
        async with Scripted() as server:
            settled = Journal()
            async with (provider := server.provider(interface="async")).session():
                await provider.render(request_of(seed=1), settled)
            server.script["create"].append(Reply(fault="drop"))
            server.script["list"].append(Reply(400, b'{"code": "InvalidParameter", "message": "not now"}'))
            journal = Journal()
            async with (provider := server.provider(interface="async")).session():
                with pytest.raises(AnswerLost):
                    await provider.render(request_of(seed=2), journal)
            submission = journal.submission(request_of(seed=2), 2)
            known = settled.submission(request_of(seed=1), 1)
            found = []
            for others in ([known], []):
                async with (provider := server.provider(interface="async")).session():
                    found.append(dict(await provider.reconcile([submission], others)))
        return found[0], found[1]

    with_known, without = asyncio.run(main())
    assert with_known == {}
    assert without == {2: "task:task-0"}  # a wrong match: this is why `known` is needed


def test_submissions_elsewhere_are_left_alone() -> None:
    """Submissions of another account, region, host or interface, or older than 24 hours, match nothing."""

    async def main() -> dict[int, str]:
        async with Scripted() as server:
            (mine,) = await submitted_and_lost(server, request_of())
            others = [
                Submission(**{**_fields(mine), "id": number, "context": {**mine.context, **change}})
                for number, change in enumerate(
                    [{"account": "x"}, {"region": "beijing"}, {"host": "h"}, {"interface": "sync"}], 10
                )
            ]
            old = Submission(**{**_fields(mine), "id": 20, "intended_at_s": time.time() - 90_000})
            async with (provider := server.provider(interface="async")).session():
                return dict(await provider.reconcile([*others, old]))

    assert asyncio.run(main()) == {}


def test_all_pages_of_the_list_are_read() -> None:
    """The task may be on any page."""

    async def main() -> dict[int, str]:
        async with Scripted() as server:
            for number in range(170):
                server.add_task(f"old {number}", age_s=7200)
            submissions = await submitted_and_lost(server, request_of())
            async with (provider := server.provider(interface="async")).session():
                return dict(await provider.reconcile(submissions))

    assert asyncio.run(main()) == {1: "task:task-170"}


def _fields(submission: Submission) -> dict[str, Any]:
    return {name: getattr(submission, name) for name in Submission.__slots__}
