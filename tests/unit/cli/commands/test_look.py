"""The commands plan, explain, lint, status, show and report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.unit.cli.conftest import Command


def events(out: str) -> list[dict[str, Any]]:
    """Return the JSON objects of the lines."""
    return [json.loads(line) for line in out.splitlines()]


def test_plan_has_three_forms(command: Command) -> None:
    """A plan is a table, JSON or Markdown; JSON and Markdown together are an error."""
    assert command("plan")[1].splitlines()[-1] == "2 to render"
    assert [event["event"] for event in events(command("plan", "--json")[1])] == ["step", "step", "planned"]
    assert command("plan", "--markdown")[1].startswith("### qwenbuild plan\n\n**2 to render**\n")
    code, out, err = command("plan", "--json", "--markdown")
    assert (code, out, err.splitlines()[0]) == (2, "", "error: --json and --markdown exclude each other")


def test_explain_is_a_text_or_json(command: Command) -> None:
    """`explain` describes each selected cell."""
    code, out, _ = command("explain", "-w", "seed=1")
    assert (code, out.splitlines()[0]) == (0, "s/a[seed=1]")
    (table,) = events(command("explain", "--json", "-w", "seed=1")[1])
    assert table["name"] == "s/a[seed=1]"


def test_lint_exits_with_2_only_if_that_is_asked(command: Command) -> None:
    """`lint` writes nothing into the project, and `--strict` makes a finding an error."""
    assert command("lint", "--strict") == (0, "nothing found\n", "")
    Path("specs/s.toml").write_text('[image.a]\nprompt = "a"\nvars.b = 1\n')
    code, out, err = command("lint")
    assert (code, out.splitlines()[0], err) == (0, 'unused-variable: no template reads the variable "b"', "")
    assert command("lint", "--strict")[0] == 2
    code, out, _ = command("lint", "--strict", "--json", "s/a")
    assert (code, [event["event"] for event in events(out)]) == (2, ["finding", "linted"])
    assert sorted(path.name for path in Path().iterdir()) == ["qwenbuild.toml", "specs"]


def test_status_names_images_and_the_last_build(command: Command) -> None:
    """`status` has a line for each image; after a build it ends with the counts of that build."""
    assert command("status") == (0, "s/a  2 to render\n", "")
    command("build", "-w", "seed=1")
    lines = command("status")[1].splitlines()
    assert lines[0] == "s/a  1 to render, 1 up to date"
    assert re.fullmatch(r"last build .*: 1 rendered", lines[1])
    assert [event["event"] for event in events(command("status", "--json")[1])] == ["image", "status"]


def test_show_prints_the_provenance_of_an_image(command: Command) -> None:
    """Only an image with provenance can be shown."""
    command("build", "-w", "seed=1")
    (table,) = events(command("show", "--json", "out/s/a-1.png")[1])
    assert table["request"]["seed"] == 1
    assert command("show", "out/s/a-1.png")[1].endswith("\n\na\n")
    code, _, err = command("show", "qwenbuild.toml")
    assert (code, err) == (
        2,
        "error: qwenbuild.toml carries no provenance\n  = hint: only images that qwenbuild wrote carry one\n\n"
        "`qwenbuild explain-error no-provenance` says more about it\n",
    )


def test_report_says_what_it_wrote(command: Command) -> None:
    """`report` prints the path of the page, the number of cells and its size."""
    code, out, _ = command("report", "-o", "page")
    assert code == 0
    assert re.fullmatch(r"     wrote  page/index\.html  \(2 cells, [0-9.]+ [kM]?B\)\n", out)
