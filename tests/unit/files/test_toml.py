from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Place

SAMPLE = '''\
# a comment
model = "qwen-image"
vars.deep.name = 'x'   # dotted
"quoted key" = { a = 1, "b.c" = [10, 20, { d = "é猫" }] }

[image.poster]
prompt = """
First line {{ one }}
Second {{ two }} line"""
sizes = [
    "16:9",  # wide
    "1:1",
]

[[image.poster.exclude]]
size = "1:1"

[[image.poster.exclude]]
seed = 2
[image.poster.exclude.nested]
x = true

[image."odd.name"]
prompt = "1"
'''


def toml(text: str) -> TomlFile:
    return TomlFile("specs/a.toml", text, tomllib.loads(text))


def marked(place: Place) -> str:
    """Return the text that the carets mark."""
    return place.source[place.column - 1 : place.column - 1 + place.width]


def parsing(folder: Path, text: str) -> str:
    path = folder / "a.toml"
    path.write_bytes(text.encode())
    with pytest.raises(ProjectError) as caught:
        TomlFile.read(path, "specs/a.toml")
    return str(caught.value)


# --- parsing ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[image.a]\nprompt = hello\n",
            "error: not valid TOML: invalid value\n"
            " --> specs/a.toml:2:10\n"
            "  |\n"
            "2 | prompt = hello\n"
            "  |          ^\n"
            '  = hint: texts need quotes, as in model = "qwen-image-plus"; true and false need none',
        ),
        (
            '[image.a]\nprompt = "x\nseed = 1\n',
            "error: not valid TOML: unterminated text: the line ends before the closing quotes\n"
            " --> specs/a.toml:2:12\n"
            "  |\n"
            '2 | prompt = "x\n'
            "  |            ^",
        ),
        (
            '[image.a]\nprompt = """x\n\n',
            "error: not valid TOML: unterminated string\n"
            " --> specs/a.toml:2:14\n"
            "  |\n"
            '2 | prompt = """x\n'
            "  |              ^",
        ),
        (
            '[image.a]\nprompt = "x"\n[image.a]\nprompt = "y"\n',
            "error: not valid TOML: image.a is declared twice\n"
            " --> specs/a.toml:3:1\n"
            "  |\n"
            "3 | [image.a]\n"
            "  | ^^^^^^^^^",
        ),
        (
            'model = "a"\n  model = "b"\n',
            "error: not valid TOML: this key has a value already\n"
            " --> specs/a.toml:2:3\n"
            "  |\n"
            '2 |   model = "b"\n'
            "  |   ^^^^^^^^^^^",
        ),
        (
            '[image.a\nprompt = "x"\n',
            "error: not valid TOML: expected ']' at the end of a table declaration\n"
            " --> specs/a.toml:1:9\n"
            "  |\n"
            "1 | [image.a\n"
            "  |         ^",
        ),
        (
            'vars = { it = 1 }\r\n[vars.it]\r\n',
            "error: not valid TOML: vars.it is declared twice\n"
            " --> specs/a.toml:2:1\n"
            "  |\n"
            "2 | [vars.it]\n"
            "  | ^^^^^^^^^",
        ),
    ],
    ids=["bare", "open text", "open block", "twice", "key twice", "header", "redefined"],
)  # fmt: skip
def test_a_syntax_error_is_shown_in_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """The standard library's message is shown with a code frame."""
    assert parsing(tmp_path, text) == expected


@given(st.text(st.sampled_from("ab01 =\"'[]{},.#\n\r\t\\x\u0000é猫")))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Parsing gives the standard library's table, or a ProjectError."""
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        expected = None
    try:
        found = _read(text)
    except ProjectError as error:
        assert expected is None
        assert str(error).startswith("error: not valid TOML: ")
    else:
        assert found == expected


def _read(text: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.toml")
        path.write_bytes(text.encode())
        return TomlFile.read(path, "a.toml").table


# --- places ---


@pytest.mark.parametrize(
    ("keys", "value", "key"),
    [
        (("model",), '2:9 "qwen-image"', "2:1 model"),
        (("vars", "deep", "name"), "3:18 'x'", "3:11 name"),
        (("vars", "deep"), "3:6 deep", "3:6 deep"),
        (("quoted key",), '4:16 { a = 1, "b.c" = [10, 20, { d = "é猫" }] }', '4:1 "quoted key"'),
        (("quoted key", "b.c"), '4:33 [10, 20, { d = "é猫" }]', '4:25 "b.c"'),
        (("quoted key", "b.c", 1), "4:38 20", "4:38 20"),
        (("quoted key", "b.c", 2, "d"), '4:48 "é猫"', "4:44 d"),
        (("image", "poster"), "6:2 image.poster", "6:2 image.poster"),
        (("image",), "6:2 image.poster", "6:2 image.poster"),
        (("image", "poster", "prompt"), '7:10 """', "7:1 prompt"),
        (("image", "poster", "sizes", 1), '12:5 "1:1"', '12:5 "1:1"'),
        (("image", "poster", "exclude"), "15:3 image.poster.exclude", "15:3 image.poster.exclude"),
        (("image", "poster", "exclude", 1), "18:3 image.poster.exclude", "18:3 image.poster.exclude"),
        (("image", "poster", "exclude", 0, "size"), '16:8 "1:1"', "16:1 size"),
        (("image", "poster", "exclude", 1, "seed"), "19:8 2", "19:1 seed"),
        (("image", "poster", "exclude", 1, "nested", "x"), "21:5 true", "21:1 x"),
        (("image", "odd.name", "prompt"), '24:10 "1"', "24:1 prompt"),
        (("image", "poster", "output"), "6:2 image.poster", "6:2 image.poster"),
        (("model", 0), '2:9 "qwen-image"', "2:1 model"),
        (("nothing", "here"), "0:1 ", "0:1 "),
    ],
)
def test_every_key_and_value_has_its_place(keys: tuple[str | int, ...], value: str, key: str) -> None:
    """All kinds of keys, values and headers have places. A missing key has the place of the nearest enclosing key."""
    file = toml(SAMPLE)

    def found(place: Place) -> str:
        return f"{place.line}:{place.column} {marked(place)}"

    assert (found(file.place(keys)), found(file.place(keys, key=True))) == (value, key)


def _paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))


_KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)
_VALUES = st.recursive(
    st.integers(0, 999) | st.booleans() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_the_text_at_a_values_place_is_the_value(table: dict[str, Any]) -> None:
    """The text at the place of a one-line value, parsed as TOML, is the value."""
    text = tomli_w.dumps(table)
    file = toml(text)
    for path, value in _paths(file.table):
        place = file.place(path)
        assert place.line > 0
        written = marked(place)
        is_header = text.split("\n")[place.line - 1].startswith("[") and isinstance(value, dict | list)
        if not is_header and not written.endswith(("[", "{")):
            assert tomllib.loads(f"x = {written}")["x"] == value


# --- places in strings ---


@pytest.mark.parametrize(
    ("text", "line", "token", "expected"),
    [
        ('p = """\none {{ x }}\ntwo {{ y }}"""', 1, "x", "2:8"),
        ('p = """\none {{ x }}\ntwo {{ y }}"""', 2, "y", "3:8"),
        ('p = """one {{ x }}\ntwo {{ y }}"""', 1, "x", "1:15"),
        ('p = """one {{ x }}\ntwo {{ y }}"""', 2, "y", "2:8"),
        ('p = """\r\none {{ x }}\r\ntwo {{ y }}"""\r\n', 2, "y", "3:8"),
        ("p = '''\none\n{{ y }}'''", 2, "y", "3:4"),
        ("p = '''\none \\n \\\n{{ y }}'''", 2, "y", "3:4"),
        ('p = "a {{ x }}"  # x', 1, "x", "1:11"),
        ('p = "a\\n\\n{{ y }}"\n# y\n# y', 3, "y", "1:14"),
        ('p = """\none \\\n  two {{ x }} \\\n\n\n  {{ z }}\n{{ y }}"""', 1, "x", "3:10"),
        ('p = """\none \\\n  two {{ x }} \\\n\n\n  {{ z }}\n{{ y }}"""', 1, "z", "6:6"),
        ('p = """\none \\\n  two {{ x }} \\\n\n\n  {{ z }}\n{{ y }}"""', 2, "y", "7:4"),
        ('p = """\n\\\\\n{{ y }}"""', 2, "y", "3:4"),
        ('p = """\na\\n{{ y }}\n{{ z }}"""', 3, "z", "3:4"),
        ('p = """\nax x"""', 1, "x", "2:4"),
        ('p = """\n  none here\n"""', 1, "x", "2:3"),
        ('p = "none here"', 1, "x", "1:5"),
        ('t = "p"', 1, "x", "0:1"),
    ],
)
def test_a_token_of_a_string_has_its_place(text: str, line: int, token: str, expected: str) -> None:
    """A line of a template is found in the file, through the quotes, escapes and joined lines of TOML."""
    place = toml(text).place_in(("p",), line, token)
    assert f"{place.line}:{place.column}" == expected


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("[image.Poster B]", "a name has no spaces: [image.Poster-B]"),
        ("[[image.Poster B.exclude]]", "a name has no spaces: [[image.Poster-B.exclude]]"),
        ("[image.größe]", 'quote the name: [image."größe"]'),
        ('[image."a" b]', None),
        ("[image.a", None),
    ],
)
def test_a_name_that_is_no_bare_key(header: str, hint: str | None) -> None:
    """The hint has a header that is valid, if the name could be read."""
    with pytest.raises(ProjectError) as caught:
        TomlFile.parse("a.toml", f"{header}\nx = 1\n")
    [problem] = caught.value.problems
    assert (problem.place and problem.place.line, problem.hint) == (1, hint)
