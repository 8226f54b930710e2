"""The page of threats names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs/security.md").read_text("utf-8")


def test_each_threat_names_its_test() -> None:
    """Every row of a table ends with tests, and each of them is defined in its file."""
    rows = [line for line in TEXT.splitlines() if re.match(r"\| (?!threat |-)", line)]
    named = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split(" | ")[-1]) for row in rows]
    assert [row for row, tests in zip(rows, named, strict=True) if not tests] == []
    missing = [(path, name) for tests in named for path, name in tests if name not in _functions(path)]
    assert (len(rows) > 10, missing) == (True, [])


def _functions(path: str) -> set[str]:
    file = REPOSITORY / path
    found = ast.parse(file.read_text("utf-8")).body if file.is_file() else []
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
