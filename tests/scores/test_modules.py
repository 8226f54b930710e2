"""The table of measured modules: what it names exists."""

from __future__ import annotations

import pytest

from .equivalent import reason
from .modules import MODULES, REPOSITORY, measured_by, source


@pytest.mark.parametrize("module", MODULES)
def test_a_module_and_its_tests_are_there(module: str) -> None:
    """A module that was renamed is missed at once, not when somebody measures."""
    assert [path for path in (source(module), *measured_by(module)) if not (REPOSITORY / path).is_file()] == []


def test_a_change_without_effect_has_a_reason() -> None:
    """Other changes have none."""
    assert reason("    call(durable=None)") == "`None` is as false as `False`"
    assert reason("    call(durable=True)") == ""
