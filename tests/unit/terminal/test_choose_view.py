"""The views of `pick` and `keep`: names align, and what people wrote can't change the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.engine.picking import Picked
from qwenbuild.plan.stars import Since, Starred
from qwenbuild.storage.picks import Pick, Picks
from qwenbuild.terminal import choose_view
from tests.support.workspace import Workspace


def test_stars(capsys: pytest.CaptureFixture[str]) -> None:
    """Wide characters count twice, and control characters are shown."""
    stars = [
        Starred(Pick("s/海", rank=1, note="a\x1b[2Jb"), "", Since.NOT_RENDERED),
        Starred(Pick("s/long"), "x", Since.CHANGED),
    ]  # fmt: skip
    choose_view.show_stars(stars, as_json=False)
    assert capsys.readouterr().out == (
        "   1  s/海    not rendered            a\\x1b[2Jb\n      s/long  changed since the star\n"
        "1 not rendered, 1 changed since the star\n"
    )


def test_many_cells_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the first ten are listed."""
    picks = {f"s/a[seed={number}]": Pick(f"s/a[seed={number}]") for number in range(12)}
    choose_view.show_picked(Picked([*picks], [], Picks(picks)), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-2:]) == (12, ["         …  2 more", "12 starred cells in picks.toml"])


def test_what_keep_says_of_the_others(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the bytes of orphans are, and which files are the only copies."""
    spec = '[image.a]\nprompt = "a"\nmatrix = { seed = [1, 2, 3] }\n[image.b]\nprompt = "b"\n'
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})
    engine = load(project.root)
    engine.build()
    choose_view.show_keeping(engine.keep(["s/a[seed=1]"]))
    store = engine.store.root
    assert capsys.readouterr().out.endswith(
        "     keeps  s/a: 1 of 3 cells\n unchanged  none of their cells is chosen: s/b\n"
        "   orphans  2 images become orphans; no file is removed, and without the `only` tables they come back for"
        " free\n"
        f"     store  their bytes are in {store}; `qwenbuild gc` keeps them for 90 days\n"
    )
    [gone] = [output for output in engine.plan().records.values() if output.name == "s/a[seed=2]"]
    Path(store / "cas" / gone.image[:2] / gone.image).unlink()
    keeping = engine.keep(["s/a[seed=1]"])
    choose_view.show_keeping(keeping)
    assert capsys.readouterr().out.endswith(f"     store  1 in {store}, 1 only in {engine.project.out}\n")
    keeping.write()
    choose_view.show_kept(keeping)
    assert capsys.readouterr().out.startswith("     wrote  specs/s.toml\n`qwenbuild clean --orphans` removes")
