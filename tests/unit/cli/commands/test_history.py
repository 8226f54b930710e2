"""The commands ls, log, diff and cost."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.unit.cli.conftest import Command


def test_ls_prints_paths_that_a_shell_can_use(command: Command) -> None:
    """They start in the current folder, and are absolute with -C."""
    assert command("ls") == (0, "", "2 outputs have no file yet\n")
    command("build")
    assert command("ls") == (0, "out/s/a-1.png\nout/s/a-2.png\n", "")
    assert command("-C", ".", "ls", "-w", "seed=1")[1] == "out/s/a-1.png\n"
    root = os.getcwd()
    os.chdir("specs")
    assert command("ls", "s/a", "-w", "seed=2")[1] == "../out/s/a-2.png\n"
    assert command("-C", root, "ls", "-w", "seed=1")[1] == f"{root}/out/s/a-1.png\n"


def test_ls_has_other_forms(command: Command) -> None:
    """NUL ends each path for `xargs -0`; JSON has all facts."""
    command("build", "-w", "seed=1")
    assert command("ls", "-0") == (0, "out/s/a-1.png\0", "1 output has no file yet\n")
    assert [json.loads(line)["exists"] for line in command("ls", "--json")[1].splitlines()] == [True, False]


def test_log_lists_builds_or_images(command: Command) -> None:
    """A selection makes the difference."""
    assert command("log") == (0, "no build is on record\n", "")
    command("build", "-w", "seed=1")
    command("build")
    assert [json.loads(line)["number"] for line in command("log", "--json")[1].splitlines()] == [2, 1]
    assert [json.loads(line)["number"] for line in command("log", "--json", "-n", "1")[1].splitlines()] == [2]
    images = command("log", "--json", "--all", "s/a")[1].splitlines()
    assert [json.loads(line)["path"] for line in images] == ["s/a-2.png", "s/a-1.png"]
    assert command("log", "-n", "0")[0] == 2


def test_diff_compares_builds(command: Command) -> None:
    """Numbers are builds; anything else is a revision of git."""
    command("build", "-w", "seed=1")
    command("build")
    assert command("diff", "1") == (0, "     added  s/a[seed=2]\n1 added between build 1 and now\n", "")
    assert json.loads(command("diff", "1", "1", "--json")[1])["event"] == "compared"
    assert command("diff", "9")[2].startswith("error: no build 9\n")
    assert command("diff")[0] == 2


def test_cost_needs_a_project_only_for_its_own_costs(command: Command) -> None:
    """All projects can be counted anywhere."""
    assert command("cost")[1].startswith("nothing was billed: there is no ledger yet at ")
    Path("qwenbuild.toml").unlink()
    assert command("cost")[0] == 2
    code, out, _ = command("cost", "--all-projects", "--by", "month", "--json")
    assert (code, [json.loads(line)["kind"] for line in out.splitlines()]) == (0, ["total", "unknown", "in_flight"])


def test_a_report_of_pairs(command: Command) -> None:
    """`report --diff` writes only what differs."""
    command("build", "-w", "seed=1")
    command("build")
    code, out, _ = command("report", "--diff", "1", "-o", "page")
    assert (code, "(1 cell" in out, Path("page/index.html").exists()) == (0, True, True)
    assert command("report", "--diff", "2")[2].startswith("error: no selected cell differs from build 2\n")
