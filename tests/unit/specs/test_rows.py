"""Tests of rows: the formats of data files, and the text of each problem."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.specs import rows
from qwenbuild.specs.rows import Row

DATA = Path(__file__).parents[2] / "data"


def read(folder: Path, name: str, content: str | bytes, column: str | None = None) -> list[Row]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return rows.read(path, f"data/{name}", column)


def complaint(folder: Path, name: str, content: str | bytes, column: str | None = None) -> str:
    with pytest.raises(ProjectError) as caught:
        read(folder, name, content, column)
    return str(caught.value)


TABLE = [{"id": "en", "title": "Come, play"}, {"id": "zh", "title": "一起来玩球吧！"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,title\nen,"Come, play"\nzh,一起来玩球吧！\n'),
        ("a.csv", '\ufeffid,title\r\nen,"Come, play"\r\n\r\nzh,一起来玩球吧！'),
        ("a.CSV", 'id,title\nen,"Come, play"\nzh,一起来玩球吧！\n'),
        ("a.tsv", "id\ttitle\nen\tCome, play\nzh\t一起来玩球吧！\n"),
        ("a.tsv", "\ufeffid\ttitle\r\nen\tCome, play\r\n\r\nzh\t一起来玩球吧！\r\n"),
        ("a.jsonl", '{"id": "en", "title": "Come, play"}\n\n{"id": "zh", "title": "一起来玩球吧！"}\n'),
        ("a.ndjson", '{"id": "en", "title": "Come, play"}\r\n{"id": "zh", "title": "一起来玩球吧！"}'),
        ("a.toml", '[[copy]]\nid = "en"\ntitle = "Come, play"\n[[copy]]\nid = "zh"\ntitle = "一起来玩球吧！"\n'),
        ("a.toml", 'copy = [{ id = "en", title = "Come, play" }, { id = "zh", title = "一起来玩球吧！" }]'),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    """Line ends, a byte-order mark and empty lines make no difference."""
    found = read(tmp_path, name, content)
    assert [dict(row) for row in found] == TABLE
    assert [str(row) for row in found] == ["en", "zh"]


def test_rows_without_an_id_are_numbered(tmp_path: Path) -> None:
    """Numbers start at 1 and follow the order of the file."""
    assert [str(row) for row in read(tmp_path, "a.csv", "title\nx\ny\n")] == ["1", "2"]


def test_any_column_may_be_the_id(tmp_path: Path) -> None:
    """The id is stripped, and may be a number."""
    assert [str(row) for row in read(tmp_path, "a.csv", "id,title\n1, x \n1,y\n", "title")] == ["x", "y"]
    assert [str(row) for row in read(tmp_path, "a.jsonl", '{"n": 1}\n{"n": 2.5}\n', "n")] == ["1", "2.5"]


def test_csv_fields_may_hold_line_ends_of_all_kinds(tmp_path: Path) -> None:
    """A line end in quotes is part of the text and the same on every system; so is any other line separator."""
    content = 'id,text\r\n1,"two\r\nlines"\r\n2,a\u2028b\tc\r\n'
    assert [row["text"] for row in read(tmp_path, "a.csv", content)] == ["two\nlines", "a\u2028b\tc"]


def test_quotes_are_text_in_tsv(tmp_path: Path) -> None:
    """The IANA format of TSV has no quoting."""
    content = 'Prompt\tNote\n"G I G G L E" painted on a wall\t"\n"\tb\n'
    assert [row["Prompt"] for row in read(tmp_path, "a.tsv", content)] == ['"G I G G L E" painted on a wall', '"']


def test_the_parti_prompts_are_read_whole() -> None:
    """All 1,632 prompts have exactly the characters of the file."""
    found = rows.read(DATA / "PartiPrompts.tsv", "data/PartiPrompts.tsv")
    lines = (DATA / "PartiPrompts.tsv").read_text("utf-8").split("\n")[1:]
    assert [row["Prompt"] for row in found] == [line.split("\t")[0] for line in lines if line]
    assert len(found) == 1632
    assert sum('"' in row["Prompt"] for row in found) > 0
    assert [str(row) for row in found] == [str(number) for number in range(1, 1633)]


_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n"), max_size=8)


@given(st.lists(st.tuples(_TEXTS, _TEXTS), min_size=1))
def test_what_a_csv_writer_writes_is_read_again(table: list[tuple[str, str]]) -> None:
    """Quotes, commas, line ends and unusual characters stay unchanged. Rows of blank cells are no rows."""
    table = [*table, ("x", "")]
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b"])
    writer.writerows(table)
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), "a.csv", buffer.getvalue())
    assert [(row["a"], row["b"]) for row in found] == [row for row in table if "".join(row).strip()]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXTS, inner, max_size=2),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(_TEXTS, _JSON, max_size=3), min_size=1))
def test_what_json_writes_is_read_again(table: list[dict[str, Any]]) -> None:
    """Values keep their types."""
    content = "\n".join(json.dumps({**row, "id": str(number)}) for number, row in enumerate(table))
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), "a.jsonl", content)
    assert [dict(row) for row in found] == [{**row, "id": str(number)} for number, row in enumerate(table)]


@given(
    st.sampled_from([".csv", ".tsv", ".jsonl", ".toml"]),
    st.binary(max_size=60) | st.text('ab\t,"\n\r[]{}=1').map(str.encode),
)
def test_any_bytes_give_rows_or_an_error(suffix: str, content: bytes) -> None:
    """The error is always a ProjectError."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = read(Path(folder), f"a{suffix}", content)
        except ProjectError as error:
            assert str(error).startswith("error: ")
        else:
            assert found


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.csv",
            "id,title,note\nen,x,y\nzh,x\n",
            "error: 2 columns, but the header names 3\n --> data/a.csv:3:1\n  |\n3 | zh,x\n  | ^^^^ missing: note",
        ),
        (
            "a.csv",
            'id,title\nen,"two\nlines"\nzh\n',
            "error: 1 column, but the header names 2\n --> data/a.csv:4:1\n  |\n4 | zh\n  | ^^ missing: title",
        ),
        (
            "a.tsv",
            "id\ttitle\nen\tx\ty\n",
            "error: 3 columns, but the header names 2\n --> data/a.tsv:2:1\n  |\n2 | en x y\n  | ^^^^^^ id, title",
        ),
        (
            "a.csv",
            "id,title,id\nen,x,y\n",
            'error: column "id" is named twice\n --> data/a.csv:1:1\n  |\n1 | id,title,id\n  | ^^^^^^^^^^^',
        ),
        (
            "a.csv",
            "id,,title\nen,x,y\n",
            "error: a column without a name\n --> data/a.csv:1:1\n  |\n1 | id,,title\n  | ^^^^^^^^^",
        ),
        (
            "a.csv",
            "id,title\nen,x\nzh,y\nen,z\n",
            'error: two rows have the id "en"\n --> data/a.csv:4:1\n  |\n4 | en,z\n  | ^^^^ the first is on line 2',
        ),
        (
            "a.csv",
            "id,title\n ,x\n",
            'error: this row has no "id"\n --> data/a.csv:2:1\n  |\n2 |  ,x\n  | ^^^',
        ),
        (
            "a.csv",
            'id,title\nen,x\nzh,"y\n',
            'error: not valid CSV: unexpected end of data\n --> data/a.csv:3:1\n  |\n3 | zh,"y\n  | ^^^^^\n'
            "  = hint: a quotation mark that opens here is not closed",
        ),
        (
            "a.csv",
            'id,title\nen,"x"y\n',
            "error: not valid CSV: ',' expected after '\"'\n --> data/a.csv:2:1\n  |\n2 | en,\"x\"y\n  | ^^^^^^^",
        ),
        (
            "a.jsonl",
            '{"id": "en"}\r\n{"id": }\r\n',
            'error: not valid JSON: Expecting value\n --> data/a.jsonl:2:8\n  |\n2 | {"id": }\n  |        ^',
        ),
        (
            "a.jsonl",
            '["en"]\n',
            'error: each line must be a JSON object\n --> data/a.jsonl:1:1\n  |\n1 | ["en"]\n  | ^^^^^^',
        ),
        (
            "a.jsonl",
            '{"id": NaN}\n',
            'error: not usable JSON: NaN is not a number\n --> data/a.jsonl:1:1\n  |\n1 | {"id": NaN}\n  | ^^^^^^^^^^^',
        ),
        (
            "a.jsonl",
            '{"n": 1e999}\n',
            "error: not usable JSON: 1e999 is not a number\n"
            " --> data/a.jsonl:1:1\n"
            "  |\n"
            '1 | {"n": 1e999}\n'
            "  | ^^^^^^^^^^^^",
        ),
        (
            "a.jsonl",
            '{"t": "\\ud83d"}\n',
            "error: not usable JSON: an unpaired surrogate\n"
            " --> data/a.jsonl:1:1\n"
            "  |\n"
            '1 | {"t": "\\ud83d"}\n'
            "  | ^^^^^^^^^^^^^^^",
        ),
        (
            "a.jsonl",
            '{"id": "en"}\n{"title": "x"}\n',
            'error: no column "id"\n --> data/a.jsonl:2:1\n  |\n2 | {"title": "x"}\n  | ^^^^^^^^^^^^^^ columns: title',
        ),
        (
            "a.jsonl",
            '{"id": null}\n',
            'error: this row has no "id"\n --> data/a.jsonl:1:1\n  |\n1 | {"id": null}\n  | ^^^^^^^^^^^^',
        ),
        (
            "a.toml",
            '[[copy]]\nid = "en"\n\n[[copy]]\nid = "en"\n',
            'error: two rows have the id "en"\n'
            " --> data/a.toml:4:1\n"
            "  |\n"
            "4 | [[copy]]\n"
            "  | ^^^^^^^^ the first is on line 1",
        ),
        (
            "a.toml",
            "[[one]]\n[[two]]\n",
            "error: data/a.toml must hold one array of tables, such as [[row]]\n  = found: one, two",
        ),
        ("a.toml", "x = 1\n", "error: data/a.toml must hold one array of tables, such as [[row]]\n  = found: none"),
        ("a.csv", "", "error: data/a.csv has no rows"),
        ("a.csv", "id,title\n", "error: data/a.csv has no rows"),
        ("a.tsv", "\n\n", "error: data/a.tsv has no rows"),
        ("a.jsonl", "\n", "error: data/a.jsonl has no rows"),
        (
            "a.xlsx",
            "",
            'error: data/a.xlsx: unknown format ".xlsx"\n  = hint: known: .csv, .tsv, .jsonl, .ndjson, .toml',
        ),
        (
            "a.csv",
            b"id\n\xe9\n",
            "error: data/a.csv is not UTF-8: byte 0xe9\n"
            " --> data/a.csv:2:1\n"
            "  |\n"
            "2 | \N{REPLACEMENT CHARACTER}\n"
            "  | ^\n"
            '  = hint: save the file as UTF-8; Excel calls that "CSV UTF-8"',
        ),
    ],
)
def test_each_problem_shows_its_line(tmp_path: Path, name: str, content: str | bytes, expected: str) -> None:
    """The problem shows the line of the file, if a line is to blame."""
    assert complaint(tmp_path, name, content) == expected


def test_an_id_column_that_is_missing(tmp_path: Path) -> None:
    """The problem lists the columns and suggests the nearest."""
    assert complaint(tmp_path, "a.csv", "code,title\nen,x\n", "titel") == (
        'error: no column "titel"\n'
        " --> data/a.csv:2:1\n"
        "  |\n"
        "2 | en,x\n"
        "  | ^^^^ columns: code, title\n"
        '  = hint: did you mean "title"?'
    )


def test_a_cell_may_have_any_size(tmp_path: Path) -> None:
    """Data sets hold whole images in a column."""
    assert len(read(tmp_path, "a.csv", "id,t\n1," + "x" * 200_000 + "\n")[0]["t"]) == 200_000


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".toml"])
def test_many_rows_are_read_in_a_moment(tmp_path: Path, suffix: str) -> None:
    """The time grows with the file and not with its square: the lines of rows are found only for messages."""
    form = {".csv": "r{0},x\n", ".tsv": "r{0}\tx\n", ".jsonl": '{{"id": "r{0}"}}\n', ".toml": '[[r]]\nid = "r{0}"\n'}
    header = {".csv": "id,t\n", ".tsv": "id\tt\n"}.get(suffix, "")
    content = header + "".join(form[suffix].format(number) for number in range(10_000))
    begun_s = time.process_time()
    found = read(tmp_path, f"a{suffix}", content)
    assert time.process_time() - begun_s < 10  # a second is usual; minutes if each row looks for its line
    assert [str(row) for row in found] == [f"r{number}" for number in range(10_000)]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    """Data files have the same messages as other files."""
    with pytest.raises(ProjectError, match=r"no such file: data/a\.csv"):
        rows.read(tmp_path / "a.csv", "data/a.csv")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ProjectError, match=r"data/a\.csv is a folder"):
        rows.read(tmp_path / "a.csv", "data/a.csv")


@pytest.mark.parametrize(
    ("name", "content", "claim"),
    [
        ("a.jsonl", '{"id": ' + "9" * 10_000 + "}", "not usable JSON: a number of 10,000 digits; at most 100"),
        ("a.jsonl", '{"id": -' + "9" * 100 + "}", "not usable JSON: a number of 101 digits; at most 100"),
        ("a.jsonl", '{"x": ' + "[" * 200_000 + "]" * 200_000 + "}", "not usable JSON: it is nested more than 100 deep"),
        ("a.jsonl", '{"x": ' + "[" * 101 + "]" * 101 + "}", "not usable JSON: it is nested more than 100 deep"),
        ("a.jsonl", '{"x": [' + "1," * 9_000_000 + "1]}", "a row of 18,000,010 characters; at most 16,777,216"),
        ("a.jsonl", '{"x": 1e' + "9" * 10_000 + "}", "not usable JSON: 1e999"),
        ("a.tsv", "\t".join(["c"] * 100_000), 'column "c" is named twice'),
        ("a.csv", "id\n" + "1\n" * 2, 'two rows have the id "1"'),
    ],
)
def test_absurd_rows_are_told_with_their_line(tmp_path: Path, name: str, content: str, claim: str) -> None:
    """Numbers, depth and columns that would stop Python end in a short message with a caret."""
    told = complaint(tmp_path, name, content)
    assert told.startswith(f"error: {claim}")
    assert f" --> data/{name}:" in told
    assert "^" in told
    assert len(told) < 5000


def test_json_that_people_write_is_read(tmp_path: Path) -> None:
    """A hundred levels and a hundred digits are allowed."""
    [row] = read(tmp_path, "a.jsonl", '{"n": ' + "9" * 100 + ', "x": ' + "[" * 99 + "]" * 99 + "}")
    assert row["n"] == int("9" * 100)


@pytest.mark.parametrize(
    ("name", "content", "claim", "line"),
    [
        ("a.csv", "a\n" + "1\n" * 10, "more than 5 rows", 7),
        ("a.tsv", "a\tb\tc\n" + "1\t2\t3\n" * 5, "more than 10 values", 5),
        ("a.jsonl", '{"x": [1, [2], {"y": 3}]}\n' * 3, "more than 10 values", 2),
    ],
)
def test_a_data_file_has_so_many_rows_and_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, claim: str, line: int
) -> None:
    """Each takes memory. The limits are counted, so they are the same on every machine."""
    monkeypatch.setattr(rows, "MOST_ROWS", 5)
    monkeypatch.setattr(rows, "MOST_VALUES", 10)
    assert complaint(tmp_path, name, content).startswith(f"error: {claim}\n --> data/{name}:{line}:1\n")


def test_a_data_file_has_so_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger one is not read."""
    monkeypatch.setattr(rows, "MAX_BYTES", 20)
    assert "data/a.csv is too large: it has more than 20 bytes" in complaint(tmp_path, "a.csv", "a\n" + "1\n" * 10)


def test_an_unchanged_file_gives_the_same_rows(tmp_path: Path) -> None:
    """A file that was written again with the same text is not parsed again; one with another text is, and one with a
    mistake never counts as known."""
    path, known = tmp_path / "a.csv", rows.KnownRows()

    def now(text: str, column: str | None = None) -> rows.Rows:
        path.write_text(text, "utf-8")
        return rows.read(path, "data/a.csv", column, known)

    first = now("id,name\na,rose\n")
    assert now("id,name\na,rose\n") is first
    assert now("id,name\na,rose\n", "name") == [first[0]]
    assert [*map(str, now("id,name\na,rose\n", "name"))] == ["rose"]
    assert now("id,name\na,lily\n")[0]["name"] == "lily"
    for _ in range(2):
        with pytest.raises(ProjectError):
            now("id,name\na,rose\na,lily\n")
    assert now("id,name\na,rose\n") == first
