from __future__ import annotations

from pathlib import Path

import pytest

from .dimensions import DIMENSIONS, Dimension
from .work import faster_than_linear


@pytest.mark.parametrize("name", DIMENSIONS)
def test_work_is_linear(name: str, tmp_path: Path) -> None:
    """No function's work grows faster than the project, in any dimension."""
    assert "\n".join(faster_than_linear(DIMENSIONS[name], tmp_path)) == ""


def test_work_that_grows_with_the_square_is_found(tmp_path: Path) -> None:
    """The functions that make the cells are named, if the cells grow with the square of the size."""
    squared = Dimension(lambda place, size: DIMENSIONS["range"].write(place, size * size // 8))
    assert "expand.py:_Expander.action: lines" in "\n".join(faster_than_linear(squared, tmp_path))
