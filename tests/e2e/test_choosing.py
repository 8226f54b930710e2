"""From a sweep to its winners: stars, `--picked`, `keep`, a clone, and the way back."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Sandbox
from tests.e2e.terminals import Terminal

SWEEP = """\
# The posters of the spring campaign.
[image.poster]
prompt = "A {{ palette }} poster of {{ subject }}"
size = "1:1"

[image.poster.matrix]
seed = { start = 1, count = 100 }
palette = ["sunset", "fresh greens", "mono", "neon"]   # as the client asked
subject = ["grass", "sky", "sea", "snow", "sand"]

# Not part of the sweep.
[image.logo]
prompt = "A logo"
"""
WINNERS = [
    f"sweep/poster[palette={palette},seed={seed},subject=sea]" for palette in ("mono", "neon") for seed in (7, 42)
]


def git(folder: Path, *arguments: str) -> str:
    """Run git with no settings but its own; return its output."""
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=environ, check=True, capture_output=True, text=True
    ).stdout  # fmt: skip


def made(tmp_path: Path, files: dict[str, str]) -> Sandbox:
    """Return a project with these files, rendered by the free provider `null`."""
    root = tmp_path / "project"
    root.mkdir()
    return Sandbox(root, tmp_path / "store").write({"qwenbuild.toml": 'provider = "null"\n', **files})


@pytest.mark.timeout(400)  # a dozen commands about 2,000 cells: ten seconds of CPU time
def test_from_two_thousand_cells_to_four(tmp_path: Path) -> None:
    """The winners are kept, in the repository and in a clone; without the tables, all come back for free."""
    sandbox = made(tmp_path, {"specs/sweep.toml": SWEEP, ".gitignore": ".qwenbuild/\nout/\n"})
    assert sandbox.build_here()["rendered"] == 2001
    before = sandbox.outputs()

    for rank, cell in enumerate(WINNERS, 1):
        assert sandbox.here("pick", cell, "--rank", str(rank), "--note", "calm light").code == 0
    stars = [json.loads(line) for line in sandbox.here("pick", "--json").out.splitlines()]
    assert [(star["cell"], star["rank"], star["state"]) for star in stars] == [
        (cell, rank, "same") for rank, cell in enumerate(WINNERS, 1)
    ]
    assert sandbox.here("plan", "--picked").out == "4 up to date\n"

    refused = sandbox.here("keep", "--picked")
    assert (refused.code, (sandbox.root / "specs/sweep.toml").read_text()) == (2, SWEEP)
    kept = sandbox.here("keep", "--picked", "--yes")
    assert (kept.code, kept.err) == (0, "")
    assert (
        "     keeps  sweep/poster: 4 of 2,000 cells\n unchanged  none of their cells is chosen: sweep/logo\n"
        in kept.out
    )
    assert "   orphans  1,996 images become orphans; no file is removed" in kept.out
    tables = "".join(
        f'[[image.poster.only]]\nseed = {seed}\npalette = "{palette}"\nsubject = "sea"\n\n'
        for seed in (7, 42) for palette in ("mono", "neon")
    )  # fmt: skip
    spec = (sandbox.root / "specs/sweep.toml").read_text()
    assert spec == SWEEP.replace("# Not part", f"{tables}# Not part")
    again = sandbox.build_here()
    assert (again["rendered"], again["restored"], again["up_to_date"], again["orphans"]) == (0, 0, 5, 1996)
    assert sandbox.here("clean", "--orphans").code == 0
    winners = sandbox.outputs()
    assert (len(winners), winners.items() <= before.items()) == (5, True)

    git(sandbox.root, "init", "-q")
    git(sandbox.root, "add", "-A")
    git(sandbox.root, "commit", "-q", "-m", "four winners")
    assert git(sandbox.root, "ls-files").split() == [
        ".gitignore", "picks.toml", "qwenbuild.lock", "qwenbuild.toml", "specs/sweep.toml",
    ]  # fmt: skip
    git(tmp_path, "clone", "-q", str(sandbox.root), str(tmp_path / "clone"))
    clone = Sandbox(tmp_path / "clone", sandbox.store)
    cloned = clone.build_here("--locked")
    assert (cloned["rendered"], cloned["restored"], clone.outputs() == winners) == (0, 5, True)
    assert {star["state"] for star in map(json.loads, clone.here("pick", "--json").out.splitlines())} == {"same"}

    assert sandbox.here("gc", "--unreferenced").code == 0
    sandbox.write({"specs/sweep.toml": SWEEP})
    back = sandbox.build_here()
    assert (back["rendered"], back["restored"], sandbox.outputs() == before) == (0, 1996, True)


def test_stars_that_have_changed(sandbox: Sandbox) -> None:
    """`pick` and `plan` say so, until the new image is starred; `plan` is as pure as before."""
    sandbox.build_here()
    sandbox.here("pick", "icons/sun")
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of the red sun")
    assert sandbox.here("plan").err == ""
    sandbox.build_here()
    planned = sandbox.here("plan")
    assert (planned.out, planned.err) == (
        "8 up to date\n",
        "warning: 1 starred image has changed since it was starred: icons/sun\n"
        "  = hint: `qwenbuild pick CELL` stars the new image; `qwenbuild pick` lists all stars\n",
    )
    assert sandbox.here("status").err == planned.err
    assert "icons/sun  changed since the star" in sandbox.here("pick").out
    sandbox.here("pick", "icons/sun")
    assert (sandbox.here("plan").err, "icons/sun  same" in sandbox.here("pick").out) == ("", True)


def test_picked_selects_everywhere(sandbox: Sandbox) -> None:
    """Builds, reports and `show` take it; without a star it is an error, with a hint that works."""
    refused = sandbox.here("build", "--picked")
    assert (refused.code, refused.err) == (
        2, "error: no cell is starred\n  = hint: `qwenbuild pick CELL` stars one\n\n"
        "`qwenbuild explain-error not-starred` says more about it\n",
    )  # fmt: skip
    assert sandbox.here("pick", "icons/moon", "garden/flower[flower=rose]").code == 0
    assert sandbox.here("plan", "--picked", "-w", "flower=rose").out.endswith("1 to render\n")
    assert sandbox.build_here("--picked")["rendered"] == 2
    assert sorted(sandbox.outputs()) == ["garden/flower-rose.png", "icons/moon.png"]
    assert "not rendered" not in sandbox.here("pick").out
    shown = sandbox.here("show", "--picked")
    assert (shown.code, shown.out.startswith("garden/flower[flower=rose]\n")) == (0, True)
    assert "\nicons/moon\n" in shown.out
    assert "(2 cells, " in sandbox.here("report", "--picked", "--small").out
    assert sandbox.here("show").code == 2


def test_cells_that_no_spec_declares(sandbox: Sandbox) -> None:
    """They are told and kept, and `--drop` removes them."""
    sandbox.here("pick", "icons/moon", "icons/sun")
    sandbox.edit("specs/icons.toml", "[image.sun]", "[image.star]")
    planned = sandbox.here("plan", "--picked")
    assert planned.err == (
        "warning: 1 starred cell is declared by no spec: icons/sun\n"
        "  = hint: `qwenbuild pick --drop CELL` removes a star\n"
    )
    assert "icons/sun   no such cell" in sandbox.here("pick").out
    sandbox.here("pick", "icons/star")
    assert 'cell = "icons/sun"' in (sandbox.root / "picks.toml").read_text()
    assert sandbox.here("pick", "--drop", "icons/sun").out == "   dropped  icons/sun\n2 starred cells in picks.toml\n"


def test_a_faulty_file_stops_only_what_needs_it(sandbox: Sandbox) -> None:
    """A build goes on, a plan warns, and `--picked` is an error; the file stays as it is."""
    sandbox.write({"picks.toml": "version = 1\n<<<<<<< HEAD\n"})
    assert sandbox.build_here()["rendered"] == 8
    assert sandbox.here("plan").err.startswith("warning: picks.toml holds a merge conflict\n")
    assert (sandbox.here("plan").code, sandbox.here("plan", "--picked").code, sandbox.here("pick").code) == (0, 2, 2)
    assert (sandbox.root / "picks.toml").read_text() == "version = 1\n<<<<<<< HEAD\n"


def test_keep_asks_on_a_terminal(sandbox: Sandbox) -> None:
    """It shows the difference in colour; "n" changes nothing, "y" writes."""
    spec = sandbox.root / "specs/garden.toml"
    before = spec.read_text()
    for key in "ny":
        terminal = Terminal(sandbox, [COMMAND, "keep", "garden/flower[flower=rose]"])
        assert '+[[image.flower.only]]\r\n+flower = "rose"' in terminal.until(r"Write this\? \[y/N\]: ")
        terminal.press(f"{key}\n")
        terminal.until("nothing was changed" if key == "n" else "wrote  specs/garden.toml")
        assert terminal.ended() == (1 if key == "n" else 0)
        assert (spec.read_text() == before) == (key == "n")
