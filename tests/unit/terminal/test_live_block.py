"""The live block: a bar with counts, and the lines below it, none wider than the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from qwenbuild.problems import columns
from qwenbuild.terminal.live_block import LiveBlock


def drawn(lines: Sequence[tuple[str, str]], failed: int = 0) -> list[str]:
    """Return what is drawn with these lines below the bar."""
    block = LiveBlock(io.StringIO(), 4000, lambda: lines)
    block.show(2000, failed)
    with block.console.capture() as capture:
        for renderable in block.get_renderables():
            block.console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_counts_are_beside_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures only if there are any."""
    monkeypatch.setenv("COLUMNS", "80")
    bar = "━" * 15
    assert drawn([]) == [f"  building {bar}{bar.replace('━', ' ')} 2,000/4,000   --:--"]
    assert drawn([], 1200)[0].split()[-3:] == ["1,200", "failed", "--:--"]


@pytest.mark.parametrize("wide", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, wide: int) -> None:
    """A longer one is cut, and takes no second line."""
    monkeypatch.setenv("COLUMNS", str(wide))
    lines = drawn([("   waiting  长城" + "x" * 200, "yellow"), ("    failed  a", "red")], 3)
    assert len(lines) == 3
    assert max(map(columns, lines)) <= wide
    assert (lines[1].endswith("…"), lines[2]) == (True, "    failed  a")
