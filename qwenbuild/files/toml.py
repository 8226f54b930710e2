"""TOML files: the parsed table, and places in the text for messages.

The standard library parses the text. `toml_positions` parses it a second time when a message needs a position.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwenbuild.errors import ProjectError
from qwenbuild.problems import Place, Problem

from . import toml_limits
from .text import find_token, line_of, lines_from, read_text, whole_line
from .toml_positions import Keys, spans

_HEADER = re.compile(r"\s*(\[\[?)([^\[\]\"'#]+)\]")  # of a table whose name has no quotes
_CURLY = tuple("\u201c\u201d\u201e\u00ab\u2018\u2019")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A parsed TOML file. Messages name it as `shown`."""

    shown: str
    text: str = field(repr=False)
    table: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path, shown: str) -> TomlFile:
        """Return the file at `path`; raises ProjectError if the file can't be read or is not valid TOML."""
        return cls.parse(shown, read_text(path, shown, toml_limits.MAX_BYTES))

    @classmethod
    def parse(cls, shown: str, text: str) -> TomlFile:
        """Return a file with this text; raises ProjectError if the text is not valid TOML."""
        excess, table = toml_limits.in_text(text), dict[str, Any]()
        try:
            if not excess:
                table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ProjectError([_syntax_problem(shown, text, str(error))]) from None
        except (ValueError, RecursionError) as error:  # Python refuses whole numbers of more than 4,300 digits
            excess = toml_limits.of_failure(text, error)
        file = cls(shown, text, table)
        if excess := excess or toml_limits.in_table(text, table):
            raise ProjectError([Problem(f"{shown}: {excess.claim}", file._place_of(excess), name="toml-limits")])
        return file

    def _place_of(self, excess: toml_limits.Excess) -> Place:
        if excess.at is None or excess.end is None:
            return self.place(excess.keys)
        line = self.text.count("\n", 0, excess.at) + 1
        start = self.text.rfind("\n", 0, excess.at) + 1
        source = line_of(self.text, line)
        return Place(self.shown, line, excess.at - start + 1, excess.end - excess.at, source)

    def place(self, keys: Sequence[str | int], *, key: bool = False) -> Place:
        """Return the place of the value at `keys`, or of the key itself if `key` is True.

        If the text has no such keys, returns the place of the nearest enclosing table or value.
        """
        path: Keys = tuple(keys)
        known = spans(self.text) if path else {}
        while path and path not in known:
            path = path[:-1]
        if not path:
            return Place(self.shown)
        key_span, value_span = known[path]
        # An index is missing if the text has a range, a file or a single value instead of a list.
        of_value = len(path) == len(keys) or isinstance(keys[len(path)], int)
        (line, column), (end_line, end_column) = value_span if of_value and not key else key_span
        source = line_of(self.text, line)
        stop = end_column if end_line == line else len(source) + 1
        return Place(self.shown, line, column, max(1, stop - column), source)

    def place_in(self, keys: Sequence[str | int], line: int, token: str) -> Place:
        """Return the place of `token` in the string at `keys`; `line` counts the lines of the string's value, from 1.

        If that line does not contain `token`, returns the place of the whole line or string.
        """
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
        """Return the lines of the file that make up one line of the value of the multi-line string at `start`."""
        numbers: list[int] = []
        reached, joined = 1, False
        for number, source in enumerate(lines_from(self.text, start.line), start.line):
            first = number == start.line
            body = source[start.column + 2 :] if first else source
            # TOML ignores a line end right after the quotes, and blank lines after a backslash at a line's end.
            if (first and not body.strip("\r")) or (joined and not body.strip()):
                continue
            escapes = [] if literal else re.findall(r"\\(.?)", body.rstrip())
            joined = escapes[-1:] == [""]
            ends = escapes.count("n")
            if reached <= line <= reached + ends:
                numbers.append(number)
            reached += ends if joined else ends + 1
            if reached > line:
                break
        return numbers or [start.line]


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
        return Problem(
            f"not valid TOML: {'.'.join(names)} is declared twice", whole_line(shown, line, source), name="toml-syntax"
        )
    if claim == "Cannot overwrite a value":
        return Problem(
            "not valid TOML: this key has a value already", whole_line(shown, line, source), name="toml-syntax"
        )
    hint = None
    if claim.startswith("Invalid value"):
        hint = 'texts need quotes, as in model = "qwen-image-plus"; true and false need none'
        if source[column - 1 : column] in _CURLY:
            hint = 'texts stand in straight quotation marks: "…"'
    if claim.startswith("Expected '=' after a key") and source[column - 1 : column] == ":":
        hint = "this is TOML: a value is written as key = value, a table as [image.NAME]"
    if claim == "Invalid hex value" or claim.startswith("Unescaped '\\'"):
        hint = "a backslash begins an escape: write / in paths, or the text in single quotes"
    if (header := _HEADER.match(source)) and claim.startswith(("Expected ']'", "Expected ']]'")):
        parts = ["-".join(part.split()) for part in header[2].split(".")]
        named = ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in parts)
        why = "quote the name" if '"' in named else "a name has no spaces"
        hint = f"{why}: {header[1]}{named}{']' * len(header[1])}"
    if claim == "Illegal character '\\n'":
        claim = "Unterminated text: the line ends before the closing quotes"
    return Problem(
        f"not valid TOML: {claim[:1].lower()}{claim[1:]}",
        Place(shown, line, column, 1, source),
        hint=hint,
        name="toml-syntax",
    )
