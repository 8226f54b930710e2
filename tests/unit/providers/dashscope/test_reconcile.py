"""Reconciliation: which tasks a lost submission may have made, and when a list proves that it made none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.errors import AnswerLost, ProviderError
from qwenbuild.provider import Rendered
from qwenbuild.providers.dashscope.reconcile import Listing, check_adopted, check_size, search
from qwenbuild.providers.dashscope.wire import Task
from qwenbuild.request import Request, Size, Submission
from tests.support.scripted import Journal, Reply, Scripted, fails, png_of, request_of, says

NOW_S = 1_800_000_000.0
PLACE = {"account": "k", "region": "singapore", "host": "h", "interface": "async"}


def lost(number: int, prompt: str = "cat", at_s: float = NOW_S, model: str = "m", **context: str) -> Submission:
    request = request_of(prompt, model=model, seed=number)
    return Submission(number, request.key, request, "dashscope", "", {**PLACE, **context}, at_s)


def owner(task_id: str, at_s: float = NOW_S, number: int = 99) -> Submission:
    return replace(lost(number, "dog", at_s), handle=f"task:{task_id}")


def done(
    task_id: str, prompt: str = "cat", at_s: float | None = NOW_S + 1, status: str = "SUCCEEDED", model: str = "m",
    **more: Any,
) -> Task:  # fmt: skip
    return Task(task_id, status, model, created_at_s=at_s, prompt=prompt if status == "SUCCEEDED" else "", **more)


class Account:
    """An account with these tasks. Tasks that are `silent` can't be queried; `running` ones end when waited for."""

    def __init__(
        self, tasks: Sequence[Task], *, ahead_s: float | None = 0.0, read_s: float = 660.0, is_whole: bool = True,
        silent: Sequence[str] = (), running: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._tasks, self._silent, self._running = tasks, silent, running
        self._listing = (NOW_S + read_s, ahead_s, is_whole)
        self.asked: list[str] = []
        self.patience_s: set[float] = set()
        self.is_listed = False

    async def listed(self) -> Listing:
        self.is_listed = True
        shown = [
            Task(it.id, "RUNNING" if it.id in self._running else it.status, it.model, created_at_s=it.created_at_s)
            for it in self._tasks
        ]
        return Listing(shown, *self._listing)

    async def shown(self, task_id: str, patience_s: float) -> Task | None:
        self.asked.append(task_id)
        self.patience_s.add(patience_s)
        return None if task_id in self._silent else next(it for it in self._tasks if it.id == task_id)


def searched(
    tasks: Sequence[Task], wanted: Sequence[Submission], known: Sequence[Submission] = (), *,
    patience_s: float = 0.0, **more: Any,
) -> dict[int, Search]:  # fmt: skip
    account = Account(tasks, **more)
    others = lambda: [*wanted, *known]  # noqa: E731
    return asyncio.run(search(account, wanted, others, lost_within_s=60.0, patience_s=patience_s))


def found(tasks: Sequence[Task], known: Sequence[Submission] = (), **more: Any) -> dict[str, str]:
    """Return the likeness of each candidate of one lost submission, by id."""
    one = searched(tasks, [lost(1)], known, **more)[1]
    return {it.id: it.likeness.value for it in one.candidates}


@pytest.mark.parametrize(
    ("tasks", "more", "expected"),
    [
        ([done("a")], {}, {"a": "same"}),
        ([done("a", "dog"), done("b")], {}, {"a": "different", "b": "same"}),
        ([done("a"), done("b")], {}, {"a": "same", "b": "same"}),
        ([done("a", at_s=None)], {}, {"a": "same"}),
        ([done("a"), done("f", status="FAILED"), done("c", status="CANCELED")], {}, {"a": "same"}),
        ([done("i", "", code="DataInspectionFailed")], {}, {}),
        ([], {}, {}),
        ([done("a"), done("b")], {"known": [owner("a")]}, {"b": "same"}),
        ([done("a", at_s=NOW_S - 70)], {}, {}),
        ([done("a", at_s=NOW_S - 40)], {}, {"a": "same"}),
        ([done("a", at_s=NOW_S + 170)], {}, {"a": "same"}),
        ([done("a", at_s=NOW_S + 190)], {}, {}),
        ([done("a", at_s=NOW_S + 7200)], {"ahead_s": 7200.0}, {"a": "same"}),
        ([done("a")], {"ahead_s": 7200.0}, {}),
        ([done("r", status="RUNNING")], {}, {"r": "hidden"}),
        ([done("r", "")], {}, {"r": "hidden"}),
        ([done("a")], {"silent": ["a"]}, {"a": "hidden"}),
        ([done("a", model="other")], {}, {}),
        ([done("a", model="m-2026-01-09")], {}, {"a": "same"}),
        ([done("a", model="")], {}, {"a": "same"}),
        ([done("a")], {"running": ["a"]}, {"a": "hidden"}),
        ([done("a")], {"running": ["a"], "patience_s": 9.0}, {"a": "same"}),
        ([done("f", status="FAILED")], {"running": ["f"], "patience_s": 9.0}, {}),
        ([done("c", status="CANCELED")], {"running": ["c"], "patience_s": 9.0}, {}),
        ([done("i", code="InvalidParameter", url="https://a.test/1.png")], {}, {"i": "same"}),
        ([done("a", at_s=NOW_S - 60)], {}, {"a": "same"}),
        ([done("a", at_s=NOW_S - 61)], {}, {}),
        ([done("a", at_s=NOW_S + 180)], {}, {"a": "same"}),
        ([done("a", at_s=NOW_S + 181)], {}, {}),
        ([done("a", at_s=NOW_S - 60)], {"ahead_s": None}, {"a": "same"}),
        ([done("a", at_s=NOW_S + 181)], {"ahead_s": None}, {}),
        ([done("a", model="other", at_s=None)], {}, {}),
        ([done("a", model="n-2026-01-09")], {}, {}),
        ([done("a", model="m-2026-01")], {}, {}),
    ],
)  # fmt: skip
def test_candidates(tasks: list[Task], more: dict[str, Any], expected: dict[str, str]) -> None:
    """A candidate is of the model and the time, is no other submission's, and did not fail."""
    assert found(tasks, **more) == expected


def test_a_candidate_has_the_facts_that_a_person_needs() -> None:
    """Its time is by this machine's clock."""
    one = searched([done("a", at_s=NOW_S + 41)], [lost(1)], ahead_s=40.0)[1]
    assert one == Search(
        NOW_S + 660, NOW_S + 660, True,
        (Candidate("task:a", "a", "SUCCEEDED", NOW_S + 1, "cat", Likeness.SAME),),
    )  # fmt: skip


def test_a_candidate_of_a_service_without_a_clock() -> None:
    """Its time is as the service says; the status is that of the list if a later query shows none."""
    account = Account([done("a", at_s=NOW_S + 41)], ahead_s=None)

    class Terse(Account):
        async def shown(self, task_id: str, patience_s: float) -> Task | None:
            return replace(done("a"), status="")

    for asked in (account, Terse([done("a", at_s=NOW_S + 41)], ahead_s=None)):
        found = asyncio.run(search(asked, [lost(1)], list, lost_within_s=60.0))
        [one] = found[1].candidates
        assert (one.created_at_s, one.status) == (NOW_S + 41, "SUCCEEDED")
    [one] = searched([done("a", at_s=None)], [lost(1)])[1].candidates
    assert one.created_at_s is None


def test_the_owners_are_read_after_the_list() -> None:
    """A task that was created meanwhile has its owner on record then."""
    account = Account([done("a")])

    def others() -> Sequence[Submission]:
        assert account.is_listed
        return [owner("a")]

    assert asyncio.run(search(account, [lost(1)], others, lost_within_s=60.0))[1].candidates == ()


@pytest.mark.parametrize(("patience_s", "asked"), [(0.0, ["a"]), (7.0, ["a", "p", "r"])])
def test_which_tasks_are_queried(patience_s: float, asked: list[str]) -> None:
    """Those that have ended; the others only with patience, which is handed on."""
    account = Account([done("a"), done("p", status="PENDING"), done("r", status="RUNNING")])
    asyncio.run(search(account, [lost(1)], list, lost_within_s=60.0, patience_s=patience_s))
    assert (account.asked, account.patience_s) == (asked, {patience_s})


def test_a_search_without_a_word_on_patience_has_none() -> None:
    """Running tasks are not waited for."""
    account = Account([done("a"), done("r", status="RUNNING")])
    asyncio.run(search(account, [lost(1)], list, lost_within_s=60.0))
    assert (account.asked, account.patience_s) == (["a"], {0.0})


def test_many_tasks_are_queried_a_few_at_a_time() -> None:
    """Five at once, two hundred in all; the prompts of the others stay hidden."""

    class Busy(Account):
        running = most = 0

        async def shown(self, task_id: str, patience_s: float) -> Task | None:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
            self.running -= 1
            return await super().shown(task_id, patience_s)

    account = Busy([done(str(number)) for number in range(203)])
    found = asyncio.run(search(account, [lost(1)], list, lost_within_s=60.0))[1]
    assert (account.most, len(account.asked), len(found.candidates)) == (5, 200, 203)
    assert [it.likeness.value for it in found.candidates] == ["same"] * 200 + ["hidden"] * 3


def test_several_rivals() -> None:
    """All that may have made the task are counted."""
    rivals = [lost(2), lost(3), lost(4, "dog"), lost(5, at_s=NOW_S - 3600)]
    assert searched([done("a")], [lost(1)], rivals)[1].candidates[0].rivals == 2
    ahead = searched([done("a", at_s=NOW_S + 7200)], [lost(1)], [lost(2)], ahead_s=7200.0)
    assert ahead[1].candidates[0].rivals == 1


def test_a_submission_to_a_dated_model() -> None:
    """The list may name it without the date, or another date of it."""
    wanted = lost(1, model="m-2026-01-09")
    tasks = [done("a"), done("b", model="m-2025-11-11"), done("c", model="n")]
    assert [it.id for it in searched(tasks, [wanted])[1].candidates] == ["a", "b"]


def test_a_list_of_the_same_moment() -> None:
    """It has every task that was accepted by then; it proves nothing yet."""
    one = searched([], [lost(1)], read_s=0.0)[1]
    assert (one.is_whole, one.is_not_billed) == (True, False)


@pytest.mark.parametrize(
    ("rival", "count"),
    [
        (lost(2), 1),
        (lost(2, "cat that is longer"), 1),
        (lost(2, "dog"), 0),
        (lost(2, at_s=NOW_S - 3600), 0),
        (lost(2, model="other"), 0),
        (lost(2, account="other"), 0),
        (lost(2, region="beijing"), 0),
        (lost(2, host="other"), 0),
        (lost(2, interface="sync"), 0),
        (replace(lost(2), handle="task:z"), 0),
        (replace(lost(1), id=2), 0),
    ],
)
def test_rivals(rival: Submission, count: int) -> None:
    """A rival is another lost submission of the account that may have made the same task."""
    one = searched([done("a"), done("z", "dog")], [lost(1)], [rival])[1]
    assert one.candidates[0].rivals == count
    assert (one.certain is None) == bool(count)


@pytest.mark.parametrize(
    ("more", "is_not_billed"),
    [
        ({}, True),
        ({"read_s": 540.0}, False),
        ({"read_s": 659.0}, False),
        ({"is_whole": False}, False),
        ({"ahead_s": None}, False),
        ({"ahead_s": 40.0}, True),
        ({"ahead_s": -40.0}, True),
        ({"read_s": 23.5 * 3600}, True),
        ({"read_s": 24.0 * 3600}, False),
        ({"read_s": -3600.0}, False),
        ({"tasks": [done("a")]}, False),
        ({"tasks": [done("a", "dog")]}, True),
        ({"tasks": [done("a", "ca")]}, False),
        ({"tasks": [done("a", status="RUNNING")]}, False),
        ({"tasks": [done("a", status="FAILED")]}, True),
        ({"tasks": [done("a", at_s=NOW_S + 45)], "ahead_s": 40.0}, False),
        ({"tasks": [done("a", at_s=NOW_S + 165)], "ahead_s": -40.0}, True),
        ({"tasks": [done("a")], "known": [owner("a")]}, True),
        ({"known": [owner("a")]}, False),
        ({"known": [owner("a", NOW_S - 4000)]}, True),
        ({"known": [owner("a", NOW_S - 3600)]}, False),
        ({"known": [owner("a", NOW_S + 3600)], "read_s": 7200.0}, False),
        ({"known": [owner("a", NOW_S + 3601)], "read_s": 7200.0}, True),
        ({"known": [replace(owner("a"), handle="result:r:u")]}, True),
        ({"known": [replace(owner("a"), context={**PLACE, "account": "other"})]}, True),
        ({"known": [replace(owner("a"), context={**PLACE, "region": "beijing"})]}, True),
        ({"known": [replace(owner("a"), context={**PLACE, "host": "other"})]}, True),
        ({"known": [owner("a", NOW_S - 1)], "read_s": 24 * 3600.0 - 601}, False),
        ({"known": [owner("a", NOW_S - 1)], "read_s": 24 * 3600.0 - 600}, True),
        ({"tasks": [done("a", "dog")], "known": [owner("a")]}, True),
        ({"tasks": [done("a", "dog"), done("b", "dog", model="other")], "known": [owner("a"), owner("b")]}, False),
        ({"read_s": 24 * 3600.0 - 600}, True),
        ({"read_s": 24 * 3600.0 - 599}, False),
        ({"read_s": 660.0}, True),
        ({"tasks": [done("a", model="other")], "known": [owner("a")]}, False),
    ],
)  # fmt: skip
def test_what_proves_that_nothing_was_billed(more: dict[str, Any], is_not_billed: bool) -> None:
    """A whole list, read ten minutes after the loss, by a known clock, without an unexplained task.

    It must also show the tasks on record from about the same time, under their model's name.
    """
    choices = {"tasks": [], **more}
    assert searched(wanted=[lost(1)], **choices)[1].is_not_billed is is_not_billed


def test_only_tasks_near_a_lost_submission_are_queried() -> None:
    """Of an account with thousands of tasks, only those of the right time are queried."""
    account = Account([done("near"), *(done(str(age), "cat", NOW_S - age) for age in range(100, 1000))])
    asyncio.run(search(account, [lost(1)], list, lost_within_s=60.0))
    assert account.asked == ["near"]


@given(
    st.lists(st.tuples(st.sampled_from("pq"), st.booleans()), max_size=5),
    st.lists(st.sampled_from("pq"), max_size=2),
)
def test_a_certain_task_is_the_submissions_own(sent: list[tuple[str, bool]], strangers: list[str]) -> None:
    """This holds for all combinations of lost and made tasks, if no other program sent the same prompt.

    A submission that made a task is never called not billed.
    """
    submissions = [lost(number, prompt) for number, (prompt, _) in enumerate(sent)]
    tasks = [done(str(number), prompt) for number, (prompt, is_made) in enumerate(sent) if is_made]
    tasks += [done(f"s{number}", prompt) for number, prompt in enumerate(strangers)]
    for number, one in searched(tasks, submissions).items():
        prompt, is_made = sent[number]
        assert not (is_made and one.is_not_billed)
        if one.certain and prompt not in strangers:
            assert one.certain.id == str(number)


# --- over HTTP ---


async def submitted_and_lost(server: Scripted, *requests: Request, made: bool = True) -> list[Submission]:
    """Submit each request and lose the answer; return the open submissions."""
    submissions = []
    async with (provider := server.provider(interface="async")).session():
        for number, request in enumerate(requests, 1):
            journal = Journal()
            server.script["create"].append(Reply(fault="drop", made=made))
            with pytest.raises(AnswerLost):
                await provider.render(request, journal)
            assert journal.kinds == ["intend"]
            submissions.append(journal.submission(request, number))
    return submissions


async def asked(
    server: Scripted, submissions: Sequence[Submission], known: Sequence[Submission] = (), **table: Any
) -> dict[int, Search]:
    async with (provider := server.provider(interface="async", **table)).session():
        return dict(await provider.search(submissions, lambda: [*submissions, *known], patience_s=5.0))


@pytest.mark.parametrize("ahead_s", [0.0, 40.0, 4000.0, -4000.0])
def test_the_service_shows_the_task(ahead_s: float) -> None:
    """Also if this machine's clock is wrong by an hour."""

    async def main() -> dict[int, Search]:
        async with Scripted() as server:
            server.ahead_s = ahead_s
            server.add_task("another program's prompt")
            return await asked(server, await submitted_and_lost(server, request_of("a"), request_of("b")))

    found = asyncio.run(main())
    certain = {number: one.certain.id for number, one in found.items() if one.certain}
    assert certain == {1: "task-1", 2: "task-2"}
    # A create may take 60 seconds; the list shows each accepted task ten minutes later.
    assert all(600 < one.decides_from_s - one.read_at_s <= 660 for one in found.values())


def test_submissions_that_the_list_can_not_know_are_left_out() -> None:
    """Those of another account, region, host, workspace or interface. Nothing is asked for them alone."""

    async def main() -> tuple[list[str], list[int]]:
        async with Scripted() as server:
            (mine,) = await submitted_and_lost(server, request_of())
            changes = [
                {"account": "x"}, {"region": "beijing"}, {"host": "h"}, {"interface": "sync"}, {"workspace": "w"},
            ]  # fmt: skip
            others = [
                replace(mine, id=number, context={**mine.context, **change})
                for number, change in enumerate(changes, 10)
            ]
            assert await asked(server, others) == {}
            paths = server.paths("GET")
            return paths, list(await asked(server, [*others, mine]))

    assert asyncio.run(main()) == ([], [1])


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 170])
def test_all_pages_of_the_list_are_read(count: int) -> None:
    """The task may be on any page. A list whose last page is full is whole, too."""

    async def main() -> Search:
        async with Scripted() as server:
            for number in range(count):
                server.add_task(f"old {number}", age_s=7200)
            return (await asked(server, await submitted_and_lost(server, request_of())))[1]

    one = asyncio.run(main())
    assert (one.certain and one.certain.id, one.is_whole) == (f"task-{count}", True)


def page(*tasks: str, total: int | None = None) -> Reply:
    created_ms = int(time.time() * 1000)
    data = [
        {"task_id": it, "model_name": "qwen-image-plus", "gmt_create": created_ms, "status": "RUNNING"} for it in tasks
    ]
    return says(200, {"data": data, **({} if total is None else {"total": total})})


FULL = [f"t{number}" for number in range(50)]


@pytest.mark.parametrize(
    ("pages", "is_whole"),
    [
        ([page(total=0)], True),
        ([page()], True),
        ([page("a", total=1)], True),
        ([page("a"), page()], True),
        ([page(*FULL, total=50), page(total=50)], True),
        ([page(*FULL, total=60), fails(400, "InvalidParameter")], False),
        ([page(*FULL, total=60), page(*FULL, total=60)], False),
        ([page("a", total=2), page(total=2)], False),
        ([page("a"), page("a")], False),
        ([page(*FULL, total=50), page("b", total=51)], True),
        ([says(200, {"request_id": "r"})], False),
        ([says(200, {"data": [{"status": "RUNNING"}], "total": 0})], False),
        ([page("a", total=2), says(200, {"data": [7], "total": 2}), page(total=1)], False),
    ],
)
def test_a_list_that_is_not_whole_proves_nothing(pages: list[Reply], is_whole: bool) -> None:
    """A page that fails, repeats another, or can't be read, and a count that is not reached: a task may be missing."""

    async def main() -> Search:
        async with Scripted() as server:
            (mine,) = await submitted_and_lost(server, request_of(), made=False)
            server.script["list"].extend(pages)
            return (await asked(server, [mine]))[1]

    assert asyncio.run(main()).is_whole is is_whole


def test_a_list_that_can_not_be_read_is_an_error() -> None:
    """The caller decides what this means."""

    async def main() -> None:
        async with Scripted() as server:
            (mine,) = await submitted_and_lost(server, request_of(), made=False)
            server.script["list"].append(fails(400, "InvalidParameter"))
            with pytest.raises(ProviderError):
                await asked(server, [mine])

    asyncio.run(main())


def test_an_adopted_task_is_the_requests_own() -> None:
    """It has an image of the request's size, and a prompt that does not differ."""
    request = request_of("a cat", size=Size(64, 32))
    made = Rendered(png_of(Size(64, 32)))
    check_adopted(Task("t", "SUCCEEDED", url="https://x", prompt="a cat"), request)
    check_size(made, Task("t", "SUCCEEDED"), request)
    for task, said in ((Task("t", "FAILED"), "is FAILED"), (Task("t", "X", url="u", prompt="a dog"), "another prompt")):
        with pytest.raises(AnswerLost, match=said):
            check_adopted(task, request)
    with pytest.raises(AnswerLost, match="another size"):
        check_size(made, Task("t", "SUCCEEDED"), request_of("a cat"))
