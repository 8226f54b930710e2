"""Adoption: which task a cell may take, and what every refusal says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild import Engine, load
from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.engine.adoption import adopt
from qwenbuild.errors import UsageError
from qwenbuild.provider import ServiceTask
from qwenbuild.request import Submission
from qwenbuild.storage.submissions import Submissions
from tests.support.builds import ScriptedProvider
from tests.support.routes import routes_of
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2, 3] }\n'


class Service(ScriptedProvider):
    """A provider with these tasks; `candidates` are shown for each lost answer, None for no answer at all."""

    def __init__(self, candidates: Sequence[Candidate] | None = (), tasks: Sequence[ServiceTask] = ()) -> None:
        super().__init__(price="0.20")
        self._candidates, self._tasks = candidates, tasks

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
    ) -> dict[int, Search]:
        if self._candidates is None:
            return {}
        return {it.id: Search(700.0, 660.0, True, tuple(self._candidates)) for it in lost}

    async def list_tasks(self, *, status: str = "") -> Sequence[ServiceTask]:
        return self._tasks

    async def cancel_task(self, task_id: str) -> str:
        raise AssertionError("nothing is cancelled")


@pytest.fixture
def engine(project: Workspace) -> Engine:
    """The engine of a project with three cells."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})
    return load(project.root)


@pytest.fixture
def exits() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def opened(engine: Engine, exits: ExitStack) -> Submissions:
    submissions = exits.enter_context(engine.submissions(exits.enter_context(engine.state(create=True))))
    submissions.prepare()
    return submissions


def lose(engine: Engine, *seeds: int, project: Path | None = None) -> None:
    """Record that the requests of these cells were sent, and no answer."""
    with ExitStack() as exits:
        submissions = opened(engine, exits)
        for action in engine.actions():
            if action.request.seed in seeds:
                submissions.intend(
                    action.key, action.request, {}, cell=action.name, forced=False,
                    price=engine.provider.price(action.model.name), replaces="", is_stored=lambda: False,
                )  # fmt: skip


def candidate(name: str, kind: Likeness = Likeness.SAME, prompt: str = "a") -> Candidate:
    return Candidate(f"task:{name}", name, "SUCCEEDED", 1.0, prompt, kind)


def refusal(engine: Engine, task: str, cell: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        adopt(engine, task, cell)
    return caught.value


@pytest.mark.parametrize("name", ["s/a[seed=1]", "out/s/a-1.png"])
def test_a_candidate_is_adopted(engine: Engine, name: str) -> None:
    """The cell has its handle then. A task that has not finished may be adopted, too."""
    engine.routes = routes_of(Service([candidate("x", Likeness.HIDDEN, ""), candidate("y")]))
    lose(engine, 1)
    if name.startswith("out/"):
        name = next(f"out/{action.output}" for action in engine.actions() if action.request.seed == 1)
    adopted = adopt(engine, "x", name)
    assert (adopted.cell, adopted.handle, adopted.context["adopted"]) == ("s/a[seed=1]", "task:x", True)
    error = refusal(engine, "y", name)
    assert error.claim == f"{name} is not unknown: it has its task already"
    assert error.facts == ("task: x",)


def test_a_task_with_another_prompt(engine: Engine) -> None:
    """Both prompts are shown."""
    engine.routes = routes_of(Service([candidate("x", Likeness.DIFFERENT, "b")]))
    lose(engine, 1)
    assert refusal(engine, "x", "s/a[seed=1]").facts == ("the task: b", "the cell: a")


def test_a_task_that_is_no_candidate(engine: Engine) -> None:
    """The account does not have it, or it is of another model, another time, or failed."""
    task = ServiceTask("other", "FAILED", "m", 1.0, "task:other")
    engine.routes = routes_of(Service([candidate("mine")], [task]))
    lose(engine, 1)
    error = refusal(engine, "mime", "s/a[seed=1]")
    assert (error.claim, error.hint) == ("the account has no task mime", 'did you mean "mine"?')
    error = refusal(engine, "other", "s/a[seed=1]")
    assert error.claim == "task other can't belong to s/a[seed=1]"
    assert error.facts[0].startswith("the task:  FAILED, model m, created 1970-01-01 ")
    assert error.facts[2] == "candidates: mine"
    engine.routes = routes_of(Service([], [replace(task, model="", created_at_s=None)]))
    error = refusal(engine, "other", "s/a[seed=1]")
    assert error.facts[0] == "the task:  FAILED, model unknown, created unknown"
    assert error.facts[2] == "candidates: none"


def test_a_task_of_another_cell(engine: Engine) -> None:
    """The refusal names the owner, whichever way the service shows the task."""
    engine.routes = routes_of(Service([candidate("x")], [ServiceTask("x", "SUCCEEDED", handle="task:x")]))
    lose(engine, 1, 2)
    adopt(engine, "x", "s/a[seed=1]")
    for candidates in ([candidate("x")], []):
        engine.routes = routes_of(Service(candidates, [ServiceTask("x", "SUCCEEDED", handle="task:x")]))
        error = refusal(engine, "x", "s/a[seed=2]")
        assert error.claim == "task x belongs to another cell"
        assert error.facts == ("cell:    s/a[seed=1]", "project: this one")


def test_a_cell_without_a_lost_answer(engine: Engine) -> None:
    """It says what the cell is, and names the nearest unknown one."""
    engine.routes = routes_of(Service([candidate("x")]))
    lose(engine, 1)
    error = refusal(engine, "x", "s/a[seed=3]")
    assert error.claim == "s/a[seed=3] has no lost answer: a build would find it render"
    assert error.facts == ("reason:  never rendered", "unknown: s/a[seed=1]")
    assert error.hint == 'did you mean "s/a[seed=1]"?'
    error = refusal(engine, "x", "s")
    assert error.claim == '"s" names 3 cells with different requests'
    assert "no cell" in refusal(engine, "x", "s/b").claim or "s/b" in refusal(engine, "x", "s/b").claim


def test_a_build_works_on_it(engine: Engine, exits: ExitStack) -> None:
    """Its answer is not lost yet."""
    engine.routes = routes_of(Service([candidate("x")]))
    submissions = opened(engine, exits)
    (action, *_) = engine.actions()
    submissions.intend(
        action.key, action.request, {}, cell=action.name, forced=False, price=engine.provider.price("m"),
        replaces="", is_stored=lambda: False,
    )  # fmt: skip
    error = refusal(engine, "x", action.name)
    assert error.claim == f"{action.name} is not unknown: a build works on it now"


def test_a_list_that_can_not_know_the_cell(engine: Engine) -> None:
    """As that of a sync request."""
    engine.routes = routes_of(Service(None))
    lose(engine, 1)
    assert (
        "the service's list of tasks does not show requests like this one" in refusal(engine, "x", "s/a[seed=1]").claim
    )


def test_another_process_is_quicker(engine: Engine, exits: ExitStack) -> None:
    """While the service is asked, the submission is settled."""

    class Slow(Service):
        async def list_tasks(self, *, status: str = "") -> Sequence[ServiceTask]:
            raise AssertionError("the task is a candidate")

        async def search(
            self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
        ) -> dict[int, Search]:
            submissions.settle(submissions.own()[0], "resubmitted")
            return await super().search(lost, others, patience_s=patience_s)

    engine.routes = routes_of(Slow([candidate("x")]))
    lose(engine, 1)
    submissions = opened(engine, exits)
    error = refusal(engine, "x", "s/a[seed=1]")
    assert error.claim == "s/a[seed=1] is not unknown any more: another process has dealt with it meanwhile"
