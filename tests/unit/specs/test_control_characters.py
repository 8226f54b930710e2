"""Control characters: they are found wherever a prompt may come from, with file, line and column."""

from __future__ import annotations

import pytest

from qwenbuild.specs.control_characters import first_control, in_json_line, in_text
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "x {{ r.t }}"\nmatrix.r = { file = "rows.csv" }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\r\nc", None), ("", None), ("新 é 😀\u2028\u200d", None),
        ("a\0", 1), ("\x0b", 0), ("\n\x1b[0m", 1), ("a\x7f", 1), ("na\x92ve", 2), ("\x85", 0),
    ],
)  # fmt: skip
def test_what_a_control_character_is(text: str, expected: int | None) -> None:
    """All but tabs and line ends."""
    assert first_control(text) == expected


def test_each_line_is_told_once() -> None:
    """At its first control character."""
    found = [str(problem.place) for problem in in_text("ab\n\x01\x02\n\nc\x00\n", "f")]
    assert found == ["f:2:1", "f:4:2"]


@pytest.mark.parametrize(
    ("source", "column"),
    [
        (r'"\u0000"', 2), (r'"\\\u001F"', 4), (r'"a\b"', 3), (r'"\f"', 2), (r'"\u0092"', 2), (r'"\u007f"', 2),
        (r'"\\u0000"', 0), (r'"\t\n\r\u000a\u0009\u000D"', 0), (r'"\\b"', 0), (r'"\u00e9\u0100"', 0),
    ],
)  # fmt: skip
def test_escapes_of_json(source: str, column: int) -> None:
    """An escaped backslash begins no escape."""
    assert [it.place.column for it in in_json_line(source, "f", 1) if it.place] == ([column] if column else [])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"specs/rows.csv": "id,t\n1,a\n2,b\x00c\n"}, "error: the control character U+0000 can't be part of a text\n"
         " --> specs/rows.csv:3:4\n"),
        ({"specs/s.toml": SPEC.replace(".csv", ".jsonl"), "specs/rows.jsonl": '{"t": "\\u001b[31m"}\n'},
         "error: the control character U+001B can't be part of a text\n --> specs/rows.jsonl:1:8\n"),
        ({"specs/s.toml": SPEC.replace("rows.csv", "../rows.toml"), "rows.toml": '[[row]]\nt = "a\\u0001"\n'},
         "error: the control character U+0001 can't be part of a text\n --> rows.toml:2:5\n"),
        ({"specs/s.toml": '[image.a]\nprompt = "x"\nvars = { a = ["y", { b = "\\u0000" }] }\n'},
         "error: the control character U+0000 can't be part of a text\n --> specs/s.toml:3:26\n"),
        ({"specs/s.toml": '[image.a]\ntemplate = "t.j2"\n', "templates/t.j2": "a\nb\x08\n"},
         "error: the control character U+0008 can't be part of a text\n --> templates/t.j2:2:2\n"),
        ({"specs/s.toml": "[image.a]\nprompt = 'x{{ \"\\x00\" }}'\n"},
         "error: the prompt of s/a holds the control character U+0000\n --> specs/s.toml:2:10\n"),
        ({"specs/s.toml": "[image.a]\nprompt = 'x'\nnegative_prompt = 'y{{ \"\\x7f\" }}'\n"},
         "error: the negative prompt of s/a holds the control character U+007F\n --> specs/s.toml:3:19\n"),
    ],
    ids=["csv", "json", "toml rows", "variable", "template", "result", "negative"],
)  # fmt: skip
def test_a_control_character_is_an_error_with_its_place(
    project: Workspace, files: dict[str, str], expected: str
) -> None:
    """Wherever it comes from, and even if no prompt uses it."""
    project.write({"specs/s.toml": SPEC, **files})
    assert project.complaint().startswith(expected)


def test_line_ends_and_tabs_are_kept(project: Workspace) -> None:
    """A prompt may have several lines."""
    project.write({"specs/s.toml": '[image.a]\nprompt = """a\n\tb\\nc"""\n'})
    assert project.prompts() == ["a\n\tb\nc"]
