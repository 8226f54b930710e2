"""Tests of the limits on TOML: what is told, where, and what stays allowed."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.files import toml_limits
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Problem


def problem(text: str) -> Problem:
    with pytest.raises(ProjectError) as caught:
        TomlFile.parse("a.toml", text)
    [found] = caught.value.problems
    return found


DOTS = ".".join(["a"] * 20_000)
QUOTED = ".".join([r'"\""'] * 20_000)
PARTS = "a key has more than 100 parts"
DEEP = "tables and arrays are nested more than 100 deep"
LARGE = "a whole number has more than 64 bits"


@pytest.mark.parametrize(
    ("text", "claim", "line", "column"),
    [
        (f"x = 1\n{DOTS} = 1\n", PARTS, 2, 1),
        (f"x = 1\n[{DOTS}]\n", PARTS, 2, 2),
        (f"[[{DOTS}]]\n", PARTS, 1, 3),
        (f"x = {{ {DOTS} = 1 }}\n", PARTS, 1, 7),
        (f"{QUOTED} = 1\n", PARTS, 1, 1),
        ("'a b' . " * 20_000 + "c = 1\n", PARTS, 1, 1),
        ("x = " + "[" * 20_000 + "]" * 20_000, DEEP, 1, 105),
        ("y = 1\nx = " + "[" * 20_000, DEEP, 2, 105),
        ("x = " + "[1, {a = " * 101 + "1" + "}]" * 101, DEEP, 1, 4 + 9 * 50 + 1),
        ("x = 0x" + "f" * 4000, LARGE, 1, 5),
        ("[a.b]\nx = [1, 0x" + "f" * 4000 + "]", LARGE, 2, 9),
        ("x = 0o" + "7" * 4000, LARGE, 1, 5),
        ("x = 0b" + "1" * 4000, LARGE, 1, 5),
        ("x = -" + "9" * 100_000, LARGE, 1, 5),
        ("s = '''\n" + "9" * 5000 + "\n'''\nx = " + "9" * 100_000, LARGE, 4, 5),
        ("x = 1\n" * 2 + "[[r]]\n" * 500_000, "more than 1,000,000 keys and brackets", 500_002, 1),
        (
            "\n[" + ".".join(["h"] * 99) + "]\n" + "k = 1\n" * 50_000,
            "50,001 keys and brackets, and a table of 99 parts",
            2,
            1,
        ),
        ("x = 9223372036854775808", LARGE, 1, 5),
        ("x = -9223372036854775809", LARGE, 1, 5),
    ],
    ids=range(19),
)
def test_what_is_beyond_a_limit_is_told_with_its_place(text: str, claim: str, line: int, column: int) -> None:
    """The carets are at the key, bracket or number. The message is short."""
    found = problem(text)
    assert found.claim == f"a.toml: {claim}"
    assert found.place is not None
    assert (found.place.line, found.place.column) == (line, column)
    assert "^" in str(found)
    assert len(str(found)) < 1000


def test_tables_that_are_deep_without_brackets_are_told(tmp_path: object) -> None:
    """Header and key together have too many parts; no single place is the culprit."""
    parts = ".".join(["a"] * 60)
    assert problem(f"[{parts}]\n{parts} = 1\n").claim == f"a.toml: {DEEP}"


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 90) + " = 1",
        "x = " + "[" * 90 + "]" * 90,
        "x = 9223372036854775807\ny = -9223372036854775808\nz = 0x7fffffffffffffff",
        f"x = '{DOTS}'",
        f'x = "{DOTS}"',
        f'x = """\n{DOTS}\n{DOTS}"""',
        f"x = '''\n{DOTS}'''",
        f'x = "\\"{DOTS}" # {DOTS}',
        "x = " + "[" + "[[1]], " * 10_000 + "]",
        "x = '" + "9" * 5000 + "'",
        "x = 1." + "9" * 5000,
        "x = [nan, inf, -inf, 1e999]",
    ],
    ids=range(12),
)
def test_what_people_write_is_allowed(text: str) -> None:
    """Texts and comments have no limit but the file's."""
    assert repr(TomlFile.parse("a.toml", text).table) == repr(tomllib.loads(text))


_PIECES = ['"', "'", '"""', "'''", "\\", "#", "\n", "a", ".", "9", "[", "]", "{", "}", "=", ",", " ", "é"]


@given(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join))
def test_any_text_is_searched_without_an_error(text: str) -> None:
    """Strings that are not closed, and brackets that are not opened."""
    assert toml_limits.in_text(text) is None
    for error in (ValueError(), RecursionError()):
        assert toml_limits.of_failure(text, error).claim


@pytest.mark.parametrize(
    "piece", ['"', "'", '"""', "'''", '"""\\', '"\\', "a", "a-", "'a' ", "#", "'''\n", '""" "', "["]
)
def test_the_search_takes_time_in_proportion_to_the_text(piece: str) -> None:
    """A search that starts anew at each quotation mark of a megabyte would exceed the test's timeout."""
    text = piece * (1_000_000 // len(piece))
    toml_limits.in_text(text + "." + DOTS)
    toml_limits.of_failure(text, RecursionError())
