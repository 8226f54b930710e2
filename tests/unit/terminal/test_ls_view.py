"""The view of `ls`: a table, paths, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.plan.plan import Plan
from qwenbuild.terminal import ls_view
from tests.support.workspace import Workspace

OUT = Path("out")


@pytest.fixture
def plan(project: Workspace) -> Plan:
    """Three cells of long names, of which two are built."""
    word = "a-very-long-word-in-the-name-of-each-of-these-cells"
    spec = f'[image.a]\nprompt = "a"\nmatrix = {{ seed = [1, 20], word = ["{word}"] }}\n'
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})
    load(project.root).build()
    project.write({"specs/t.toml": '[image.b]\nprompt = "b"\nseed = "random"\nsize = "1:1"\n'})
    return load(project.root).plan()


def shown(plan: Plan, capsys: pytest.CaptureFixture[str], *, as_json: bool = False, null: bool = False) -> list[str]:
    """Return the lines on standard output; standard error comes last."""
    ls_view.show(plan, OUT, as_json=as_json, null=null)
    found = capsys.readouterr()
    return [*found.out.splitlines(), *found.err.splitlines()]


def test_paths_for_other_programs(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are not there are counted on standard error."""
    paths = [f"out/{path}" for path in plan.records]
    assert shown(plan, capsys) == [*paths, "1 output has no file yet"]
    one = Plan(plan.steps[:2], records=plan.records)
    assert shown(one, capsys) == paths
    lacking = Plan([plan.steps[2], plan.steps[2]])
    assert shown(lacking, capsys) == ["2 outputs have no file yet"]


def test_paths_that_end_with_nul(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no line break in the output."""
    ls_view.show(plan, OUT, as_json=False, null=True)
    assert capsys.readouterr().out == "".join(f"out/{path}\0" for path in plan.records)


def test_json(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Each output has a line; what is not known yet is null."""
    tables = [json.loads(line) for line in shown(plan, capsys, as_json=True)]
    built, random = tables[0], tables[2]
    record = plan.records[built["path"]]
    assert built == {
        "event": "output", "name": record.name, "path": record.path, "file": f"out/{record.path}", "exists": True,
        "verdict": "up_to_date", "model": "qwen-image-plus", "size": "1664x928", "seed": 1, "key": record.key,
        "image": record.image,
    }  # fmt: skip
    assert (random["name"], random["exists"], random["seed"], random["image"]) == ("t/b", False, None, None)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes standard output a terminal without colours of that many columns."""

    def make(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))

    return make


def test_a_table(plan: Plan, terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]) -> None:
    """It fits the terminal: long paths are shortened in the middle."""
    terminal(60)
    lines = shown(plan, capsys)
    assert lines == [
        "up to date   1664x928       1  out/s/a-1-a-ve…hese-cells.png",
        "up to date   1664x928      20  out/s/a-20-a-v…hese-cells.png",
        "    render  1328x1328  random  out/t/b.png",
    ]
    terminal(200)
    assert [line.split()[-1] for line in shown(plan, capsys)[:2]] == [f"out/{path}" for path in plan.records]
    assert shown(Plan([]), capsys) == []
