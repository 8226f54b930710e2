"""Lost answers: what is adopted and settled without an order, and what is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild.builder.lost_answers import Answer, Fate, LostAnswers
from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.errors import AccountError, ProjectError, ProviderError, ServiceFault
from qwenbuild.request import Submission
from qwenbuild.specs import user_config
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.builds import ScriptedProvider
from tests.support.scripted import request_of

NONE = Search(700.0, 660.0, True)
MINE = Candidate("task:1", "1", "SUCCEEDED", 1.0, "a cat", Likeness.SAME)


class Service(ScriptedProvider):
    """A provider whose list says the same about each lost answer, or fails."""

    def __init__(self, says: Search | ProviderError) -> None:
        super().__init__(price="0.20")
        self._says = says
        self.patience_s: list[float] = []
        self.asked: list[int] = []

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
    ) -> dict[int, Search]:
        self.patience_s.append(patience_s)
        self.asked += [it.id for it in lost]
        assert {it.uid for it in lost} <= {it.uid for it in others()}
        if isinstance(self._says, ProviderError):
            raise self._says
        return dict.fromkeys([it.id for it in lost], self._says)


@pytest.fixture
def submissions(tmp_path: Path) -> Iterator[Submissions]:
    """The submissions of a project whose provider costs money."""
    state = State.of(tmp_path, create=True)
    made = Submissions(state, tmp_path / "ledger", ScriptedProvider(price="0.20"), tmp_path)
    made.prepare()
    yield made
    made.close()
    state.close()


def lose(submissions: Submissions, prompt: str = "a cat") -> Submission:
    """Record that a request was sent, and no answer."""
    request = request_of(prompt)
    found = submissions.intend(
        request.key, request, {"interface": "async"}, cell=prompt, forced=False, price=ScriptedProvider().price("m"),
        replaces="", is_stored=lambda: False,
    )  # fmt: skip
    assert found
    return found


def be_sole_user(name: str = "scripted", value: str = "true") -> None:
    path = user_config.path()
    assert path
    path.parent.mkdir(parents=True)
    path.write_text(f"[providers.{name}]\nsole_user = {value}\n")


def fates(service: ScriptedProvider, submissions: Submissions, *lost: Submission, can_wait: bool = True) -> list[Fate]:
    found = asyncio.run(LostAnswers(service, submissions).resolve(lost, can_wait=can_wait))
    return [answer.fate for answer in found]


def test_what_the_list_proves_is_settled(submissions: Submissions) -> None:
    """The submission is not billed: its request may be sent again."""
    assert fates(Service(NONE), submissions, lose(submissions)) == [Fate.NOT_BILLED]
    assert submissions.open() == []


@pytest.mark.parametrize("search", [replace(NONE, is_whole=False), replace(NONE, read_at_s=650.0)])
def test_what_the_list_does_not_prove_stays_unknown(submissions: Submissions, search: Search) -> None:
    """What it says is remembered."""
    assert fates(Service(search), submissions, lose(submissions)) == [Fate.UNKNOWN]
    assert [it.search for it in submissions.open()] == [search]


def test_a_task_is_adopted_only_for_a_sole_user(submissions: Submissions) -> None:
    """Others can't have made it then. The user must say so of this provider."""
    lost, service = lose(submissions), Service(replace(NONE, candidates=(MINE,)))
    assert fates(service, submissions, lost) == [Fate.UNKNOWN]
    be_sole_user("another")
    assert fates(service, submissions, lost) == [Fate.UNKNOWN]
    user_config.path().unlink()  # type: ignore[union-attr]  # the user has a home folder
    user_config.path().parent.rmdir()  # type: ignore[union-attr]
    be_sole_user()
    assert fates(service, submissions, lost) == [Fate.ADOPTED]
    assert [it.handle for it in submissions.open()] == ["task:1"]


def test_one_task_is_not_adopted_twice(submissions: Submissions) -> None:
    """If two lost answers fit one task, the second stays UNKNOWN."""
    be_sole_user()
    lost = [lose(submissions), lose(submissions, "another")]
    assert fates(Service(replace(NONE, candidates=(MINE,))), submissions, *lost) == [Fate.ADOPTED, Fate.UNKNOWN]


def test_what_an_answer_holds(submissions: Submissions) -> None:
    """The submission as it is now: with the handle of its task, or with what the list showed."""
    be_sole_user()
    lost = [lose(submissions), lose(submissions, "another")]
    found = replace(NONE, candidates=(MINE,))
    service = Service(found)
    [one, two] = asyncio.run(LostAnswers(service, submissions).resolve(lost, can_wait=True))
    assert (one.submission.uid, one.submission.handle) == (lost[0].uid, "task:1")
    assert two.submission == replace(lost[1], search=found)
    [again] = asyncio.run(LostAnswers(Service(NONE), submissions).resolve(lost[1:], can_wait=True))
    assert again == Answer(replace(lost[1], search=NONE), Fate.NOT_BILLED)


def test_a_search_alone_never_waits(submissions: Submissions) -> None:
    """It returns what the list shows, and remembers it; nothing is adopted or settled."""
    be_sole_user()
    lost, service = lose(submissions), Service(NONE)
    [found] = asyncio.run(LostAnswers(service, submissions).searched([lost]))
    assert (found, service.patience_s) == (replace(lost, search=NONE), [0.0])
    assert [it.search for it in submissions.open()] == [NONE]


def test_a_list_that_says_nothing_about_a_submission(submissions: Submissions) -> None:
    """It stays UNKNOWN, and what an earlier list said is kept for plans."""

    class Silent(Service):
        async def search(self, *arguments: object, **named: object) -> dict[int, Search]:
            return {}

    earlier = replace(NONE, is_whole=False)
    lost = lose(submissions)
    asyncio.run(LostAnswers(Service(earlier), submissions).searched([lost]))
    [answer] = asyncio.run(LostAnswers(Silent(NONE), submissions).resolve([lost], can_wait=True))
    assert (answer.fate, answer.submission.search) == (Fate.UNKNOWN, None)
    assert [it.search for it in submissions.open()] == [earlier]


def test_what_the_list_is_compared_with(submissions: Submissions) -> None:
    """The submissions of this provider, of the last two days."""
    mine = lose(submissions)
    with contextlib.closing(sqlite3.connect(submissions._opened.path)) as db, db:
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(submissions)") if name != "id"]
        for uid, change in (("old", "intended_at_s - 172900"), ("young", "intended_at_s - 172700")):
            chosen = [f"'{uid}'" if it in ("uid", "key") else change if it == "intended_at_s" else it for it in columns]
            db.execute(f"INSERT INTO submissions ({','.join(columns)}) SELECT {','.join(chosen)} FROM submissions"
                       " WHERE uid = ?", [mine.uid])  # fmt: skip
    recent = LostAnswers(Service(NONE), submissions).recent()
    assert {it.uid for it in recent} == {mine.uid, "young"}
    other = ScriptedProvider()
    other.name = "other"
    assert LostAnswers(other, submissions).recent() == []


def test_only_a_sole_user_waits_for_tasks(submissions: Submissions) -> None:
    """For others, the end of a task would change nothing. `qwenbuild tasks` never waits."""
    lost, service = lose(submissions), Service(replace(NONE, is_whole=False))
    fates(service, submissions, lost)
    be_sole_user()
    fates(service, submissions, lost)
    fates(service, submissions, lost, can_wait=False)
    assert service.patience_s == [0.0, 300.0, 0.0]


def test_a_list_that_can_not_be_read(submissions: Submissions) -> None:
    """Everything stays UNKNOWN, also if an earlier list proved something. An error of the account ends the run."""
    lost = replace(lose(submissions), search=NONE)
    assert fates(Service(ServiceFault("not now")), submissions, lost) == [Fate.UNKNOWN]
    assert len(submissions.open()) == 1
    with pytest.raises(AccountError):
        fates(Service(AccountError("no key")), submissions, lost)


def test_a_provider_without_a_list(submissions: Submissions) -> None:
    """Its lost answers stay UNKNOWN."""
    lost = replace(lose(submissions), search=NONE)
    assert fates(ScriptedProvider(), submissions, lost) == [Fate.UNKNOWN]


def test_a_submission_of_a_living_process_is_left_alone(submissions: Submissions) -> None:
    """Its answer is still awaited."""
    service = Service(NONE)
    held = replace(lose(submissions), is_held=True)
    assert fates(service, submissions, held) == [Fate.UNKNOWN]
    assert service.asked == []
    lost = lose(submissions, "another")
    assert fates(service, submissions, held, lost) == [Fate.UNKNOWN, Fate.NOT_BILLED]


def test_a_mistake_in_the_users_config_is_an_error(submissions: Submissions) -> None:
    """It is read only if a task could be adopted, or waited for."""
    be_sole_user(value='"yes"')
    lost = lose(submissions)
    assert fates(Service(replace(NONE, is_whole=False)), submissions, lost, can_wait=False) == [Fate.UNKNOWN]
    with pytest.raises(ProjectError):
        fates(Service(replace(NONE, candidates=(MINE,))), submissions, lost, can_wait=False)
