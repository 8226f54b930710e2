"""Tests of the rules' names."""

from __future__ import annotations

from qwenbuild.cli.commands.look import lint as command
from qwenbuild.specs import lint_rules


def test_rules_are_named_in_the_help() -> None:
    """`lint --help` explains each of them."""
    for rule, what in lint_rules.RULES.items():
        assert f"{rule:<16}  {what}\n" in (command.help or "")
