"""Data files as rows: CSV, TSV, JSON Lines and TOML, told apart by their suffix.

Each row is a table with an id that is unique in its file. CSV follows RFC 4180; TSV is the
IANA format, in which quotes are ordinary characters; both give texts only.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import line_of, read_text, whole_line
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Place, Problem, did_you_mean, listing

_Numbered = Iterator[tuple[int, dict[str, Any]]]  # line of the file (from 1), and the row's table

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".toml")


def read(path: Path, shown: str, id_column: str | None = None) -> list[Row]:
    """Return the rows of the file, at least one.

    A row's id is its `id_column`, by default its `id`, else its number from 1. Raises
    ProjectError for a file that can't be read, has no rows, or has an id twice.
    """
    text, numbered = _read(path, shown)
    if not numbered:
        raise ProjectError([Problem(f"{shown} has no rows")])
    return _identified(numbered, text, shown, id_column)


def find(path: Path, shown: str, id_column: str | None, label: str) -> Place | None:
    """Return where the row of that id stands in the file, None where it has none. Raises what `read` does."""
    text, numbered = _read(path, shown)
    if not numbered:
        return None
    for row, (line, _) in zip(_identified(numbered, text, shown, id_column), numbered, strict=True):
        if str(row) == label:
            return whole_line(shown, line, line_of(text, line))
    return None


def _read(path: Path, shown: str) -> tuple[str, list[tuple[int, dict[str, Any]]]]:
    """Return the file's text, and its rows as tables, each with its line."""
    readers: dict[str, Callable[[str, str], _Numbered]] = {
        ".csv": _csv, ".tsv": _tsv, ".jsonl": _json_lines, ".ndjson": _json_lines
    }  # fmt: skip
    suffix = path.suffix.lower()
    if suffix == ".toml":
        source = TomlFile.read(path, shown)
        text, numbered = source.text, list(_toml(source))
    elif suffix in readers:
        text = read_text(path, shown)
        numbered = list(readers[suffix](text, shown))
    elif path.is_dir():
        raise ProjectError([Problem(f"{shown} is a folder; a file was expected")])
    else:
        raise ProjectError([Problem(f'{shown}: unknown format "{path.suffix}"', hint=f"known: {listing(SUFFIXES)}")])
    return text, numbered


def _identified(numbered: list[tuple[int, dict[str, Any]]], text: str, shown: str, column: str | None) -> list[Row]:
    rows: list[Row] = []
    seen: dict[str, int] = {}
    column = column or ("id" if "id" in numbered[0][1] else None)
    for number, (line, table) in enumerate(numbered, start=1):
        if column is None:
            rows.append(Row(table, str(number)))
            continue
        place = Place(shown, line, 1, max(1, len(line_of(text, line))), line_of(text, line))
        if column not in table:
            hint = did_you_mean(column, table)
            raise ProjectError([Problem(f'no column "{column}"', place, f"columns: {listing(table)}", hint=hint)])
        label = str(table[column]).strip()
        if not label or isinstance(table[column], dict | list | None):
            raise ProjectError([Problem(f'this row has no "{column}"', place)])
        if label in seen:
            claim = f'two rows have the {column} "{label}"'
            raise ProjectError([Problem(claim, place, f"the first is on line {seen[label]}")])
        seen[label] = line
        rows.append(Row(table, label))
    return rows


def _table(header: list[str], cells: list[str], line: int, text: str, shown: str) -> dict[str, Any]:
    if len(cells) != len(header):
        source = line_of(text, line)
        claim = f"{len(cells)} column{'s' * (len(cells) != 1)}, but the header names {len(header)}"
        raise ProjectError([Problem(claim, Place(shown, line, 1, max(1, len(source)), source), listing(header))])
    return dict(zip(header, cells, strict=True))


def _header(names: list[str], line: int, text: str, shown: str) -> list[str]:
    for name in names:
        if names.count(name) > 1 or not name.strip():
            claim = f'column "{name}" is named twice' if name.strip() else "a column without a name"
            source = line_of(text, line)
            raise ProjectError([Problem(claim, Place(shown, line, 1, max(1, len(source)), source))])
    return names


def _csv(text: str, shown: str) -> _Numbered:
    # A field may hold line ends; as checked out on Windows or elsewhere, it must be the same text.
    reader = csv.reader(io.StringIO(text.replace("\r\n", "\n"), newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if cells and header is None:
                header = _header(cells, line, text, shown)
            elif cells and header is not None:
                yield line, _table(header, cells, line, text, shown)
            line = reader.line_num + 1  # where the next record starts
    except csv.Error as error:
        source = line_of(text, line)
        place = Place(shown, line, 1, max(1, len(source)), source)
        raise ProjectError([Problem(f"not valid CSV: {error}", place)]) from None


def _tsv(text: str, shown: str) -> _Numbered:
    header: list[str] | None = None
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        cells = source.rstrip("\r").split("\t")
        if header is None:
            header = _header(cells, line, text, shown)
        else:
            yield line, _table(header, cells, line, text, shown)


def _json_lines(text: str, shown: str) -> _Numbered:
    for line, raw in enumerate(text.split("\n"), start=1):
        source = raw.rstrip("\r")
        if not source.strip():
            continue
        try:
            table = json.loads(source, parse_constant=_no_number, parse_float=_finite)
            json.dumps(table, ensure_ascii=False).encode()  # JSON can spell unpaired surrogates, UTF-8 can't
        except json.JSONDecodeError as error:
            place = Place(shown, line, error.colno, 1, source)
            raise ProjectError([Problem(f"not valid JSON: {error.msg}", place)]) from None
        except (ValueError, RecursionError) as error:
            place = Place(shown, line, 1, max(1, len(source)), source)
            what = "an unpaired surrogate" if isinstance(error, UnicodeEncodeError) else str(error)
            raise ProjectError([Problem(f"not usable JSON: {what}", place)]) from None
        if not isinstance(table, dict):
            place = Place(shown, line, 1, max(1, len(source)), source)
            raise ProjectError([Problem("each line must be a JSON object", place)])
        yield line, table


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _toml(source: TomlFile) -> _Numbered:
    lists = [
        name
        for name, value in source.table.items()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    ]
    if len(lists) != 1:
        claim = f"{source.shown} must hold one array of tables, such as [[row]]"
        raise ProjectError([Problem(claim, facts=[f"found: {listing(lists) or 'none'}"])])
    for index, table in enumerate(source.table[lists[0]]):
        yield source.place((lists[0], index)).line, table


class Row(dict[str, Any]):
    """A row of data bound by an axis; prints as its id."""

    def __init__(self, values: Mapping[str, Any], label: str) -> None:
        super().__init__(values)
        self._label = label  # out of a template's reach: `row.label` is the column

    def __str__(self) -> str:
        return self._label
