"""A plan as a comment on a pull request; the e2e tests compare it with a base."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.plan.plan import Orphan, Plan
from qwenbuild.plan.review import Change
from qwenbuild.problems import Problem
from qwenbuild.terminal.markdown import MOST_CHARACTERS, markdown
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "a ball"\nmatrix = { seed = [1, 2] }\n'


@pytest.fixture
def plan(project: Workspace) -> Plan:
    """The plan of two cells, free of charge."""
    project.write({"specs/s.toml": SPEC})
    return load(project.root, provider="null").plan()


def test_counts_come_first(plan: Plan) -> None:
    """Each verdict that occurs is a folded section with its steps and reasons."""
    assert markdown(plan) == (
        "### qwenbuild plan\n\n**2 to render**\n"
        "\n<details><summary>2 to render</summary>\n\n"
        "- `s/a[seed=1]`: `never rendered`\n- `s/a[seed=2]`: `never rendered`\n"
        "\n</details>\n"
    )


def test_an_empty_plan() -> None:
    """A plan without steps says that nothing is selected."""
    assert markdown(Plan([])) == "### qwenbuild plan\n\nnothing is selected\n"


def test_prices_are_a_table(project: Workspace) -> None:
    """Each model has a line with the number of renders, the price of one, and the total."""
    project.write({"specs/s.toml": SPEC})
    lines = markdown(load(project.root, region="beijing").plan()).splitlines()
    assert lines[4:7] == [
        "| model | renders | each | in all |",
        "|---|--:|--:|--:|",
        "| `qwen-image-plus` | 2 | 0.2 CNY | **0.40 CNY** |",
    ]


def test_orphans_and_warnings() -> None:
    """Orphans are counted and listed; warnings stand below the counts."""
    plan = Plan([], [Orphan("s/old.png", "s/old", False)], warnings=[Problem("the remote is slow")])
    assert markdown(plan) == (
        "### qwenbuild plan\n\n1 no longer declared\n\nWarning: `the remote is slow`\n"
        "\n<details><summary>1 no longer declared</summary>\n\n- `s/old.png`\n\n</details>\n"
    )


def test_changes_come_before_verdicts(plan: Plan) -> None:
    """A changed prompt is shown word by word; other fields are named."""
    step = plan.steps[0]
    before = {**step.action.request.as_dict(), "prompt": "a cube", "seed": 7}
    changes = [
        Change("dropped", "s/old", "s/old.png"),
        Change("added", step.action.name, step.action.output, step),
        Change("changed", step.action.name, step.action.output, step, before),
    ]
    text = markdown(plan, changes)
    sections = [line for line in text.splitlines() if "<summary>" in line]
    assert [line.split(">")[2].split("<")[0] for line in sections] == [
        "1 changed against the base", "1 added against the base", "1 dropped against the base", "2 to render"
    ]  # fmt: skip
    assert "- `s/a[seed=1]`: `seed 7 -> 1`\n\n  ```diff\n    a\n  - cube\n  + ball\n  ```\n" in text
    assert "- `s/a[seed=1]`\n\n  ```text\n  a ball\n  ```\n" in text
    assert "- `s/old`\n" in text


def test_backticks_can_not_end_a_span() -> None:
    """The delimiter of a span is longer than any run of backticks in its text."""
    plan = Plan([], [Orphan("a``b.png", "x", False)])
    assert "- ``` a``b.png ```\n" in markdown(plan)


def test_a_long_plan_fits_into_a_comment() -> None:
    """Items that do not fit are counted, and every section is closed."""
    plan = Plan([], [Orphan(f"{number:05}{'x' * 95}.png", "x", False) for number in range(2000)])
    text = markdown(plan)
    listed = text.count("\n- `")
    assert MOST_CHARACTERS - 200 < len(text) <= MOST_CHARACTERS
    assert text.endswith(f"\nand {2000 - listed:,} more\n\n</details>\n")
