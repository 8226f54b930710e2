"""Amounts, ages, sizes and shards as arguments, and the default command."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click
import pytest

from qwenbuild.cli.arguments import Age, Bytes, Commands, Money
from qwenbuild.errors import UsageError

KINDS: dict[str, click.ParamType[Any]] = {"money": Money(), "age": Age(), "bytes": Bytes()}


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("money", "5", Decimal(5)), ("money", "0", Decimal(0)), ("money", "2.50", Decimal("2.50")),
        ("age", "30d", 2_592_000.0), ("age", "12h", 43_200.0), ("age", "1.5m", 90.0), ("age", "2w", 1_209_600.0),
        ("age", "0s", 0.0),
        ("bytes", "100", 100), ("bytes", "20GB", 20 * 10**9), ("bytes", "1.5k", 1500), ("bytes", "3TB", 3 * 10**12),
    ],
)  # fmt: skip
def test_values(kind: str, text: str, expected: object) -> None:
    """A text is converted by its unit; a value that is already converted stays the same."""
    found = KINDS[kind].convert(text, None, None)
    assert (found, type(found)) == (expected, type(expected))
    assert KINDS[kind].convert(found, None, None) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("money", "-1"), ("money", "nan"), ("money", "inf"), ("money", "much"), ("money", ""),
        ("age", "30"), ("age", "d"), ("age", "-1d"), ("age", "1y"), ("age", ""),
        ("bytes", "-1"), ("bytes", "GB"), ("bytes", "1 GB"), ("bytes", "1PB"), ("bytes", ""),
    ],
)  # fmt: skip
def test_wrong_values(kind: str, text: str) -> None:
    """Any other text is refused with an example of a valid one."""
    with pytest.raises(click.UsageError, match=" such as "):
        KINDS[kind].convert(text, None, None)


@click.group(cls=Commands)
@click.option("-C", "--project", default=".")
@click.pass_context
def main(ctx: click.Context, project: str) -> None:
    ctx.obj = project


@main.command()
@click.argument("select", nargs=-1)
@click.option("--force", is_flag=True)
@click.pass_obj
def build(project: str, select: tuple[str, ...], force: bool) -> tuple[str, str, tuple[str, ...], bool]:
    return "build", project, select, force


@main.command()
@click.pass_obj
def plan(project: str) -> tuple[str, str]:
    return "plan", project


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ("build", ".", (), False)),
        ("--force", ("build", ".", (), True)),
        ("build a b", ("build", ".", ("a", "b"), False)),
        ("-C x", ("build", "x", (), False)),
        ("-Cx --force", ("build", "x", (), True)),
        ("-C x --project=y", ("build", "y", (), False)),
        ("--project=x -C y plan", ("plan", "y")),
        ("--project=x build plan", ("build", "x", ("plan",), False)),
        ("--project x plan", ("plan", "x")),
        ("-Cx plan", ("plan", "x")),
    ],
)
def test_the_default_command(line: str, expected: object) -> None:
    """A line without a command runs `build`, also after the project option."""
    assert main.main(line.split(), standalone_mode=False) == expected


def test_an_unknown_command() -> None:
    """An unknown command gets the nearest command as a hint, else how to build an image of that name."""
    with pytest.raises(UsageError) as caught:
        main.main(["paln"], standalone_mode=False)
    assert (caught.value.claim, caught.value.hint) == ('no command "paln"', 'did you mean "plan"?')
    with pytest.raises(UsageError) as caught:
        main.main(["puppies"], standalone_mode=False)
    assert caught.value.hint == "to build an image: qwenbuild build puppies"
