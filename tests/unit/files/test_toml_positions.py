from __future__ import annotations

import subprocess
import sys

from qwenbuild.files.toml_positions import spans


def test_each_path_has_the_spans_of_key_and_value() -> None:
    """Lines and columns count from 1; a span ends after its last character."""
    text = '[a]\n"b.c" = [1, { "猫" = "é" }]\n'
    assert spans(text) == {
        ("a",): (((1, 2), (1, 3)), ((1, 2), (1, 3))),
        ("a", "b.c"): (((2, 1), (2, 6)), ((2, 9), (2, 27))),
        ("a", "b.c", 0): (((2, 10), (2, 11)), ((2, 10), (2, 11))),
        ("a", "b.c", 1): (((2, 13), (2, 26)), ((2, 13), (2, 26))),
        ("a", "b.c", 1, "猫"): (((2, 15), (2, 18)), ((2, 21), (2, 24))),
    }


def test_a_value_may_have_several_lines() -> None:
    """The span of a multi-line value ends on another line."""
    assert spans("a = [\n  1,\n]\n")["a",] == (((1, 1), (1, 2)), ((1, 5), (3, 2)))


def test_tables_of_an_array_are_counted() -> None:
    """A header of a sub-table belongs to the latest element of the array."""
    found = spans("[[a]]\n[[a]]\n[a.b]\nc = 1\n")
    assert {path: key for path, (key, _) in found.items()} == {
        ("a",): ((1, 3), (1, 4)),
        ("a", 0): ((1, 3), (1, 4)),
        ("a", 1): ((2, 3), (2, 4)),
        ("a", 1, "b"): ((3, 2), (3, 5)),
        ("a", 1, "b", "c"): ((4, 1), (4, 2)),
    }


def test_keys_nested_two_thousand_deep_have_positions() -> None:
    """Long dotted keys cause no RecursionError."""
    assert spans(".".join("a" * 2_000) + " = 1")["a",][0] == ((1, 1), (1, 2))


def test_the_parser_is_loaded_only_for_positions() -> None:
    """Reading a TOML file does not load tree-sitter."""
    script = (
        "import sys; from qwenbuild.files.toml import TomlFile; file = TomlFile.parse('a', 'x = 1'); "
        "before = 'tree_sitter' in sys.modules; file.place(('x',)); print(before, 'tree_sitter' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False True\n"


def test_a_long_line_has_the_columns_of_its_characters() -> None:
    """Columns count characters, also far behind the start of a line of other scripts."""
    texts = ["é" * (number % 7) + "猫😀" * 40 for number in range(50)]
    text = "a = [" + ", ".join(f'"{each}"' for each in texts) + "]"
    column = len("a = [") + 1
    for number, each in enumerate(texts):
        end = column + len(each) + 2
        assert spans(text)["a", number][1] == ((1, column), (1, end))
        column = end + 2
