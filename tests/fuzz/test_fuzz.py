"""A minute of fuzzing: the same inputs each time, for each target; and what a run notices."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st

from . import target as runner
from .__main__ import main
from .target import Check, Target
from .targets import TARGETS


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_takes_every_input(target: Target, tmp_path: Path) -> None:
    """`python -m tests.fuzz --minutes 10` tries new inputs instead."""
    target.run(tmp_path, target.examples, fixed=True)


def faulty(check: Check, inputs: st.SearchStrategy[int] = st.just(0)) -> Target:  # noqa: B008 - it never changes
    """Return a target with this check."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Check]:
        yield check

    return Target("faulty", "a check that fails", inputs, opened, 50)


def test_an_exception_is_noticed(tmp_path: Path) -> None:
    """It is raised with the smallest input that causes it."""

    def check(number: int) -> None:
        if number > 10:
            raise KeyError(number)

    with pytest.raises(KeyError, match="11"):
        faulty(check, st.integers(0, 100)).run(tmp_path, 50, fixed=True)


def test_a_hang_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time counts, so a busy machine makes no hang."""
    monkeypatch.setattr(runner, "CPU_S", 0.2)

    def check(number: int) -> None:
        while True:
            number += 1

    with pytest.raises(AssertionError, match=r"more than 0\.2 s of processor time"):
        faulty(check).run(tmp_path, 1, fixed=True)


def test_growing_memory_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a check takes and gives back counts as well."""
    monkeypatch.setattr(runner, "GROWTH_MB", 20)

    def check(number: int) -> None:
        assert len(b"x" * (peak_bytes + 2**26))

    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with pytest.raises(AssertionError, match="the memory has grown by"):
        faulty(check).run(tmp_path, 1, fixed=True)


def test_the_command_counts_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    """It stops after the given time, but not before it has tried each target."""
    assert main(["lock", "wire", "--minutes", "0.001"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["lock", "wire"]
