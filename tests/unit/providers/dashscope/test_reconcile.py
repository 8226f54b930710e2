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
    """An account whose tasks are given; `silent` ones never tell how they ended."""

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
def test_a_match_is_certain_or_none(tasks: list[Task], more: dict[str, Any], expected: dict[int, str]) -> None:
    """One open submission, one unclaimed task of its prompt, created while it was under way."""
    assert matched(tasks, [lost(1, "cat")], **more) == expected


def test_two_lost_submissions_of_one_prompt_can_not_be_told_apart() -> None:
    """A wrong seed's image would be worse than none."""
    tasks = [done("a", "cat"), done("b", "cat"), done("c", "dog")]
    assert matched(tasks, [lost(1, "cat"), lost(2, "cat"), lost(3, "dog")]) == {3: "c"}


def test_a_request_that_was_lost_twice_takes_its_task_once() -> None:
    """Whichever sending made the task, it is the same request's image."""
    first, second = lost(1, "cat"), lost(1, "cat")
    twice = Submission(**{**_fields(second), "id": 2})
    assert matched([done("a", "cat")], [first], rivals=[twice]) == {1: "a"}
    assert matched([done("a", "cat")], [first, twice]) == {1: "a"}


def test_a_claim_made_while_waiting_counts() -> None:
    """A create that was answered in the meantime takes its task off the list."""
    claimed: set[str] = set()

    class Waiting(Account):
        async def finished(self, task_id: str) -> Task | None:
            claimed.add("a")
            return await super().finished(task_id)

    account = Waiting([done("a", "cat"), done("b", "cat")])
    assert asyncio.run(match(account, [lost(1, "cat")], list, claimed)) == {1: "b"}


def test_only_tasks_near_a_lost_submission_are_asked_for() -> None:
    """An account with thousands of tasks is not asked for all of them."""
    account = Account([done("near", "cat"), *(done(str(age), "cat", NOW_S - age) for age in range(100, 1000))])
    asyncio.run(match(account, [lost(1, "cat")], list, set()))
    assert account.asked == ["near"]


@given(
    st.lists(st.tuples(st.sampled_from("pq"), st.booleans()), max_size=5),
    st.lists(st.sampled_from("pq"), max_size=2),
)
def test_no_task_is_ever_given_to_a_submission_that_did_not_make_it(
    sent: list[tuple[str, bool]], strangers: list[str]
) -> None:
    """Whatever was lost, made or made by others: a match is the submission's own task where no stranger sent its prompt."""  # noqa: E501
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
    """Send each request with its answer lost, its listing too, and return what the journal keeps."""
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


def test_a_create_whose_answer_was_lost_is_found_at_once() -> None:
    """The account's list and the finished task's prompt give the task back; nothing is paid twice."""

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


def test_two_creates_of_one_prompt_that_were_lost_together_stay_unknown() -> None:
    """Two seeds of one prompt: neither is guessed, both stay open."""

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


def test_requests_that_wait_for_their_turn_are_no_rivals() -> None:
    """The same prompt with another seed has not been sent yet, so the lost task can't be its."""

    async def main() -> list[str]:
        journals = [Journal(), Journal()]
        async with Scripted() as server:
            server.script["create"].append(Reply(fault="drop", made=True))
            async with (provider := server.provider(interface="async", submits="2/second")).session():
                await asyncio.gather(*(provider.render(request_of(seed=seed), journals[seed]) for seed in (0, 1)))
        return [journal.handle for journal in journals]

    assert asyncio.run(main()) == ["task:task-0", "task:task-1"]


@pytest.mark.parametrize("ahead_s", [0.0, 4000.0, -4000.0])
def test_a_later_build_finds_the_task_by_itself(ahead_s: float) -> None:
    """Also when this machine's clock is an hour off."""

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


def test_tasks_of_settled_submissions_are_not_taken_for_lost_ones() -> None:
    """The same prompt with another seed was rendered a moment before: its task is claimed."""

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
    assert without == {2: "task:task-0"}  # which is why what is known must be told


def test_submissions_of_another_account_region_or_interface_are_left_alone() -> None:
    """Only what this key can see, on the interface that has tasks, and younger than they live."""

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


def test_a_listing_of_many_pages_is_read_to_its_end() -> None:
    """The task may stand on any page."""

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
