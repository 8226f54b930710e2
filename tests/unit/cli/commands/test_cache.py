"""The commands cache and gc."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Command


def test_gc(command: Command) -> None:
    """`gc` keeps images that projects use, unless `--used` is given."""
    command("build")
    code, out, _ = command("gc", "--max-size", "0B")
    assert (code, out.splitlines()[0]) == (0, "removed 0 images, 0 B")
    code, out, _ = command("gc", "--max-size", "0B", "--used", "--dry-run")
    assert (code, out.splitlines()[-1].startswith("would remove 2 images, ")) == (0, True)
    code, out, _ = command("gc", "--max-size", "0B", "--used")
    assert out.startswith("removed 2 images, ")
    assert command("plan", "--json")[1].count('"up_to_date"') >= 2


@pytest.mark.parametrize("name", ["push", "pull", "status"])
def test_cache_needs_a_remote(command: Command, name: str) -> None:
    """Without a remote cache each command of `cache` is a usage error with a hint."""
    code, out, err = command("cache", name)
    assert (code, out) == (2, "")
    assert "--remote URL" in err
