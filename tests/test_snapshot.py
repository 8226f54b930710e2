"""The fast path says that nothing has changed only where the slow path finds the same."""

from __future__ import annotations

import os
from typing import Any

import pytest
from edits import EDITS, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild.errors import QwenbuildError

COMMANDS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["build", "-w", "seed=1"], {"where": ["seed=1"]}),
    (["build", "--overwrite", "b"], {"select": ["b"], "overwrite": True}),
]


pytest_plugins = ("edits",)


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
