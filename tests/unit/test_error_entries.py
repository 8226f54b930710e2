"""The entries of errors: one for each name in the code, readable, and with commands that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from qwenbuild import errors
from qwenbuild.cli.main import main
from qwenbuild.error_entries import GROUPS, Entry, entries, of_group
from qwenbuild.specs.lint_rules import RULES
from tests.support import error_names, hints
from tests.support.error_names import Module, examined

FEW = 22
"""The names of a group: with its heading they fit on a screen of 24 lines."""


def test_each_error_has_an_entry_and_each_entry_an_error() -> None:
    """To add an error: write `name="…"` where it is raised, and an entry of that name in error_entries.toml."""
    used, nameless = examined(error_names.modules())
    assert nameless == []
    assert sorted((used | RULES.keys()) - entries().keys()) == []
    assert sorted(entries().keys() - (used | RULES.keys())) == []


@pytest.mark.parametrize(
    ("text", "names", "lines"),
    [
        ('raise UsageError("x")', [], [1]),
        ('raise UsageError("x", name="a-b")', ["a-b"], []),
        ('raise errors.LockError("x", name="a" if y else "b")', ["a", "b"], []),
        ('raise UsageError("x", name=f"a-{b}")', [], [1]),
        ('raise Throttled("x")', [], []),
        ("raise ProjectError([Problem('x')])", [], [1]),
        ("raise ProjectError([Problem('x', hint=error.hint, name=error.name)])", [], []),
        ('Finding("x", Level.OK, "y"), Finding("x", Level.WARN, "y")', [], [1]),
        ('Finding("x", Level.WARN, "y", (), None, "a")', ["a"], []),
        ('_NAME = "a"\nraise UsageError("x", name=_NAME)', ["a"], []),
        ('class Refused(Exception): ...\nRefused("x")', [], []),
        ('class Own(UsageError):\n  name = "a"\nOwn("x")', ["a"], []),
        ('def wrong(x, *, name):\n  return Problem(x, name=name)\nwrong("x")\nwrong("x", name="a")', ["a"], [3]),
        ('def wrong(x, *, name):\n  return Problem(x, name=name)\npartial(wrong, "x")', [], [3]),
        ('def wrong(x, name):\n  return Problem(x, name=name)\ndef f(wrong):\n  wrong("x")', [], []),
    ],
)
def test_what_has_a_name(text: str, names: list[str], lines: list[int]) -> None:
    """A literal, one of two literals, the class's, the caller's, or that of another error."""
    used, nameless = examined([Module("x", text)])
    assert sorted(used - examined([])[0]) == names
    assert [int(place.split(":")[1]) for place in nameless] == lines


def test_a_helper_of_another_module() -> None:
    """Its callers give the name, wherever they are."""
    helper = Module("specs.a", "def wrong(x, *, name):\n  return Problem(x, name=name)")
    caller = Module("specs.b", "from .a import wrong\nwrong(1)")
    assert examined([helper, caller])[1] == [
        "qwenbuild/specs/b.py:2: wrong needs name=, a name of error_entries.toml"
    ]  # fmt: skip


def test_groups_fit_on_a_screen() -> None:
    """Each group has a title and a few names, and no name is that of a group."""
    assert [group for group in GROUPS if not 0 < len(of_group(group)) <= FEW] == []
    assert sum(len(of_group(group)) for group in GROUPS) == len(entries())
    assert entries().keys() & GROUPS.keys() == set()


def test_the_classes_of_plugins_have_entries() -> None:
    """An error of a plugin that names none has the name of its class."""
    assert errors.Throttled("x").problems[0].name == "throttled"
    assert errors.UsageError("x", name="own").problems[0].name == "own"
    assert {getattr(errors, name).name for name in error_names.CLASSES} <= entries().keys()


def test_entries_are_short_and_plain() -> None:
    """A title is one line that is no sentence; a cause is at most four sentences of at most 35 words."""
    for entry in entries().values():
        assert re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", entry.name), entry.name
        assert len(entry.title) <= 75 and not entry.title.endswith("."), entry.name
        sentences = re.split(r"(?<=[.?!]) (?=[A-Z`])", " ".join([entry.cause, *entry.remedy]))
        assert [it for it in sentences if len(it.split()) > 35] == [], entry.name
        assert len(re.split(r"(?<=[.?!]) (?=[A-Z`])", entry.cause)) <= 4, entry.name


def commands(entry: Entry) -> Iterator[str]:
    """Yield the commands of an entry: those in backticks, and the lines of its example."""
    for text in (entry.cause, *entry.remedy):
        yield from (command.partition(" > ")[0] for command in hints.commands_in(text))
    for line in entry.example.splitlines():
        for part in line.split(" && "):
            if found := re.match(r"(?:[A-Z_]+=\S+ )?(qwenbuild .+)", part):
                yield found[1]


def test_commands_exist() -> None:
    """Each command, and each option that stands alone, is one of the command line's."""
    known = {option for command in _all(main) for it in command.params for option in (*it.opts, *it.secondary_opts)}
    count = 0
    for entry in entries().values():
        for command in commands(entry):
            try:
                hints.check_parses(command)
            except click.UsageError as error:
                pytest.fail(f"{entry.name}: {command}: {error.message}")
            count += 1
        for option in re.findall(r"`(--?[a-z][a-z-]*)", " ".join([entry.cause, *entry.remedy])):
            assert option in known, (entry.name, option)
    assert count > 70


def _all(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from _all(command)
