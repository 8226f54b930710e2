"""The modules that touch money or bytes, and the tests that each one is measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]

_PACKAGES: Mapping[str, str] = {
    "files": "atomic",
    "storage": (
        "ledger claims claimant submissions state state_file state_schema store belonging store_place action_result"
        " outputs lock build_lock batches"
    ),
    "builder": (
        "journal keep render others commits budget endings workers restore recorder lost_answers batches writing"
    ),
    "providers.dashscope": "rendering reconcile tasks download client",
}  # fmt: skip

MODULES: Final = tuple(f"{package}.{name}" for package, names in _PACKAGES.items() for name in names.split())
"""The modules, named below `qwenbuild`."""

_MORE: Mapping[str, str] = {
    "storage.ledger": "unit/storage/test_submissions.py",
    "storage.state": "unit/storage/test_submissions.py unit/storage/test_state_file.py",
    "storage.claims": "unit/storage/test_ledger.py",
    "storage.claimant": "unit/storage/test_ledger.py",
    "builder.render": "unit/builder/test_journal.py unit/builder/test_away.py",
    "providers.dashscope.rendering": (
        "unit/providers/dashscope/test_provider.py unit/providers/dashscope/test_reconcile.py"
    ),
    "providers.dashscope.tasks": "unit/providers/dashscope/test_reconcile.py",
}
"""Tests of a module that are not its own test file."""

LEFT_OUT: Final[Mapping[str, Sequence[str]]] = {
    # It starts `python -m qwenbuild` in another folder. There mutmut finds no configuration, so each mutant would fail.
    "builder.batches": ["tests/unit/builder/test_batches.py::test_an_output_waits_for_the_store"],
}
"""Tests that the mutants of a module are not tested with."""


def source(module: str) -> str:
    """Return the path of a module's source in the repository."""
    return f"qwenbuild/{module.replace('.', '/')}.py"


def measured_by(module: str) -> list[str]:
    """Return the paths of the test files that a module is measured with."""
    *folders, name = module.split(".")
    own = f"tests/unit/{'/'.join(folders)}/test_{name}"
    files = [own + ".py"] + [f"tests/{path}" for path in _MORE.get(module, "").split()]
    return files + [path for path in (own + "_faults.py",) if (REPOSITORY / path).exists()]
