"""The commands pick and keep: what they print, and which options contradict each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command


def test_without_arguments_the_stars_are_listed(command: Command) -> None:
    """The best rank comes first, then the names."""
    assert command("pick") == (0, "no cell is starred; `qwenbuild pick CELL` stars one\n", "")
    assert command("pick", "s/a[seed=2]", "--rank", "1", "--note", "calm") == (
        0, "   starred  s/a[seed=2]\n1 starred cell in picks.toml\n", "",
    )  # fmt: skip
    command("pick", "s/a[seed=1]")
    assert command("pick")[1] == (
        "   1  s/a[seed=2]  not rendered  calm\n      s/a[seed=1]  not rendered\n2 not rendered\n"
    )
    tables = [json.loads(line) for line in command("pick", "--json")[1].splitlines()]
    assert [(table["cell"], table["rank"], table["note"]) for table in tables] == [
        ("s/a[seed=2]", 1, "calm"), ("s/a[seed=1]", None, ""),
    ]  # fmt: skip


def test_stars_are_dropped(command: Command) -> None:
    """With every form of SELECT. The file goes with the last star."""
    command("pick", "s/a")
    assert command("pick", "--drop", "-w", "seed=1", "--json")[1] == '{"event": "dropped", "cell": "s/a[seed=1]"}\n'
    assert command("pick", "--drop", "s")[1] == "   dropped  s/a[seed=2]\nno cell is starred any more\n"
    assert not Path("picks.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "claim"),
    [
        (["pick", "--note", "x"], "`pick` needs to know which cells"),
        (["pick", "--drop"], "`pick` needs to know which cells"),
        (["pick", "--drop", "--rank", "1", "s/a"], "--drop and --rank contradict each other"),
        (["pick", "s/a", "--rank", "-1"], "Invalid value for '--rank': -1 is not in the range x>=0."),
        (["pick", "s/b"], 'nothing is named "s/b"'),
        (["keep"], "`keep` needs to know which cells"),
        (["keep", "--picked"], "no cell is starred"),
        (["keep", "s/a[seed=1]"], "nobody can be asked: standard input is no terminal"),
    ],
)
def test_what_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], claim: str) -> None:
    """Nothing is changed."""
    monkeypatch.setattr("sys.stdin", None)
    before = Path("specs/s.toml").read_text()
    code, _, err = command(*arguments)
    assert (code, err.split("\n")[0]) == (2, f"error: {claim}")
    assert (Path("specs/s.toml").read_text(), Path("picks.toml").exists()) == (before, False)


def test_a_dry_run_only_shows(command: Command) -> None:
    """The difference, and what becomes of the others."""
    before = Path("specs/s.toml").read_text()
    code, out, err = command("keep", "s/a[seed=1]", "--dry-run")
    assert (code, err) == (0, "")
    assert out.endswith("+[[image.a.only]]\n+seed = 1\n     keeps  s/a: 1 of 2 cells\n")
    assert Path("specs/s.toml").read_text() == before


def test_yes_writes(command: Command) -> None:
    """The next keep of the same cell changes nothing."""
    code, out, _ = command("keep", "s/a[seed=1]", "--yes")
    assert (code, out.endswith("     wrote  specs/s.toml\n")) == (0, True)
    assert Path("specs/s.toml").read_text().endswith("\n[[image.a.only]]\nseed = 1\n")
    assert command("keep", "s/a", "--yes")[1] == "     keeps  s/a: all its cells, so nothing changes\n"


def test_a_remote_cache_is_offered(command: Command) -> None:
    """As long as the specs declare the cells, `cache push` finds them."""
    command("build")
    Path("qwenbuild.toml").write_text('provider = "null"\n[remote]\nurl = "http://127.0.0.1:9/x"\n')
    _, out, _ = command("keep", "s/a[seed=1]", "--dry-run", "--trust-project")
    assert "   orphans  1 image becomes an orphan; no file is removed" in out
    assert "    remote  `qwenbuild cache push` shares them" in out
