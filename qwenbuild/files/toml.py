"""A TOML file as the user wrote it: its table, and where in the text each key and value stands.

The text is parsed by the standard library. Positions come from tree-sitter, which is loaded, and
the text parsed a second time, only when something has to be shown to the user.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenbuild.errors import ProjectError
from qwenbuild.problems import Place, Problem

from .text import find_token, line_of, read_text, whole_line

if TYPE_CHECKING:
    from tree_sitter import Node

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A parsed TOML file. `shown` is its path as messages name it."""

    shown: str
    text: str = field(repr=False)
    table: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path, shown: str) -> TomlFile:
        """Return the file; raises ProjectError where it can't be read or isn't TOML."""
        return cls.parse(shown, read_text(path, shown))

    @classmethod
    def parse(cls, shown: str, text: str) -> TomlFile:
        """Return the file of that text; raises ProjectError where it isn't TOML."""
        try:
            return cls(shown, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ProjectError([_syntax_problem(shown, text, str(error))]) from None
        except ValueError:  # Python reads no whole number of over 4,300 digits
            raise ProjectError([Problem(f"{shown} holds a number with too many digits")]) from None
        except RecursionError:
            raise ProjectError([Problem(f"{shown} is nested too deeply")]) from None

    def place(self, keys: Sequence[str | int], *, key: bool = False) -> Place:
        """Return where the value at `keys` stands (`key`: where its key stands).

        Where nothing stands there, the place of the nearest enclosing table or value.
        """
        spans = _spans(self.text)
        path: Keys = tuple(keys)
        while path and path not in spans:
            path = path[:-1]
        if not path:
            return Place(self.shown)
        key_span, value_span = spans[path]
        # A number names one of the values that a range, a file or a single value stands for.
        of_value = len(path) == len(keys) or isinstance(keys[len(path)], int)
        (line, column), (end_line, end_column) = value_span if of_value and not key else key_span
        source = line_of(self.text, line)
        stop = end_column if end_line == line else len(source) + 1
        return Place(self.shown, line, column, max(1, stop - column), source)

    def place_in(self, keys: Sequence[str | int], line: int, token: str) -> Place:
        """Return where `token` stands on line `line` (from 1) of the string value at `keys`."""
        start = self.place(keys)
        opening = start.source[start.column - 1 :]
        if not opening.startswith(('"""', "'''")):
            return find_token(self.shown, start.line, start.source, token, start.column) or start
        numbers = self._lines_holding(start, line, literal=opening.startswith("'"))
        for number in numbers:
            offset = start.column + 2 if number == start.line else 0
            if found := find_token(self.shown, number, line_of(self.text, number), token, offset):
                return found
        return whole_line(self.shown, numbers[0], line_of(self.text, numbers[0]))

    def _lines_holding(self, start: Place, line: int, *, literal: bool) -> list[int]:
        """Return the lines of the file that line `line` of the multi-line string at `start` was written on."""
        found: list[int] = []
        reached, joined = 1, False
        for number, source in enumerate(self.text.split("\n")[start.line - 1 :], start.line):
            first = number == start.line
            body = source[start.column + 2 :] if first else source
            # TOML drops a line end right after the quotes, and blank lines after a backslash at a line's end.
            if (first and not body.strip("\r")) or (joined and not body.strip()):
                continue
            escapes = [] if literal else re.findall(r"\\(.?)", body.rstrip())
            joined = escapes[-1:] == [""]
            ends = escapes.count("n")
            if reached <= line <= reached + ends:
                found.append(number)
            reached += ends if joined else ends + 1
            if reached > line:
                break
        return found or [start.line]


def _syntax_problem(shown: str, text: str, message: str) -> Problem:
    match = re.search(r" \((?:at line (\d+), column (\d+)|at end of document)\)$", message)
    claim = message[: match.start()] if match else message
    if match and match[1]:
        line, column = int(match[1]), int(match[2])
    else:
        line = max(1, len(text.rstrip("\n").split("\n")))
        column = len(line_of(text, line)) + 1
    source = line_of(text, line)
    if twice := re.fullmatch(
        r"Cannot (?:declare|redefine namespace|mutate immutable namespace) \((.*?),?\)(?: twice)?", claim
    ):
        names = re.findall(r"'((?:[^'\\]|\\.)*)'", twice[1])
        return Problem(f"not valid TOML: {'.'.join(names)} is declared twice", whole_line(shown, line, source))
    if claim == "Cannot overwrite a value":
        return Problem("not valid TOML: this key has a value already", whole_line(shown, line, source))
    hint = None
    if claim.startswith("Invalid value"):
        hint = 'texts stand in quotes: model = "qwen-image-plus"; truth values are true and false'
    if claim == "Illegal character '\\n'":
        claim = "Unterminated text: the line ends before its quotes are closed"
    return Problem(f"not valid TOML: {claim[:1].lower()}{claim[1:]}", Place(shown, line, column, 1, source), hint=hint)


# --- positions ---

_Span = tuple[tuple[int, int], tuple[int, int]]  # (line, column) of the start and past the end, from 1


@lru_cache(maxsize=8)  # problems come in groups
def _spans(text: str) -> dict[Keys, tuple[_Span, _Span]]:
    """Return, for each path of keys, the spans of its key and of its value."""
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    content = text.encode()
    lines = content.split(b"\n")
    root = Parser(Language(tree_sitter_toml.language())).parse(content).root_node
    spans: dict[Keys, tuple[_Span, _Span]] = {}
    counts: dict[Keys, int] = {}

    def point(row: int, column: int) -> tuple[int, int]:
        line = lines[row] if row < len(lines) else b""
        return row + 1, len(line[:column].decode("utf-8", "replace")) + 1

    def span(node: Node) -> _Span:
        return point(*node.start_point), point(*node.end_point)

    def parts(node: Node) -> list[Node]:
        found: list[Node] = []
        while node.type == "dotted_key":  # a.b.c nests to the left
            found.append(node.children[-1])
            node = node.children[0]
        return [node, *reversed(found)]

    def name(node: Node) -> str:
        raw = (node.text or b"").decode()
        if node.type == "quoted_key":
            return str(next(iter(tomllib.loads(f"{raw} = 0"))))
        return raw

    def value(node: Node, path: Keys) -> None:
        if node.type == "inline_table":
            for child in node.children:
                if child.type == "pair":
                    pair(child, path)
        elif node.type == "array":
            items = [child for child in node.children if child.is_named and child.type != "comment"]
            for index, child in enumerate(items):
                spans[*path, index] = (span(child), span(child))
                value(child, (*path, index))

    def pair(node: Node, prefix: Keys) -> None:
        named = [child for child in node.children if child.is_named and child.type != "comment"]
        if len(named) < 2:
            return
        path = prefix
        for part in parts(named[0]):
            path = (*path, name(part))
            spans.setdefault(path, (span(part), span(part)))
        spans[path] = (spans[path][0], span(named[1]))
        value(named[1], path)

    def header(path: Keys) -> Keys:
        """Return `path` with the index of the latest element after each array of tables."""
        full: Keys = ()
        for part in path:
            full = (*full, part)
            if full in counts:
                full = (*full, counts[full] - 1)
        return full

    for node in root.children:
        if node.type == "pair":
            pair(node, ())
        elif node.type in ("table", "table_array_element"):
            keys = next(
                (child for child in node.children if child.type in ("bare_key", "quoted_key", "dotted_key")), None
            )
            if keys is None:
                continue
            names = [name(part) for part in parts(keys)]
            parent = header(tuple(names[:-1]))
            path: Keys = (*parent, names[-1])
            for depth in range(1, len(parent) + 1):
                spans.setdefault(parent[:depth], (span(keys), span(keys)))
            if node.type == "table_array_element":
                spans.setdefault(path, (span(keys), span(keys)))
                counts[path] = counts.get(path, 0) + 1
                path = (*path, counts[path] - 1)
            spans[path] = (span(keys), span(keys))
            for child in node.children:
                if child.type == "pair":
                    pair(child, path)
    return spans
