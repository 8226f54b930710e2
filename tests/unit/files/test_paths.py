"""Tests of the names of cells, and of what a path may be."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.files.paths import clash_key, path_fault
from qwenbuild.specs.cell_names import cell_name, parse_cell_name, quoted

_AXES = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=6).filter(str.isidentifier)
_LABELS = st.text() | st.text(st.sampled_from("ab ,=[]\"\\'\n\t\x00\x7f\u2028é猫"))


def named(image: str, cell: dict[str, str]) -> str:
    """Return the name of a cell."""
    return cell_name(image, [(axis, quoted(cell[axis])) for axis in sorted(cell)])


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ({}, "puppies/poster"),
        (
            {"size": "1328x1328", "copy": "en", "seed": "1", "palette": "sunset"},
            "puppies/poster[copy=en,palette=sunset,seed=1,size=1328x1328]",
        ),
        ({"mood": "night market"}, "puppies/poster[mood=night market]"),
        ({"mood": "red, green"}, 'puppies/poster[mood="red, green"]'),
        ({"mood": 'so "called"'}, 'puppies/poster[mood="so \\"called\\""]'),
        ({"mood": " padded "}, 'puppies/poster[mood=" padded "]'),
        ({"mood": ""}, 'puppies/poster[mood=""]'),
        ({"mood": "a[1]=b"}, 'puppies/poster[mood="a[1]=b"]'),
        ({"mood": "two\nlines"}, 'puppies/poster[mood="two\\nlines"]'),
        ({"mood": "猫"}, "puppies/poster[mood=猫]"),
        ({"mood": "16:9"}, "puppies/poster[mood=16:9]"),
    ],
)
def test_a_cells_name_is_plain_where_it_can_be(cell: dict[str, str], name: str) -> None:
    """Axes are sorted; a label that could be misread stands in quotes."""
    assert named("puppies/poster", cell) == name
    assert parse_cell_name(name) == ("puppies/poster", cell)


@given(st.dictionaries(_AXES, _LABELS, max_size=4))
def test_every_name_is_read_again(cell: dict[str, str]) -> None:
    """Whatever the labels are, no two cells share a name."""
    assert parse_cell_name(named("a/b", cell)) == ("a/b", cell)


@given(st.text('ab[]=,"\\ \n/'))
def test_any_text_is_a_name_or_none(text: str) -> None:
    """Whatever is typed is parsed or refused, and what is parsed means itself."""
    found = parse_cell_name(text)
    if found is not None:
        image, cell = found
        assert parse_cell_name(named(image, cell)) == (image, cell)


@pytest.mark.parametrize(
    "text", ["a/b[", "a/b[x]", "a/b[x=1", "a/b[x=1]y", 'a/b[x="1]', "a/b[x=1,,y=2]", 'a/b[x="\\q"]', "a/b[=1]"]
)
def test_malformed_names_are_refused(text: str) -> None:
    """Nothing is guessed."""
    assert parse_cell_name(text) is None


def test_names_may_be_typed_with_blanks() -> None:
    """After a comma, as one would."""
    assert parse_cell_name("a/b[x=1, y=2]") == ("a/b", {"x": "1", "y": "2"})


GOOD = [
    "a.png", "spec/image-1328x1328-7.png", "a/b/c/d.png", "A b/c d.png", "猫/海报.png", "a..b.png", "a.b/c.png",
    "né/ö.png", "a+b@c-d_e.png", "(1)/[2]/{3}.png", "console.png", "com10.png", "a/null.png", "x/.hidden/a.png",
    "हिन्दी.png", "'quoted'.png", "50%.png", "a" * 236 + ".png",
]  # fmt: skip


@pytest.mark.parametrize("path", GOOD)
def test_paths_that_are_safe(path: str) -> None:
    """Letters of all scripts, blanks inside, brackets, dots that mean nothing."""
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "it is empty"),
        ("a.jpg", 'it must end in ".png"'),
        ("a.PNG", 'it must end in ".png"'),
        ("a.png/", 'it must end in ".png"'),
        ("/etc/a.png", "it must be relative to the output folder"),
        ("C:/a.png", "it must be relative to the output folder"),
        ("c:a.png", "it must be relative to the output folder"),
        ("../a.png", '".." can\'t be a part of it'),
        ("a/../../b.png", '".." can\'t be a part of it'),
        ("./a.png", '"." can\'t be a part of it'),
        ("a//b.png", '"" can\'t be a part of it'),
        ("a\\b.png", "the character '\\\\' can't be part of a path; `| slug` makes a text safe"),
        ("16:9.png", "the character ':' can't be part of a path; `| slug` makes a text safe"),
        ("what?.png", "the character '?' can't be part of a path; `| slug` makes a text safe"),
        ("a*.png", "the character '*' can't be part of a path; `| slug` makes a text safe"),
        ("a|b.png", "the character '|' can't be part of a path; `| slug` makes a text safe"),
        ("<a>.png", "the character '<' can't be part of a path; `| slug` makes a text safe"),
        ('a"b".png', "the character '\"' can't be part of a path; `| slug` makes a text safe"),
        ("a\nb.png", "the character '\\n' can't be part of a path; `| slug` makes a text safe"),
        ("a\x00b.png", "the character '\\x00' can't be part of a path; `| slug` makes a text safe"),
        ("a\x1b[31mb.png", "the character '\\x1b' can't be part of a path; `| slug` makes a text safe"),
        ("a\u2028b.png", "the character '\\u2028' can't be part of a path; `| slug` makes a text safe"),
        ("a\N{NO-BREAK SPACE}b.png", "the character '\\xa0' can't be part of a path; `| slug` makes a text safe"),
        ("con.png", '"con.png" is a reserved name on Windows'),
        ("a/NUL/b.png", '"NUL" is a reserved name on Windows'),
        ("aux.b.png", '"aux.b.png" is a reserved name on Windows'),
        ("com1/b.png", '"com1" is a reserved name on Windows'),
        ("LPT².png", '"LPT².png" is a reserved name on Windows'),
        ("con .png", '"con .png" is a reserved name on Windows'),
        ("CONIN$.png", '"CONIN$.png" is a reserved name on Windows'),
        ("a./b.png", '"a." starts or ends with a blank or a dot'),
        ("a /b.png", '"a " starts or ends with a blank or a dot'),
        (" a.png", '" a.png" starts or ends with a blank or a dot'),
        ("a/.png", 'there is no name before ".png"'),
        (".png", 'there is no name before ".png"'),
        ("a\u202eb.png", "it contains invisible characters"),
        ("a\u200bb.png", "it contains invisible characters"),
        ("a\ud800b.png", "it contains invisible characters"),
        ("a" * 237 + ".png", f'"{"a" * 40}…" is longer than 240 bytes; set a shorter `output`'),
        ("猫" * 80 + ".png", f'"{"猫" * 40}…" is longer than 240 bytes; set a shorter `output`'),
        ("ab/" * 333 + "a.png", "it is longer than 1,000 bytes"),
    ],
)  # fmt: skip
def test_paths_that_are_not(path: str, fault: str) -> None:
    """Outside of the folder, impossible on some system, unreadable, or not an image."""
    assert path_fault(path) == fault


_PARTS = st.text(st.sampled_from("ab.. -_+@C:conNUL1\\/\n\u202e猫") | st.characters(), max_size=12)


@given(st.lists(_PARTS, min_size=1, max_size=4).map(lambda parts: "/".join(parts) + ".png"))
def test_the_quick_answer_is_the_careful_one(path: str) -> None:
    """A path that passes has, on every system, only parts that can be made below the output folder."""
    if path_fault(path) is not None:
        return
    path.encode()
    for part in path.split("/"):
        assert part not in ("", ".", "..", ".png")
        assert part == part.strip(" ")
        assert not part.endswith(".")
        assert not set(part) & set('<>:"|?*\\')
        assert all(unicodedata.category(ch) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for ch in part)
        assert part.split(".")[0].strip().casefold() not in ("con", "prn", "aux", "nul", "com1", "lpt1")
        assert len(part.encode()) <= 240


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/Poster.png", "a/poster.png", True),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}.png", "cafe\N{COMBINING ACUTE ACCENT}.png", True),
        ("CAF\N{LATIN CAPITAL LETTER E WITH ACUTE}.png", "cafe\N{COMBINING ACUTE ACCENT}.png", True),
        ("straße.png", "STRASSE.png", True),
        ("\N{KELVIN SIGN}.png", "k.png", True),
        ("a.png", "b.png", False),
        ("猫.png", "犬.png", False),
    ],
)
def test_paths_that_are_one_file_on_some_system(one: str, other: str, same: bool) -> None:
    """Case and Unicode form make no difference on macOS and Windows."""
    assert (clash_key(one) == clash_key(other)) is same


@given(st.text())
def test_unicode_forms_share_their_key(text: str) -> None:
    """However a text is composed."""
    composed, taken_apart = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert {clash_key(composed), clash_key(taken_apart)} == {clash_key(text)}
