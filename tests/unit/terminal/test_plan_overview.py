"""The overview of a large plan: images, reasons and their first cells, in a given number of lines and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qwenbuild import load
from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.problems import columns
from qwenbuild.terminal.plan_overview import overview
from tests.support.workspace import Workspace


def planned(project: Workspace, images: int, cells: int = 10) -> Plan:
    """Return the plan of a project with this many images of this many cells."""
    spec = "".join(
        f'[image.poster-{at:03}]\nprompt = "p{at}"\nmatrix = {{ seed = {{ start = 1, count = {cells} }} }}\n'
        for at in range(images)
    )
    project.write({"specs/s.toml": spec})
    return load(project.root).plan()


def with_causes(plan: Plan, causes: Sequence[tuple[Verdict, str]]) -> Plan:
    """Return the plan with these verdicts and causes, in turn."""
    steps: list[Step] = []
    for at, step in enumerate(plan.steps):
        verdict, cause = causes[at % len(causes)]
        price = step.price if verdict is Verdict.RENDER else None
        steps.append(step._replace(verdict=verdict, cause=cause, price=price))
    return replace(plan, steps=steps)


def test_images_and_reasons(project: Workspace) -> None:
    """Each image has its counts and its price, each reason its number of cells and images."""
    causes = [(Verdict.RENDER, "never rendered"), (Verdict.EDITED, "by \x1b hand"), (Verdict.UP_TO_DATE, "")]
    plan = with_causes(planned(project, 2, 1200), causes)
    assert overview(plan, 25, None) == [
        "image         render  edited  up to date       cost",
        "s/poster-000     400     400         400  88.07 CNY",
        "s/poster-001     400     400         400  88.07 CNY",
        "    render  never rendered, 800 cells of 2 images",
        "            s/poster-000[seed=1], s/poster-000[seed=4], s/poster-000[seed=7] and 797 more",
        "    edited  by \\x1b hand, 800 cells of 2 images",
        "            s/poster-000[seed=2], s/poster-000[seed=5], s/poster-000[seed=8] and 797 more",
        "         …  `qwenbuild plan --all` lists each cell",
    ]


@pytest.mark.parametrize("wide", [None, 40, 80, 120])
@pytest.mark.parametrize("room", [8, 19, 24])
def test_many_images_and_reasons_are_counted(project: Workspace, room: int, wide: int | None) -> None:
    """The overview never has more lines or columns than it may have."""
    reasons = [(verdict, f"{verdict} because of {number}") for number in range(40) for verdict in Verdict]
    lines = overview(with_causes(planned(project, 40), reasons), room, wide)
    assert len(lines) <= room
    assert wide is None or max(map(columns, lines)) <= wide
    assert any(line.startswith("… ") and " more images" in line for line in lines)
    assert " more reasons" in lines[-1]


def test_the_numbers_of_images_that_are_not_named_are_added_up(project: Workspace) -> None:
    """Those with most work are named."""
    plan = planned(project, 12)
    steps = [step._replace(verdict=Verdict.UP_TO_DATE, price=None) for step in plan.steps[:100]]
    lines = overview(replace(plan, steps=[*steps, *plan.steps[100:]]), 8, None)
    assert lines[:6] == [
        "image            render  up to date      cost",
        "s/poster-000          -          10",
        "s/poster-010         10           -  2.20 CNY",
        "s/poster-011         10           -  2.20 CNY",
        "… 9 more images       -          90",
        "    render  never rendered, 20 cells of 2 images",
    ]


def test_the_largest_reason_of_each_verdict_comes_first(project: Workspace) -> None:
    """So nothing that needs attention is hidden behind the reasons of renders."""
    causes = [(Verdict.RENDER, f"cause {at}") for at in range(9)] + [(Verdict.MISSING, "lost")]
    lines = overview(with_causes(planned(project, 1, 100), causes), 10, None)
    assert [line for line in lines if line[:12].strip() in ("render", "missing")] == [
        "    render  cause 0, 10 cells",
        "    render  cause 1, 10 cells",
        "   missing  lost, 10 cells",
    ]
    assert lines[-1] == "         …  7 more reasons, 70 cells; `qwenbuild plan --all` lists each cell"


def test_a_narrow_terminal_leaves_out_what_can_be_missed(project: Workspace) -> None:
    """Names keep some columns, and both ends."""
    causes = [(verdict, "why") for verdict in Verdict]
    lines = overview(with_causes(planned(project, 1, 80), causes), 24, 60)
    assert lines[:2] == [
        "image         render  unknown  missing  failed      cost",
        "s/poster-000      10       10       10      10  2.20 CNY",
    ]
    assert max(map(columns, lines)) <= 60
