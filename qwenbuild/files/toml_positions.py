"""Positions in TOML: the lines and columns of each key and value in a text.

The parser, tree-sitter, is loaded only when a message needs a position.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node

Keys = tuple[str | int, ...]
"""A path of keys and array indices, such as `("image", "poster", "exclude", 0)`."""

Position = tuple[int, int]
"""Line and column, both from 1; the column counts characters."""

Span = tuple[Position, Position]
"""The first position, and the position after the last character."""

_STEP = 1024  # bytes
_CONTINUED = bytes(range(0x80, 0xC0))  # the bytes of UTF-8 that begin no character
_KEY_TYPES = ("bare_key", "quoted_key", "dotted_key")


class Header(NamedTuple):
    """The line of a `[table]` or `[[table]]`: its number from 0, and the names in it."""

    row: int
    names: tuple[str, ...]


def headers(text: str) -> list[Header]:
    """Return the headers of all tables of a valid TOML text, in their order."""
    return [
        Header(node.start_point[0], tuple([_name(part) for part in _parts(header)]))
        for node in _root(text).children
        if node.type in ("table", "table_array_element") and (header := _header(node)) is not None
    ]


def comments(text: str) -> dict[int, str]:
    """Return each comment of a valid TOML text by its line, counted from 0."""
    found, pending = dict[int, str](), [_root(text)]
    while pending:
        node = pending.pop()
        if node.type == "comment":
            found[node.start_point[0]] = (node.text or b"").decode().rstrip()
        pending += node.children
    return found


@lru_cache(maxsize=8)  # one file often has several problems
def spans(text: str) -> dict[Keys, tuple[Span, Span]]:
    """Return, for each path of keys in a valid TOML text, the spans of its key and of its value."""
    reader = _Reader(text.encode().split(b"\n"))
    for node in _root(text).children:
        if node.type == "pair":
            reader.pair(node, ())
        elif node.type in ("table", "table_array_element"):
            reader.table(node)
    return reader.spans


def _root(text: str) -> Node:
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node


class _Reader:
    """Walks a syntax tree and collects the spans."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines
        self._before: dict[int, Sequence[int]] = {}  # see `_characters`, by row
        self._counts: dict[Keys, int] = {}  # number of elements so far, by array of tables
        self.spans: dict[Keys, tuple[Span, Span]] = {}

    def table(self, node: Node) -> None:
        """Collect a `[table]` or an element `[[of.an.array]]`, with its header and its pairs."""
        if (header := _header(node)) is None:
            return
        names = [_name(part) for part in _parts(header)]
        parent = self._with_indices(names[:-1])
        path: Keys = (*parent, names[-1])
        span = self._span(header)
        for depth in range(1, len(parent) + 1):
            self.spans.setdefault(parent[:depth], (span, span))
        if node.type == "table_array_element":
            self.spans.setdefault(path, (span, span))
            self._counts[path] = self._counts.get(path, 0) + 1
            path = (*path, self._counts[path] - 1)
        self.spans[path] = (span, span)
        for child in node.children:
            if child.type == "pair":
                self.pair(child, path)

    def pair(self, node: Node, prefix: Keys) -> None:
        """Collect `key = value` of the table at `prefix`."""
        named = list(_named_children(node))
        if len(named) < 2:
            return
        key, value = named[:2]
        path = prefix
        for part in _parts(key):
            path = (*path, _name(part))
            self.spans.setdefault(path, (self._span(part), self._span(part)))
        self.spans[path] = (self.spans[path][0], self._span(value))
        self._inside(value, path)

    def _inside(self, value: Node, path: Keys) -> None:
        """Collect the members of an inline table or of an array."""
        if value.type == "inline_table":
            for child in value.children:
                if child.type == "pair":
                    self.pair(child, path)
        elif value.type == "array":
            for index, child in enumerate(_named_children(value)):
                self.spans[*path, index] = (self._span(child), self._span(child))
                self._inside(child, (*path, index))

    def _with_indices(self, names: Sequence[str]) -> Keys:
        """Return the path of `names`, with the index of the latest element after the name of each array of tables."""
        path: Keys = ()
        for name in names:
            path = (*path, name)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _span(self, node: Node) -> Span:
        return self._position(*node.start_point), self._position(*node.end_point)

    def _position(self, row: int, column: int) -> Position:
        """Return the position of a byte; `row` and `column` count from 0."""
        line = self._lines[row] if row < len(self._lines) else b""
        steps = column // _STEP
        before = self._characters(row, line)[steps] if steps else 0
        return row + 1, before + _count(line[steps * _STEP : column]) + 1

    def _characters(self, row: int, line: bytes) -> Sequence[int]:
        """Return the number of characters before each `_STEP` of a line: a generated file may be one long line."""
        if row not in self._before:
            pieces = (line[at : at + _STEP] for at in range(0, len(line), _STEP))
            self._before[row] = list(itertools.accumulate(map(_count, pieces), initial=0))
        return self._before[row]


def _count(piece: bytes) -> int:
    """Return the number of characters that begin in a piece of UTF-8."""
    return len(piece.translate(None, _CONTINUED))


def _named_children(node: Node) -> Iterator[Node]:
    return (child for child in node.children if child.is_named and child.type != "comment")


def _header(table: Node) -> Node | None:
    """Return the key in the brackets of a table; None if the parser has not understood it."""
    return next((child for child in table.children if child.type in _KEY_TYPES), None)


def _parts(key: Node) -> list[Node]:
    """Return the parts of a key. The tree of `a.b.c` nests to the left: `(a.b).c`."""
    parts: list[Node] = []
    while key.type == "dotted_key":
        parts.append(key.children[-1])
        key = key.children[0]
    return [key, *reversed(parts)]


def _name(part: Node) -> str:
    """Return the name in a part of a key, without quotes and escapes."""
    raw = (part.text or b"").decode()
    if part.type == "quoted_key":
        return str(next(iter(tomllib.loads(f"{raw} = 0"))))
    return raw
