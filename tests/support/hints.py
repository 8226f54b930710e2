"""Messages that name a command of qwenbuild: found in the source, and as patterns of what people see."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click

from qwenbuild.cli.main import main

SOURCE = Path(__file__).parents[2] / "qwenbuild"

_NAMES = "|".join(sorted(main.commands))
_QUOTED = re.compile(r"`(qwenbuild(?: [^`]*)?)`")
_BARE = re.compile(rf"(?:^|: ?|\0)(qwenbuild (?:{_NAMES})\b[^`]*)$")  # at the end of a message
_HOLE = "\0"


class Message(NamedTuple):
    """One line of a text in the source that names commands. Each value that is filled in is a hole."""

    file: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands that the message names."""
        return commands_in(self.text)

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the message looks like when it is shown, with single spaces."""
        parts = [re.escape(one_line(part)) for part in self.text.split(_HOLE)]
        return re.compile(".*?".join(parts).replace(r"\ ", " "))

    def __str__(self) -> str:
        return f"{self.file}: {self.text.replace(_HOLE, '…')}"


def one_line(text: str) -> str:
    """Return a text in one line with single spaces, because help texts are wrapped."""
    return re.sub(r"\s+", " ", text)


def commands_in(text: str) -> list[str]:
    """Return the commands that a text names."""
    bare = _BARE.findall(text.rstrip())
    return [*_QUOTED.findall(text), *(command.partition(">")[0].strip() for command in bare)]


def messages() -> list[Message]:
    """Return each message of the package that names a command; docstrings are none."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        source = path.read_text("utf-8")
        if "qwenbuild " not in source and "qwenbuild`" not in source:
            continue
        for text in _texts(ast.parse(source)):
            lines = [line for line in text.split("\n") if commands_in(line)]
            found += [Message(path.relative_to(SOURCE).as_posix(), line) for line in lines]
    return [*dict.fromkeys(found)]


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module; adjacent ones and f-strings are one text."""
    left_out = set()  # docstrings and parts of f-strings
    for node in ast.walk(tree):  # parents come before their parts
        if isinstance(node, ast.Expr):
            left_out.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            left_out.update(map(id, node.values))
            yield "".join(str(it.value) if isinstance(it, ast.Constant) else _HOLE for it in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def arguments(command: str, fill: Mapping[str, str]) -> list[str]:
    """Return the arguments of a command; `fill` has what stands for words such as `CELL`."""
    words = shlex.split(command.replace("…", ""))[1:]
    return [given for word in words for given in shlex.split(fill.get(word, shlex.quote(word)))]


def check_parses(command: str) -> None:
    """Raise click.UsageError if the command line does not know a command or an option that is named."""
    words = arguments(command.replace(_HOLE, " x"), {})
    context, found = click.Context(main, info_name="qwenbuild", **main.context_settings), main
    named: click.Command = found
    while isinstance(named, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        below = named.get_command(context, name)
        if below is None:
            raise click.UsageError(f"no command {name}")
        context, named = click.Context(below, parent=context, info_name=name), below
    named.parse_args(context, words)
