"""Rows: reads data files in CSV, TSV, JSON Lines and TOML, chosen by the suffix.

Each row is a table with an id that is unique in its file. CSV follows RFC 4180. TSV is the IANA format, in which
quotation marks are ordinary characters. All values of CSV and TSV are texts.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import line_of, read_text, whole_line
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Place, Problem, did_you_mean, listing

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".toml")

MAX_BYTES = 64 * 2**20
"""The most bytes of a data file."""

MOST_ROWS, MOST_VALUES = 1_000_000, 5_000_000
"""The most rows of a data file, and the most values of all its rows: they take about a gigabyte of memory."""

_LONGEST_LINE = 1_000_000  # characters of a row in JSON
_MOST_DIGITS = 100  # of a whole number in JSON; Python can't print one of more than 4,300 digits
_DEEPEST = 100  # tables and lists inside each other in JSON

_Table = dict[str, Any]


class Row(dict[str, Any]):
    """A row of data: a table that prints as its id."""

    def __init__(self, values: Mapping[str, Any], label: str) -> None:
        super().__init__(values)
        self._label = label  # private, because in a template `row.label` is the column of that name

    def __str__(self) -> str:
        return self._label


def read(path: Path, shown: str, id_column: str | None = None) -> list[Row]:
    """Return the rows of a data file, at least one; `shown` names the file in messages.

    A row's id is the value of `id_column`, by default of the column `id`, else the row's number from 1. Raises
    ProjectError if the file can't be read, has no rows, or has an id twice.
    """
    file = _parse(path, shown)
    if not file.tables:
        raise ProjectError([Problem(f"{shown} has no rows")])
    return _with_ids(file, id_column)


def find(path: Path, shown: str, id_column: str | None, label: str) -> Place | None:
    """Return the place of the row with the id `label`; None if there is none. Raises ProjectError like `read`."""
    file = _parse(path, shown)
    if not file.tables:
        return None
    for index, row in enumerate(_with_ids(file, id_column)):
        if str(row) == label:
            line = file.line(index)
            return whole_line(shown, line, line_of(file.text, line))
    return None


@dataclass(frozen=True, slots=True)
class _File:
    """A parsed data file. `line` maps a table's index to its line, from 1. It is slow: use it for messages."""

    shown: str
    text: str
    tables: Sequence[_Table]
    line: Callable[[int], int]


def _parse(path: Path, shown: str) -> _File:
    readers: dict[str, Callable[[str, str], _Lines]] = {
        ".csv": _csv, ".tsv": _tsv, ".jsonl": _json_lines, ".ndjson": _json_lines
    }  # fmt: skip
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _toml(TomlFile.read(path, shown))
    if suffix in readers:
        text = read_text(path, shown, MAX_BYTES)
        numbered: list[tuple[int, _Table]] = []
        values = 0
        for line, table in readers[suffix](text, shown):
            numbered.append((line, table))
            values += len(table) if readers[suffix] is not _json_lines else _values(table)
            if len(numbered) > MOST_ROWS or values > MOST_VALUES:
                over = f"{MOST_VALUES:,} values" if values > MOST_VALUES else f"{MOST_ROWS:,} rows"
                raise _wrong(f"more than {over}", shown, text, line)
        return _File(shown, text, [table for _, table in numbered], lambda index: numbered[index][0])
    if path.is_dir():
        raise ProjectError([Problem(f"{shown} is a folder; a file was expected")])
    raise ProjectError([Problem(f'{shown}: unknown format "{path.suffix}"', hint=f"known: {listing(SUFFIXES)}")])


def _with_ids(file: _File, column: str | None) -> list[Row]:
    """Return the tables as rows; raises ProjectError if an id is missing or stands twice in the file."""
    column = column or ("id" if "id" in file.tables[0] else None)
    if column is None:
        return [Row(table, str(number)) for number, table in enumerate(file.tables, start=1)]
    rows: list[Row] = []
    indexes: dict[str, int] = {}  # of the tables, by id
    for index, table in enumerate(file.tables):
        if column not in table:
            claim, label = f'no column "{column}"', f"columns: {listing(table)}"
            raise _wrong(claim, file.shown, file.text, file.line(index), label, did_you_mean(column, table))
        name = str(table[column]).strip()
        if not name or isinstance(table[column], dict | list | None):
            raise _wrong(f'this row has no "{column}"', file.shown, file.text, file.line(index))
        if name in indexes:
            claim, label = f'two rows have the {column} "{name}"', f"the first is on line {file.line(indexes[name])}"
            raise _wrong(claim, file.shown, file.text, file.line(index), label)
        indexes[name] = index
        rows.append(Row(table, name))
    return rows


def _wrong(claim: str, shown: str, text: str, line: int, label: str = "", hint: str | None = None) -> ProjectError:
    """Return a ProjectError with this claim at a line of a file."""
    source = line_of(text, line)
    return ProjectError([Problem(claim, Place(shown, line, 1, max(1, len(source)), source), label, hint=hint)])


# --- formats ---

_Lines = Iterator[tuple[int, _Table]]  # (line of the file from 1, the row's table)


def _csv(text: str, shown: str) -> _Lines:
    # A field may hold line ends. They become \n, so that a checkout on Windows gives the same text.
    reader = csv.reader(io.StringIO(text.replace("\r\n", "\n"), newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if cells and header is None:
                header = _header(cells, line, text, shown)
            elif cells and header is not None:
                yield line, _table(header, cells, line, text, shown)
            line = reader.line_num + 1  # the next record starts here
    except csv.Error as error:
        raise _wrong(f"not valid CSV: {error}", shown, text, line) from None


def _tsv(text: str, shown: str) -> _Lines:
    header: list[str] | None = None
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        cells = source.rstrip("\r").split("\t")
        if header is None:
            header = _header(cells, line, text, shown)
        else:
            yield line, _table(header, cells, line, text, shown)


def _header(names: list[str], line: int, text: str, shown: str) -> list[str]:
    known: set[str] = set()
    for name in names:
        if not name.strip():
            raise _wrong("a column without a name", shown, text, line)
        if name in known:
            raise _wrong(f'column "{name}" is named twice', shown, text, line)
        known.add(name)
    return names


def _table(header: list[str], cells: list[str], line: int, text: str, shown: str) -> _Table:
    if len(cells) != len(header):
        claim = f"{len(cells)} column{'s' * (len(cells) != 1)}, but the header names {len(header)}"
        raise _wrong(claim, shown, text, line, listing(header))
    return dict(zip(header, cells, strict=True))


def _json_lines(text: str, shown: str) -> _Lines:
    for line, raw in enumerate(text.split("\n"), start=1):
        source = raw.rstrip("\r")
        if not source.strip():
            continue
        if len(source) > _LONGEST_LINE:
            claim = f"a row of {len(source):,} characters; at most {_LONGEST_LINE:,}"
            raise _wrong(claim, shown, text, line)
        try:
            table = json.loads(source, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
            _values(table)
            json.dumps(table, ensure_ascii=False).encode()  # JSON can spell unpaired surrogates, UTF-8 can't
        except json.JSONDecodeError as error:
            place = Place(shown, line, error.colno, 1, source)
            raise ProjectError([Problem(f"not valid JSON: {error.msg}", place)]) from None
        except RecursionError:
            claim = f"not usable JSON: it is nested more than {_DEEPEST} deep"
            raise _wrong(claim, shown, text, line) from None
        except ValueError as error:
            what = "an unpaired surrogate" if isinstance(error, UnicodeEncodeError) else str(error)
            raise _wrong(f"not usable JSON: {what}", shown, text, line) from None
        if not isinstance(table, dict):
            raise _wrong("each line must be a JSON object", shown, text, line)
        yield line, table


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits; at most {_MOST_DIGITS}")
    return int(text)


def _values(value: Any) -> int:
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


def _toml(source: TomlFile) -> _File:
    names = [
        name
        for name, value in source.table.items()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    ]
    if len(names) != 1:
        claim = f"{source.shown} must hold one array of tables, such as [[row]]"
        raise ProjectError([Problem(claim, facts=[f"found: {listing(names) or 'none'}"])])
    tables = source.table[names[0]]
    return _File(source.shown, source.text, tables, lambda index: source.place((names[0], index)).line)
