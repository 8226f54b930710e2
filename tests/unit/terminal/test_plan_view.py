"""A plan and a status as text."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from qwenbuild import load
from qwenbuild.candidates import Candidate, Likeness, Search
from qwenbuild.plan.plan import Orphan, Plan, Verdict
from qwenbuild.request import Submission
from qwenbuild.specs.action import Action
from qwenbuild.storage.records import Failure
from qwenbuild.terminal import plan_view
from qwenbuild.terminal.style import local_time
from tests.support.workspace import Workspace


def test_a_plan(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan ends with its counts, what each model costs, and the shortest time."""
    max_model = 'prompt = "b"\nmodel = "qwen-image-max"\n'
    spec = '[image.a]\nprompt = "a"\nmatrix = { seed = { start = 1, count = 9 } }\n'
    project.write({"specs/s.toml": f"{spec}[image.b]\n{max_model}[image.c]\n{max_model}seed = 0\n"})
    plan_view.show_plan(load(project.root, region="beijing").plan(), every=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "    render  s/a[seed=1]  never rendered"
    assert lines[9] == "    render  s/b          never rendered"
    assert lines[-5:] == [
        "11 to render",
        "      cost  1.80 CNY  (qwen-image-plus: 9 at 0.2)",
        "      cost  1.00 CNY  (qwen-image-max: 2 at 0.5)",
        "    in all  2.80 CNY",
        lines[-1],
    ]
    assert re.fullmatch(r"      time  at least .+, because of the service's rate limits", lines[-1])


def test_a_large_plan_has_an_overview(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """`every` lists all of its cells."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = { start = 1, count = 1100 } }\n'})
    plan = load(project.root).plan()
    plan_view.show_plan(plan, every=False)
    assert capsys.readouterr().out.splitlines() == [
        "image  render        cost",
        "s/a   1,100  242.19 CNY",
        "    render  never rendered, 1,100 cells",
        "            s/a[seed=1], s/a[seed=2], s/a[seed=3] and 1,097 more",
        "         …  `qwenbuild plan --all` lists each cell",
        "1,100 to render",
        "      cost  242.19 CNY  (qwen-image-plus: 1,100 at 0.220177)",
        "      time  at least 9 min 10 s, because of the service's rate limits",
    ]
    plan_view.show_plan(plan, every=True)
    assert len(capsys.readouterr().out.splitlines()) == 1103


def test_orphans_are_counted_if_they_do_not_fit(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A few are named."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\n'})
    plan = load(project.root).plan()
    orphans = [Orphan(f"s/{number}.png", "s/x", False) for number in range(30)]
    plan_view.show_plan(replace(plan, orphans=orphans[:2]), every=False)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "    render  s/a      never rendered",
        "    orphan  s/0.png  no spec declares it",
        "    orphan  s/1.png  no spec declares it",
    ]
    plan_view.show_plan(replace(plan, orphans=orphans), every=False)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "    render  s/a  never rendered",
        "    orphan  30 undeclared outputs; `qwenbuild clean --orphans` removes them",
        "1 to render, 30 orphans",
    ]
    plan_view.show_plan(replace(plan, orphans=orphans), every=True)
    assert len(capsys.readouterr().out.splitlines()) == 33


def test_what_is_given_and_what_models_cost_is_cut(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """So a plan fits on a screen, however many variables and models it has."""
    model = 'interfaces = ["sync"]\nsizes = ["1328*1328"]\nprice_cny = { singapore = "0.10" }\n'
    models = "".join(f"[models.m{at}]\n{model}" for at in range(7))
    images = "".join(f'[image.i{at}]\nprompt = "{{{{ v{at} }}}}"\nmodel = "m{at}"\n' for at in range(7))
    variables = "".join(f"v{at} = 1\n" for at in range(7))
    config = 'provider = "dashscope"\n'
    project.write({"qwenbuild.toml": config + models, "specs/s.toml": f"[vars]\n{variables}{images}"})
    given = [f"v{at}=2" for at in range(7)]
    plan_view.show_plan(load(project.root, variables=given).plan(), every=False)
    lines = [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()]
    assert "4 more" in lines
    assert "3 more models" in lines


def test_an_empty_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan without steps says that nothing is selected."""
    plan_view.show_plan(Plan([]), every=True)
    assert capsys.readouterr().out == "nothing is selected\n"


def test_candidates_stand_below_their_cell(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a lost answer; a line says who knows more. JSON has all of it."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2] }\n'})
    plan = load(project.root).plan()
    action = plan.steps[0].action
    candidate = Candidate("task:t", "t\x1b", "RUNNING", 3.0, "", Likeness.HIDDEN)
    lost = Submission(
        1, action.key, action.request, "dashscope", "", {}, 0.0, search=Search(7.0, 9.0, True, (candidate,))
    )
    steps = [plan.steps[0]._replace(verdict=Verdict.UNKNOWN, cause="lost", submission=lost), plan.steps[1]]
    plan_view.show_plan(replace(plan, steps=steps), every=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "   unknown  s/a[seed=1]  lost",
        "            candidate t\\x1b  RUNNING  created 3 s after the request  no prompt to compare",
    ]
    assert lines[2].startswith("            by the list of ")
    assert lines[3] == "    render  s/a[seed=2]  never rendered"
    assert "   unknown  `qwenbuild tasks` asks the service; `qwenbuild build --resubmit` sends them again" in lines
    table = plan_view.step_dict(steps[0])
    assert ([it["id"] for it in table["candidates"]], table["searched_at_s"]) == (["t\x1b"], 7.0)
    assert "candidates" not in plan_view.step_dict(steps[1])


def failed(action: Action, request_id: str = "1", claim: str = "no cats") -> Failure:
    """Return the last failure of an action."""
    facts = ("service says: \x1bno", f"request id: {request_id}")
    return Failure(action.output, action.key, "api.test", 1e9, True, claim, facts, "draw dogs", "NoCats")


def test_last_failures_stand_below_their_cells(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan says when and why; below a request that is not sent again, what to do. JSON has all of it."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2] }\n'})
    plan = load(project.root).plan()
    first, second = plan.steps
    failure = failed(first.action)
    steps = [
        first._replace(verdict=Verdict.FAILED, cause=f"not sent again: {failure.reason}", failure=failure, price=None),
        second._replace(failure=failed(second.action)),
    ]
    plan_view.show_plan(replace(plan, steps=steps), every=False)
    assert capsys.readouterr().out.splitlines()[:5] == [
        "    failed  s/a[seed=1]  not sent again: no cats: service says: \\x1bno",
        "            draw dogs",
        "    render  s/a[seed=2]  never rendered",
        f"            last failed {local_time(1e9)}: no cats: service says: \\x1bno",
        "1 to render, 1 failed",
    ]
    assert plan_view.step_dict(steps[0])["failure"] == {
        "at_s": 1e9, "claim": "no cats", "facts": ["service says: \x1bno", "request id: 1"], "hint": "draw dogs",
        "code": "NoCats",
    }  # fmt: skip


def test_what_to_do_is_said_once(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the first of many requests that are not sent again for one reason."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = { start = 1, count = 3 } }\n'})
    plan = load(project.root).plan()
    steps = [
        step._replace(verdict=Verdict.FAILED, cause="no cats", failure=failed(step.action), price=None)
        for step in plan.steps
    ]
    plan_view.show_plan(replace(plan, steps=steps), every=False)
    assert capsys.readouterr().out.splitlines()[:5] == [
        "    failed  s/a[seed=1]  no cats",
        "            draw dogs",
        "    failed  s/a[seed=2]  no cats",
        "    failed  s/a[seed=3]  no cats",
        "3 failed",
    ]


def test_equal_failures_have_one_line_in_a_status(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the first cells and counts the others; ids of requests make no difference."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "a"\nmatrix = { seed = { start = 1, count = 8 } }\n'})
    plan = load(project.root).plan()
    steps = [step._replace(failure=failed(step.action, str(at))) for at, step in enumerate(plan.steps)]
    steps[7] = steps[7]._replace(failure=failed(steps[7].action, claim="no dogs"))
    plan_view.show_status(replace(plan, steps=steps), None, as_json=False)
    names = ", ".join(f"s/a[seed={seed}]" for seed in range(1, 6))
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"    failed  {names} and 2 more: no cats: service says: \\x1bno",
        "    failed  s/a[seed=8]: no dogs: service says: \\x1bno",
    ]
    plan_view.show_status(replace(plan, steps=steps), None, as_json=True)
    [_, first, second, _] = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["event"], len(first["names"]), second["names"]) == ("failure", 7, ["s/a[seed=8]"])
