"""The fast path says that nothing has changed only where the slow path finds the same."""

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
    """After any edits, a count from the fast path is the count of a slow plan that finds nothing to do."""
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
        found = place.fast()
        if found is not None:
            assert found == place.slow(), name


@pytest.mark.usefixtures("back_again")
@pytest.mark.parametrize("name", EDITS)
def test_each_edit(tmp_path: Path, name: str) -> None:
    """Each kind of edit, in its first variants: where the fast path still counts, the slow one counts the same."""
    place = made(tmp_path)
    for number in range(3):
        EDITS[name](place, number)
        found = place.fast()
        assert found is None or found == place.slow()
        try:
            place.build()
        except QwenbuildError:
            continue


@pytest.mark.usefixtures("back_again")
def test_inputs_of_the_future(tmp_path: Path) -> None:
    """After the clock was set back, what the inputs' times say is in doubt: there is no snapshot."""
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
