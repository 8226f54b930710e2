"""Row formats: the tables in the text of a CSV, TSV or JSON Lines file, with their lines.

CSV follows RFC 4180, and takes what spreadsheets write. Columns may be separated by semicolons, tabs or bars, and a
first line such as `sep=;` may say so. Rows may be blank, or end with separators. Lines may end with CR alone. TSV is
the IANA format, in which quotation marks are ordinary characters. All values of CSV and TSV are texts.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import line_of
from qwenbuild.problems import Place, Problem, listing

from .control_characters import in_json_line, in_text

_LONGEST_LINE = 16 * 2**20  # characters of a row in JSON
_MOST_DIGITS = 100  # of a whole number in JSON; Python can't print one of more than 4,300 digits
_DEEPEST = 100  # tables and lists inside each other in JSON
_MOST_WRONG = 10_000  # problems of one file that are told
_SEPARATORS = ",;\t|"
_STATED = re.compile(r'("?)sep=([^"\n])\1\n')  # Excel's own way to name the separator

csv.field_size_limit(2**31 - 1)  # a cell may be as long as the file: columns of data sets hold whole images

Table = dict[str, Any]
Lines = Iterator[tuple[int, Table]]
"""The rows of a file: (line of the file from 1, the row's table)."""


def wrong(
    claim: str, shown: str, text: str, line: int, label: str = "", hint: str | None = None, *, name: str
) -> ProjectError:
    """Return a ProjectError with this claim and name at a line of a file."""
    source = line_of(text, line)
    return ProjectError(
        [Problem(claim, Place(shown, line, 1, max(1, len(source)), source), label, hint=hint, name=name)]
    )


class Problems:
    """The problems of one data file: reading goes on after a bad row, so that all of them are told."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, problems: Iterable[Problem]) -> None:
        """Add problems; raises ProjectError if there are too many to go on."""
        for problem in problems:
            self.found.append(problem)
            if len(self.found) >= _MOST_WRONG:
                raise ProjectError(self.found)

    def raise_if_any(self) -> None:
        """Raise ProjectError with all problems."""
        if self.found:
            raise ProjectError(self.found)


def in_lines(text: str) -> str:
    """Return a CSV text in lines as its reader counts them: a CR alone ends a line, too."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def csv_rows(text: str, shown: str, problems: Problems) -> Lines:
    """Yield the rows of a CSV text. Its problems go into `problems`."""
    lines = in_lines(text)  # for messages
    text = text.replace("\r\n", "\n")  # within fields, too: a checkout on Windows gives the same text
    problems.add(in_text(lines, shown))
    stated = _STATED.match(lines)
    separator = stated[2] if stated else _separator(lines)
    line = 2 if stated else 1
    body = text[stated.end() :] if stated else text
    reader = csv.reader(io.StringIO(body, newline=""), strict=True, delimiter=separator)
    header: list[str] | None = None
    start = line
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                if header is None:
                    header = _header(cells, line, lines, shown)
                elif len(cells) == len(header):
                    yield line, dict(zip(header, cells))  # noqa: B905 - compared above; row one-change: 4 ms of 10,000
                elif (table := _table(header, cells, line, lines, shown, problems, separator)) is not None:
                    yield line, table
            line = reader.line_num + start  # the next record starts here
    except csv.Error as error:
        hint = "a quotation mark that opens here is not closed" if "unexpected end" in str(error) else None
        problems.add(
            [
                replace(it, hint=hint)
                for it in wrong(f"not valid CSV: {error}", shown, lines, line, name="csv-syntax").problems
            ]
        )


def _separator(lines: str) -> str:
    """Return what separates the columns, by the header: a comma, unless only another separator can be meant."""
    header = re.sub(r'"(?:[^"]|"")*"', "", lines.lstrip()[:100_000]).partition("\n")[0]
    return next((separator for separator in _SEPARATORS if separator in header), ",")


def tsv_rows(text: str, shown: str, problems: Problems) -> Lines:
    """Yield the rows of a TSV text. Its problems go into `problems`."""
    problems.add(in_text(text, shown))
    header: list[str] | None = None
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        cells = source.rstrip("\r").split("\t")
        if header is None:
            header = _header(cells, line, text, shown)
        elif (table := _table(header, cells, line, text, shown, problems)) is not None:
            yield line, table


def _header(names: list[str], line: int, text: str, shown: str) -> list[str]:
    """Return the names of the columns, without the blank ones at the end: spreadsheets write them for empty columns."""
    while not names[-1].strip():
        names.pop()
    known: set[str] = set()
    for name in names:
        if not name.strip():
            raise wrong("a column without a name", shown, text, line, name="data-header")
        if name in known:
            raise wrong(f'column "{name}" is named twice', shown, text, line, name="data-header")
        known.add(name)
    return names


def _table(
    header: list[str], cells: list[str], line: int, text: str, shown: str, problems: Problems, separator: str = ""
) -> Table | None:
    """Return a row's table; None if its columns are not those of the header. `separator` is that of CSV."""
    while len(cells) > len(header) and not cells[-1].strip():
        cells.pop()
    if len(cells) != len(header):
        claim = f"{len(cells)} column{'s' * (len(cells) != 1)}, but the header names {len(header)}"
        missing, hint = header[len(cells) :], None
        label = f"missing: {listing(missing)}" if missing else listing(header)
        if not missing and separator.strip():
            hint = f'a text that holds "{separator}" must stand in quotation marks'
        problems.add(wrong(claim, shown, text, line, label, hint, name="data-row-length").problems)
        return None
    return dict(zip(header, cells, strict=True))


def json_rows(text: str, shown: str, problems: Problems) -> Lines:
    """Yield the rows of a JSON Lines text. Its problems go into `problems`."""
    problems.add(in_text(text, shown))
    for line, raw in enumerate(text.split("\n"), start=1):
        source = raw.rstrip("\r")
        if source.strip():
            try:
                yield line, _parsed(source, shown, text, line, problems)
            except ProjectError as error:
                problems.add(error.problems)


def _parsed(source: str, shown: str, text: str, line: int, problems: Problems) -> Table:
    """Return the table of a line of JSON; raises ProjectError."""
    if len(source) > _LONGEST_LINE:
        raise wrong(
            f"a row of {len(source):,} characters; at most {_LONGEST_LINE:,}", shown, text, line, name="file-too-large"
        )
    try:
        table = json.loads(source, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
        count_values(table)
        json.dumps(table, ensure_ascii=False).encode()  # JSON can spell unpaired surrogates, UTF-8 can't
    except json.JSONDecodeError as error:
        place = Place(shown, line, error.colno, 1, source)
        raise ProjectError([Problem(f"not valid JSON: {error.msg}", place, name="json-syntax")]) from None
    except RecursionError:
        raise wrong(
            f"not usable JSON: it is nested more than {_DEEPEST} deep", shown, text, line, name="json-syntax"
        ) from None
    except ValueError as error:
        what = "an unpaired surrogate" if isinstance(error, UnicodeEncodeError) else str(error)
        raise wrong(f"not usable JSON: {what}", shown, text, line, name="json-syntax") from None
    if not isinstance(table, dict):
        raise wrong("each line must be a JSON object", shown, text, line, name="json-syntax")
    problems.add(in_json_line(source, shown, line))
    return table


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits; at most {_MOST_DIGITS}")
    return int(text)


def count_values(value: Any) -> int:
    """Return the number of values in tables and lists; raises RecursionError if they nest more than `_DEEPEST` deep."""
    level, count = [value], 0
    for _ in range(_DEEPEST + 1):
        level = [
            each
            for node in level
            if isinstance(node, dict | list)
            for each in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return count
        count += len(level)
    raise RecursionError


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")
