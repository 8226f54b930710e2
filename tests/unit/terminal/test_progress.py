"""The progress of a command: what a pipe gets, and what a terminal gets."""

from __future__ import annotations

import pytest

from qwenbuild.terminal.progress import progress


def test_a_pipe_gets_nothing_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe the function that is yielded writes nothing."""
    with progress("pushing") as tell:
        tell(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("total", "lines"),
    [(3, ["1 of 3", "2 of 3", "3 of 3"]), (2000, [f"{200 * number:,} of 2,000" for number in range(1, 11)])],
)
def test_a_pipe_gets_a_line_for_each_tenth(total: int, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """However many images there are, there are at most ten lines."""
    with progress("writing", in_pipes=True) as tell:
        for done in range(1, total + 1):
            tell(done, total)
    assert capsys.readouterr().err.splitlines() == [f"   writing  {line} images" for line in lines]
