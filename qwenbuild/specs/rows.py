"""Rows: reads data files in CSV, TSV, JSON Lines and TOML, chosen by the suffix.

Each row is a table with an id that is unique in its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenbuild.digest import sha256
from qwenbuild.errors import ProjectError
from qwenbuild.files import toml_limits
from qwenbuild.files.text import line_of, nfc, read_text, whole_line
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Place, Problem, did_you_mean, listing

from . import row_formats
from .control_characters import in_toml
from .row_formats import Lines, Problems, Table, count_values, wrong

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".toml")

MAX_BYTES = 64 * 2**20
"""The most bytes of a data file."""

_NO_IDS = (dict, list, type(None))

MOST_ROWS, MOST_VALUES = 1_000_000, 5_000_000
"""The most rows of a data file, and the most values of all its rows: they take about a gigabyte of memory."""


class Row(dict[str, Any]):
    """A row of data: a table that prints as its id."""

    __slots__ = ("_label",)  # else a row takes three times the memory

    def __init__(self, values: Mapping[str, Any], label: str) -> None:
        dict.__init__(self, values)
        self._label = label  # private, because in a template `row.label` is the column of that name

    def __str__(self) -> str:
        return self._label


class Rows(list[Row]):
    """The rows of a data file, which nobody changes.

    `column` is what `columns.column` once made of them: row watch takes 0.04 s less.
    """

    __slots__ = ("column",)

    def __init__(self, found: Iterable[Row]) -> None:
        list.__init__(self, found)
        self.column: list[Any] | None = None


class KnownRows:
    """The rows of files as they were last read: an unchanged file gives the same rows. Row watch takes 0.2 s less."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str | None], tuple[str, Rows]] = {}  # with a digest of the file's text

    def get(self, path: Path, id_column: str | None, digest: str) -> Rows | None:
        """Return the rows of a file whose text has this digest; None if it had another text, or was not read."""
        before, found = self._known.get((path, id_column), ("", None))
        return found if before == digest else None

    def keep(self, path: Path, id_column: str | None, digest: str, found: Rows) -> None:
        """Keep the rows of a text without mistakes."""
        self._known[path, id_column] = digest, found


def read(path: Path, shown: str, id_column: str | None = None, known: KnownRows | None = None) -> Rows:
    """Return the rows of a data file, at least one; `shown` names the file in messages.

    A row's id is the value of `id_column`, by default of the column `id`, else the row's number from 1. `known` are
    rows of earlier reads. Raises ProjectError if the file can't be read, has no rows, or has an id twice.
    """
    text = _text(path, shown)
    digest = sha256(text.encode()) if known else ""
    if known and (found := known.get(path, id_column, digest)) is not None:
        return found
    file = _parse(path, shown, text)
    if not file.tables:
        file.problems.raise_if_any()
        raise ProjectError([Problem(f"{shown} has no rows", name="no-rows")])
    found = Rows(_with_ids(file, id_column))
    file.problems.raise_if_any()
    if known:
        known.keep(path, id_column, digest, found)
    return found


def find(path: Path, shown: str, id_column: str | None, label: str) -> Place | None:
    """Return the place of the row with the id `label`; None if there is none. Raises ProjectError like `read`."""
    file = _parse(path, shown, _text(path, shown))
    index = _indexes(file, id_column).get(label)
    if index is None:
        return None
    line = file.line(index)
    return whole_line(shown, line, line_of(file.text, line))


def lines(path: Path, shown: str, id_column: str | None) -> dict[str, int]:
    """Return the line of each row in its file, from 1, by the row's id. Raises ProjectError like `read`."""
    file = _parse(path, shown, _text(path, shown))
    return {label: file.line(index) for label, index in _indexes(file, id_column).items()}


@dataclass(frozen=True, slots=True)
class _File:
    """A parsed data file. `line` maps a table's index to its line, from 1. It is slow: use it for messages."""

    shown: str
    text: str
    tables: Sequence[Table]
    line: Callable[[int], int]
    problems: Problems


def _text(path: Path, shown: str) -> str:
    """Return the text of a data file; raises ProjectError."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return read_text(path, shown, toml_limits.MAX_BYTES if suffix == ".toml" else MAX_BYTES)
    if path.is_dir():
        raise ProjectError([Problem(f"{shown} is a folder; a file was expected", name="file-unreadable")])
    claim = f'{shown}: unknown format "{path.suffix}"'
    raise ProjectError([Problem(claim, hint=f"known: {listing(SUFFIXES)}", name="unknown-format")])


def _parse(path: Path, shown: str, text: str) -> _File:
    readers: dict[str, Callable[[str, str, Problems], Lines]] = {
        ".csv": row_formats.csv_rows, ".tsv": row_formats.tsv_rows,
        ".jsonl": row_formats.json_rows, ".ndjson": row_formats.json_rows,
    }  # fmt: skip
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _toml(TomlFile.parse(shown, text))
    numbered: list[tuple[int, Table]] = []
    values, problems = 0, Problems()
    counted = count_values if readers[suffix] is row_formats.json_rows else len
    for row in readers[suffix](text, shown, problems):
        numbered.append(row)
        values += counted(row[1])
        if len(numbered) > MOST_ROWS or values > MOST_VALUES:
            over = f"{MOST_VALUES:,} values" if values > MOST_VALUES else f"{MOST_ROWS:,} rows"
            raise wrong(f"more than {over}", shown, text, row[0], name="file-too-large")
    lines = row_formats.in_lines(text) if suffix == ".csv" else text
    return _File(shown, lines, [table for _, table in numbered], lambda index: numbered[index][0], problems)


def _indexes(file: _File, id_column: str | None) -> dict[str, int]:
    """Return the index of each row by its id; raises ProjectError."""
    found = {str(row): index for index, row in enumerate(_with_ids(file, id_column) if file.tables else [])}
    file.problems.raise_if_any()
    return found


def _with_ids(file: _File, column: str | None) -> list[Row]:
    """Return the tables as rows, without those whose id is missing or stands twice: they are problems of the file."""
    if column and column not in file.tables[0]:
        column = next((name for name in file.tables[0] if nfc(name) == nfc(column)), column)
    column = column or ("id" if "id" in file.tables[0] else None)
    if column is None:
        return [Row(table, str(number)) for number, table in enumerate(file.tables, start=1)]
    rows: list[Row] = []
    indexes: dict[str, int] = {}  # of the tables, by id
    for index, table in enumerate(file.tables):
        name = str(table.get(column, "")).strip()
        is_named = name and not isinstance(table[column], _NO_IDS)
        if is_named and name not in indexes:
            indexes[name] = index
            rows.append(Row(table, name))
            continue
        claim, label, hint = f'this row has no "{column}"', "", None
        if column not in table:
            claim, label, hint = f'no column "{column}"', f"columns: {listing(table)}", did_you_mean(column, table)
        elif is_named:
            claim, label = f'two rows have the {column} "{name}"', f"the first is on line {file.line(indexes[name])}"
        file.problems.add(
            wrong(claim, file.shown, file.text, file.line(index), label, hint, name="wrong-row-id").problems
        )
    return rows


def _toml(source: TomlFile) -> _File:
    names = [
        name
        for name, value in source.table.items()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    ]
    if len(names) != 1:
        claim = f"{source.shown} must hold one array of tables, such as [[row]]"
        raise ProjectError([Problem(claim, facts=[f"found: {listing(names) or 'none'}"], name="wrong-row-id")])
    tables, problems = source.table[names[0]], Problems()
    problems.add(problem for _, problem in in_toml(source))
    return _File(source.shown, source.text, tables, lambda index: source.place((names[0], index)).line, problems)
