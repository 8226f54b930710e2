"""The tasks of a project's service are listed and cancelled through the provider contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from qwenbuild import Engine, load
from qwenbuild.builder.lost_answers import Fate
from qwenbuild.candidates import Search
from qwenbuild.engine.tasks import engine_with_tasks, lost_answers, sent
from qwenbuild.errors import AccountError, ProviderError, Refused, UsageError
from qwenbuild.provider import Journal, Price, Rendered, ServiceTask
from qwenbuild.request import Request, Submission
from tests.support.routes import routes_of
from tests.support.workspace import Workspace


class Service:
    """A provider with tasks, other than the built-in one. Task `running` can't be cancelled, `locked` ends the run."""

    name, family, labelled, concurrency = "service", "service-1", False, 1

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def check(self, model: str) -> str | None:
        return None

    def price(self, model: str) -> Price | None:
        return None

    def shortest_s(self, renders: Mapping[str, int]) -> float:
        return 0.0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        yield

    async def render(self, request: Request, journal: Journal) -> Rendered:
        raise AssertionError("nothing is rendered")

    async def list_tasks(self, *, status: str = "") -> Sequence[ServiceTask]:
        tasks = [ServiceTask("1", "PENDING", handle="job/1"), ServiceTask("2", "DONE", handle="job/2")]
        return [task for task in tasks if status in ("", task.status)]

    async def cancel_task(self, task_id: str) -> str:
        if task_id == "running":
            raise Refused("it runs")
        if task_id == "locked":
            raise AccountError("no access")
        self.cancelled.append(task_id)
        return f"job/{task_id}"


@pytest.fixture
def engine(project: Workspace) -> Engine:
    """The engine of a project whose provider has tasks."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": '[image.a]\nprompt = "a"\n'})
    engine = load(project.root)
    engine.routes = routes_of(Service())
    return engine


def test_listing(engine: Engine) -> None:
    """The account's tasks are listed; with a status, only the tasks in that status."""
    assert [task.id for task in engine.account_tasks()] == ["1", "2"]
    assert [task.id for task in engine.account_tasks("DONE")] == ["2"]


def test_what_was_sent_is_known_after_it_was_collected(engine: Engine) -> None:
    """By its handle; a request that was refused is not among it."""
    action = engine.actions()[0]
    with engine.state(create=True) as state:
        for outcome in ("done", "refused"):
            number = state.intend(action.key, action.request.as_dict(), "service", {})
            state.accepted(number, f"job/{outcome}")
            state.settle(number, outcome)
    assert engine.in_flight() == []
    assert [*sent(engine)] == ["job/done"]


def test_cancelling(engine: Engine) -> None:
    """Each task is tried once; the project's own submission is settled, so the next build sends it again."""
    action = engine.actions()[0]
    with engine.state(create=True) as state:
        for handle in ("job/1", "job/9"):
            state.accepted(state.intend(action.key, action.request.as_dict(), "service", {}), handle)
    ended = engine.cancel_tasks(["1", "running", "1", "5"])
    assert {name: error and error.claim for name, error in ended.items()} == {
        "1": None,
        "running": "it runs",
        "5": None,
    }
    assert isinstance(engine.provider, Service)
    assert engine.provider.cancelled == ["1", "5"]
    assert [submission.handle for submission in engine.in_flight()] == ["job/9"]


def test_an_error_that_stops_the_run(engine: Engine) -> None:
    """After an error of the account no further task is tried."""
    ended: dict[str, ProviderError | None] = engine.cancel_tasks(["locked", "1"])
    assert list(ended) == ["locked"]


def test_a_provider_without_tasks(project: Workspace) -> None:
    """A provider without tasks is a usage error; `engine_with_tasks` chooses the built-in service instead."""
    project.write({"qwenbuild.toml": 'provider = "draft"\n'})
    with pytest.raises(UsageError) as caught:
        load(project.root).account_tasks()
    assert (caught.value.claim, caught.value.hint) == (
        'the provider "draft" has no tasks', "--provider dashscope has tasks",
    )  # fmt: skip
    other = engine_with_tasks(load(project.root), "beijing")
    assert (other.provider.name, other.options.region) == ("dashscope", "beijing")


class Searching(Service):
    """A service that also says what its list of tasks shows about lost answers."""

    says = Search(700.0, 660.0, is_whole=True)

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def search(
        self, lost: Sequence[Submission], others: Callable[[], Sequence[Submission]], *, patience_s: float = 0.0
    ) -> dict[int, Search]:
        self.asked += 1
        return {it.id: self.says for it in lost}


def test_lost_answers_are_looked_up(engine: Engine) -> None:
    """What was not billed is settled. Nothing is asked for submissions with a handle, or of another provider."""
    service = Searching()
    engine.routes = routes_of(service)
    action = engine.actions()[0]
    assert lost_answers(engine) == ()
    with engine.state(create=True) as state:
        state.accepted(state.intend(action.key, action.request.as_dict(), "service", {}), "job/1")
    assert (list(lost_answers(engine)), service.asked) == ([], 0)
    with engine.state(create=True) as state:
        state.intend("b" * 64, action.request.as_dict(), "another", {})
        lost = state.intend(action.key, action.request.as_dict(), "service", {})
    assert [(it.submission.id, it.fate) for it in lost_answers(engine)] == [(lost, Fate.NOT_BILLED)]
    assert [it.provider for it in engine.in_flight()] == ["another"]
