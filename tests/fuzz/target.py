"""A target: what is fuzzed, how its inputs are made, and how it is run."""

from __future__ import annotations

import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.strategies import SearchStrategy

CPU_S = 30
"""The most processor time of one input: far more than any limit of qwenbuild takes, on a machine of any load."""

GROWTH_MB = 700
"""How much the memory may grow while all inputs of a target are tried."""

Check = Callable[[Any], None]
"""Tries one input. It raises nothing if the input is handled as it should be."""


@dataclass(frozen=True)
class Target:
    """One parser under test. `examples` is the number of inputs that take about eight seconds."""

    name: str
    purpose: str
    inputs: SearchStrategy[Any]
    opened: Callable[[Path], AbstractContextManager[Check]]  # with an empty folder; yields the check
    examples: int

    def run(self, folder: Path, examples: int, *, fixed: bool) -> None:
        """Try inputs. `fixed`: the same ones each time; else new ones, and first those that failed before."""
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        chosen = settings(
            max_examples=examples,
            derandomize=fixed,
            database=None if fixed else DirectoryBasedExampleDatabase(".hypothesis/fuzz"),
            deadline=None,  # of the wall clock, which a busy machine stops; see CPU_S
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            verbosity=Verbosity.normal,
        )
        with self.opened(folder) as check:

            def tried(value: Any) -> None:
                with _cpu_limit():
                    check(value)
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) // 1024
                assert grown < GROWTH_MB, f"the memory has grown by {grown} MiB"

            chosen(given(value=self.inputs)(tried))()


@contextmanager
def _cpu_limit() -> Iterator[None]:
    """Raise AssertionError in the block if it takes more than `CPU_S` of processor time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"more than {CPU_S} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def own_environment() -> Iterator[Path]:
    """Yield a folder, and keep the user's cache, settings and credentials out of the block."""
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        for name in kept:
            if name.startswith(("DASHSCOPE_", "QWENBUILD_", "AWS_", "GOOGLE_", "AZURE_", "OSS_", "ALIBABA_CLOUD_")):
                del os.environ[name]
        os.environ.update(HOME=folder, XDG_CONFIG_HOME=f"{folder}/config", XDG_DATA_HOME=f"{folder}/data",
                          XDG_CACHE_HOME=f"{folder}/cache", QWENBUILD_CACHE_DIR=f"{folder}/store")  # fmt: skip
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(kept)
