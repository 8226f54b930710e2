from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild import noop
from qwenbuild.errors import QwenbuildError
from tests.support.edits import EDITS, made

COMMANDS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["build", "-w", "seed=1"], {"where": ["seed=1"]}),
    (["build", "--overwrite", "b"], {"select": ["b"], "overwrite": True}),
    (["build", "--locked"], {"locked": True}),
]


pytest_plugins = ("tests.support.edits",)


@pytest.mark.slow
@pytest.mark.usefixtures("back_again")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    command=st.sampled_from(COMMANDS),
    below=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from([*EDITS, "build"]), st.integers(0, 10_000)), min_size=1, max_size=6),
)
def test_the_fast_path_agrees_with_the_slow_path(
    tmp_path_factory: pytest.TempPathFactory,
    command: tuple[list[str], dict[str, Any]],
    below: bool,
    steps: list[tuple[str, int]],
) -> None:
    """After any edits, the fast path returns None or the same count as the slow path."""
    place = made(tmp_path_factory.mktemp("place"), command[0], **command[1])
    if below:
        os.chdir(place.root / "specs")
        place.build()
    assert place.fast() == place.slow()
    for name, number in steps:
        if name != "build":
            EDITS[name](place, number)
        else:
            try:
                place.build()
            except QwenbuildError:
                continue
        count = place.fast()
        if count is not None:
            assert count == place.slow(), name


@pytest.mark.usefixtures("back_again")
@pytest.mark.parametrize("name", EDITS)
def test_each_edit(tmp_path: Path, name: str) -> None:
    """For the first variants of each edit, the fast path returns None or the same count as the slow path."""
    place = made(tmp_path)
    for number in range(3):
        EDITS[name](place, number)
        count = place.fast()
        assert count is None or count == place.slow()
        try:
            place.build()
        except QwenbuildError:
            continue


@pytest.mark.usefixtures("back_again")
def test_inputs_of_the_future(tmp_path: Path) -> None:
    """If the clock was set back, inputs have times in the future, and no snapshot is written."""
    place = made(tmp_path)
    path = place.root / noop.NAME
    assert path.exists()
    path.unlink()
    now = time.time_ns()
    root, inputs = str(place.root), [str(place.root / "qwenbuild.toml")]
    noop.write(root, [], inputs, [], {}, now - 3600 * 10**9)
    assert not path.exists()
    noop.write(root, [], inputs, [], {}, now)
    assert path.exists()
