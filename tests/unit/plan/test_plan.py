"""The plan: its counts, its cost, and the requests of its steps."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qwenbuild import load
from qwenbuild.plan.plan import BillLine, Plan
from qwenbuild.provider import Price
from qwenbuild.request import Request
from tests.support.workspace import Workspace

SPEC = """\
[image.a]
prompt = "a red ball"
seed = 1
[image.b]
prompt = "a red ball"
seed = 1
[image.c]
prompt = "c"
"""


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project of three images, of which two are equal."""
    return project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})


def test_what_it_costs(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan counts its renders, their price and the shortest time; equal requests cost once."""
    found = load(place.root, provider="dashscope").plan()
    assert found.counts == {
        "up_to_date": 0, "restore": 1, "reattach": 0, "render": 2, "edited": 0, "unknown": 0, "missing": 0, "failed": 0,
        "orphans": 0,
    }  # fmt: skip
    assert {step.price for step in found.renders} == {Price(Decimal("0.220177"), "CNY")}
    assert found.cost == {"CNY": Decimal("0.440354")}
    assert found.shortest_s > 0
    assert Plan([]).cost == {}


def test_the_request_of_a_step(place: Workspace) -> None:
    """A step knows the present output's request."""
    load(place.root).build()
    place.write({"specs/s.toml": SPEC.replace("red", "blue")})
    step = load(place.root).plan().steps[0]
    assert step.before is not None
    assert Request.from_dict(dict(step.before)).prompt == "a red ball"


def test_the_bill(place: Workspace) -> None:
    """The bill has a line for each model: how many renders, the price of each, and the total."""
    place.write({"specs/s.toml": SPEC + 'model = "qwen-image-max"\n'})
    plus, most = Price(Decimal("0.220177")), Price(Decimal("0.550443"))
    bill = load(place.root, provider="dashscope").plan().bill
    assert bill == [BillLine("qwen-image-plus", 1, plus), BillLine("qwen-image-max", 1, most)]
    assert BillLine("m", 3, plus).total == Price(Decimal("0.660531"))
    assert load(place.root).plan().bill == []


def test_images_over_their_own_budget_are_told(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan names the image, what its renders cost, and the place of its limit."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmax_cost = 0.3\nmatrix.seed = [1, 2]\n'
                                   '[image.b]\nprompt = "b"\nmax_cost = 0.3\n'})  # fmt: skip
    [problem] = load(project.root).plan().advice
    assert problem.claim == "the 2 renders of s/a cost 0.44 CNY, more than its max_cost"
    assert str(problem.place) == "specs/s.toml:3:12"
