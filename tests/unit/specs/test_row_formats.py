"""Row formats: what spreadsheets write is read as people mean it."""

from __future__ import annotations

import csv
import io
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.specs.row_formats import Lines, Problems, Table, csv_rows, json_rows, tsv_rows

ROWS = [{"id": "1", "title": "a, b"}, {"id": "2", "title": "c"}]


Read = Callable[[str, str, Problems], Lines]


def read(reader: Read, text: str) -> list[tuple[int, Table]]:
    """Return what a reader gives; raises ProjectError with all problems."""
    problems = Problems()
    found = list(reader(text, "a.csv", problems))
    problems.raise_if_any()
    return found


def tables(text: str) -> list[Table]:
    return [table for _, table in read(csv_rows, text)]


@pytest.mark.parametrize(
    "text",
    [
        'id,title\n1,"a, b"\n2,c\n',
        'id;title\n1;a, b\n2;c\n',
        '"id";"title"\n1;a, b\n2;c\n',
        "id\ttitle\n1\ta, b\n2\tc\n",
        'sep=,\nid,title\n1,"a, b"\n2,c\n',
        "sep=;\r\nid;title\r\n1;a, b\r\n2;c\r\n",
        "sep=|\nid|title\n1|a, b\n2|c\n",
        '"sep=^"\nid^title\n1^a, b\n2^c\n',
        "id|title\n1|a, b\n2|c\n",
        'id;title\r1;"a, b"\r2;c\r',
        "sep=;\rid;title\r1;a, b\r2;c\r",
        'id,title,,\n1,"a, b",,\n2,c,,\n',
        'id,title\n1,"a, b",,\n2,c, \n',
        'id,title\n,\n1,"a, b"\n\n" ", \n2,c\n,\n,\n   \n',
        '\n,\nid,title\n1,"a, b"\n2,c',
    ],
    ids=[
        "rfc", "semicolons", "quoted-header", "tabs", "sep-comma", "sep-semicolon-crlf", "sep-bar", "sep-quoted",
        "bars", "cr", "sep-cr", "empty-columns", "separators-at-the-end", "blank-rows", "blank-rows-first",
    ],
)  # fmt: skip
def test_what_spreadsheets_write(text: str) -> None:
    """Semicolons, `sep=` lines, blank rows and separators at the end of a row mean nothing more."""
    assert tables(text) == ROWS


def test_lines_are_counted_with_what_is_skipped() -> None:
    """A message names the line of the file."""
    assert [line for line, _ in read(csv_rows, "sep=;\n\nid;title\n;\n1;x\n2;y\n")] == [5, 6]
    with pytest.raises(ProjectError, match="1 column, but the header names 2") as caught:
        tables("sep=;\nid;title\n1;x\n2\n")
    assert "a.csv:4:1" in str(caught.value)


def test_a_carriage_return_alone_ends_a_line() -> None:
    """In a file of old spreadsheets, and within a cell. A message shows that line; the cell keeps its text."""
    for text, place, line in (
        ("id,title\r1,x\r2\r", "a.csv:3:1", "3 | 2"),
        ('id,title\n1,"x\ry"\n2\n', "a.csv:4:1", "4 | 2"),
        ("id,title\r1,x\r2,\a\r", "a.csv:3:3", "3 | 2,\\x07"),
    ):
        with pytest.raises(ProjectError) as caught:
            tables(text)
        assert place in str(caught.value)
        assert line in str(caught.value).splitlines()
    assert tables('id,title\n1,"x\ry"\n') == [{"id": "1", "title": "x\ry"}]


def test_which_columns_a_row_lacks() -> None:
    """They are named. If it has too many, mostly a text holds a comma."""
    with pytest.raises(ProjectError) as caught:
        tables("id,title,sub\n1\n")
    assert str(caught.value).splitlines()[-1] == "  | ^ missing: title, sub"
    with pytest.raises(ProjectError) as caught:
        tables("title\nHello, world\n")
    assert str(caught.value).splitlines()[-2:] == [
        "  | ^^^^^^^^^^^^ title",
        '  = hint: a text that holds "," must stand in quotation marks',
    ]


def test_a_comma_in_the_header_is_the_separator() -> None:
    """Only if nothing else can be meant, a semicolon is."""
    assert tables("id,a;b\n1,x\n") == [{"id": "1", "a;b": "x"}]
    assert tables("id\n1;2\n") == [{"id": "1;2"}]


def test_blank_rows_of_tsv_are_skipped() -> None:
    """And cells that are missing at the end are told."""
    assert read(tsv_rows, "id\tt\n\t\n1\tx\n") == [(3, {"id": "1", "t": "x"})]
    with pytest.raises(ProjectError, match="1 column"):
        read(tsv_rows, "id\tt\n1\n")


@pytest.mark.parametrize(
    ("reader", "text", "expected"),
    [
        (csv_rows, "id,t\n1\n2,x\n3,x,y\n4,\0\n", ["2:1", "4:1", "5:3"]),
        (tsv_rows, "id\tt\n1\n2\tx\n3\tx\ty\n", ["2:1", "4:1"]),
        (json_rows, '{"a": 1}\n{"a"}\n[]\n{"a": 2}\n{"a": NaN}\n{"a": "\\u0000"}\n', ["2:5", "3:1", "5:1", "6:8"]),
        (csv_rows, 'id,t\n1\n2,"x\n', ["2:1", "3:1"]),
    ],
)
def test_all_bad_rows_are_told(reader: Read, text: str, expected: list[str]) -> None:
    """In one run, each with its line."""
    with pytest.raises(ProjectError) as caught:
        read(reader, text)
    places = sorted((it.place.line, it.place.column) for it in caught.value.problems if it.place)
    assert [f"{line}:{column}" for line, column in places] == expected


def test_ten_thousand_problems_are_enough() -> None:
    """A file of bad rows does not fill the memory."""
    with pytest.raises(ProjectError) as caught:
        read(csv_rows, "id,t\n" + "1\n" * 20_000)
    assert len(caught.value.problems) == 10_000


_CELLS = st.text(string.ascii_letters + string.digits + ",;\t\"' \n", min_size=1, max_size=6).filter(str.strip)


@given(st.lists(st.tuples(_CELLS, _CELLS), min_size=1), st.sampled_from(",;\t"), st.booleans())
def test_any_table_of_a_spreadsheet_is_read_again(
    table: list[tuple[str, str]], separator: str, is_stated: bool
) -> None:
    """With each separator, stated or not."""
    buffer = io.StringIO(f"sep={separator}\n" if is_stated else "")
    buffer.seek(0, io.SEEK_END)
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerows([("a", "b"), *table])
    assert [(row["a"], row["b"]) for row in tables(buffer.getvalue())] == table
