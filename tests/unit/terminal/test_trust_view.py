"""The view of `trust`."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.terminal import trust_view
from qwenbuild.trust import Item, Kind

OLD = Item(Kind.REMOTES, "s3://team", "your credentials would open s3://team", "[remote] url")
NEW = Item(Kind.LINKS, "a -> \x1b[2J", "a leads out of the project, to \x1b[2J", "a")


def test_each_item_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A name can't control the terminal."""
    trust_view.show(Path("/p"), [OLD], [NEW])
    assert capsys.readouterr().out.splitlines() == [
        "What /p asks for:",
        "  approved  your credentials would open s3://team ([remote] url)",
        "       new  a leads out of the project, to \\x1b[2J",
    ]


def test_nothing_new_and_nothing_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    """The user sees that there is nothing to do."""
    trust_view.show(Path("/p"), [OLD], [])
    assert "all of it is approved" in capsys.readouterr().out
    trust_view.show(Path("/p"), [], [])
    assert capsys.readouterr().out == "/p asks for nothing that needs your approval\n"
