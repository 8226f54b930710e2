"""Limits on TOML: how deep its tables and arrays nest, and how large its numbers and files are.

The limits are counted, so the same file passes or fails on every machine. They stand far above what people write, and
below what would exhaust the parser: the standard library's needs memory that grows with the square of a key's parts.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, NamedTuple

from .toml_positions import Keys

DEEPEST = 100
"""The most tables and arrays inside each other, and the most parts of a dotted key."""

MAX_BYTES = 16 * 2**20
"""The most bytes of a TOML file: ten thousand rows with long texts fit."""

MOST_SIGNS = 1_000_000
"""The most signs `=`, `[` and `{` of a TOML file: parsing as many tables and keys takes some twenty seconds."""

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1  # what TOML 1.0 demands of every parser, and the most that SQLite takes

_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{DEEPEST}}}")
_SPOKEN = re.compile(  # what is no syntax: comments and strings, the long ones first; an open one goes to the end
    r"""
    (?P<hidden> \#[^\n]*+ | "{3}(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\Z) | '{3}(?:[^']|'(?!''))*+(?:'{3,5}|\Z) )
    | "(?:[^"\\\n]|\\.)*+"? | '[^'\n]*+'?
    """,
    re.VERBOSE | re.DOTALL,
)
_BRACKET = re.compile(r"[\[\]{}]")
_MANY_DIGITS = re.compile(r"(?<![\w.])[+-]?[0-9][0-9_]{4000,}+")


class Excess(NamedTuple):
    """What is beyond a limit: `at` and `end` are offsets in the text, `keys` the place in the table instead."""

    claim: str
    at: int | None = None
    end: int | None = None
    keys: Keys = ()


def in_text(text: str) -> Excess | None:
    """Return what is beyond a limit in the text; None if nothing is. Call it before parsing."""
    signs, lines = sum(map(text.count, "=[{")), text.split("\n")
    if signs > MOST_SIGNS:
        found = next(itertools.islice(re.finditer(r"[=\[{]", text), MOST_SIGNS, None))
        return Excess(f"more than {MOST_SIGNS:,} keys and brackets", found.start(), found.end())
    headers = [(line.count(".") + 1, number) for number, line in enumerate(lines) if line.startswith("[")]
    parts, number = max(headers, default=(1, 0))
    if signs * parts > 4 * MOST_SIGNS:  # for each key, the parser walks along the parts of its table
        at = sum(len(line) + 1 for line in lines[:number])
        return Excess(f"{signs:,} keys and brackets, and a table of {parts} parts", at, at + len(lines[number]))
    if all(line.count(".") < DEEPEST for line in lines):  # a key stands on one line
        return None
    key = _LONG_KEY.search(_syntax(text))
    return key and Excess(f"a key has more than {DEEPEST} parts", key.start(), key.end())


def of_failure(text: str, error: ValueError | RecursionError) -> Excess:
    """Return what made the parser of the standard library give up with `error`."""
    syntax = _syntax(text)
    if isinstance(error, RecursionError):
        depth = 0
        for bracket in _BRACKET.finditer(syntax):
            depth += 1 if bracket[0] in "[{" else -1
            if depth > DEEPEST:
                return Excess(_TOO_DEEP, bracket.start(), bracket.end())
        return Excess(_TOO_DEEP)
    digits = _MANY_DIGITS.search(syntax)
    return Excess(_TOO_LARGE, *(digits.span() if digits else ()))


def in_table(text: str, table: dict[str, Any]) -> Excess | None:
    """Return what is beyond a limit in the table that `text` gives; None if nothing is."""
    level: list[Any] = [table]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for node in level:
            for value in node.values() if isinstance(node, dict) else node:
                kind = type(value)
                if kind is int:
                    if not _SMALLEST <= value <= _LARGEST:
                        return Excess(_TOO_LARGE, keys=_keys_of(table, value))
                elif kind is dict or kind is list:
                    below.append(value)
        if not below:
            return None
        level = below
    return of_failure(text, RecursionError())


_TOO_DEEP = f"tables and arrays are nested more than {DEEPEST} deep"
_TOO_LARGE = "a whole number has more than 64 bits"


def _syntax(text: str) -> str:
    """Return a text of the same length in which strings read as parts of keys, and comments and long strings as `=`."""
    return _SPOKEN.sub(lambda found: ("=" if found["hidden"] else "_") * len(found[0]), text)


def _keys_of(table: dict[str, Any], wanted: int) -> Keys:
    """Return the keys of the first value that is `wanted`, the same object."""
    waiting: list[tuple[Keys, Any]] = [((), table)]
    for keys, node in waiting:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if value is wanted:
                return (*keys, key)
            if isinstance(value, dict | list):
                waiting.append(((*keys, key), value))
    return ()
