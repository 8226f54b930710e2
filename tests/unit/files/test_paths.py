from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.files.paths import as_spelled, clash_key, clash_keys, path_fault

GOOD = [
    "a.png", "spec/image-1328x1328-7.png", "a/b/c/d.png", "A b/c d.png", "猫/海报.png", "a..b.png", "a.b/c.png",
    "né/ö.png", "a+b@c-d_e.png", "(1)/[2]/{3}.png", "console.png", "com10.png", "a/null.png", "x/.hidden/a.png",
    "हिन्दी.png", "'quoted'.png", "50%.png", "a" * 236 + ".png",
]  # fmt: skip


@pytest.mark.parametrize("path", GOOD)
def test_paths_that_are_safe(path: str) -> None:
    """Letters of all scripts, brackets, and spaces and dots inside a name are safe."""
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
        ("../a.png", '".." can\'t be part of a path'),
        ("a/../../b.png", '".." can\'t be part of a path'),
        ("./a.png", '"." can\'t be part of a path'),
        ("a//b.png", '"" can\'t be part of a path'),
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
        ("COM¹.png", '"COM¹.png" is a reserved name on Windows'),
        ("com\u00ad1.png", '"com\u00ad1.png" is a reserved name on Windows'),
        ("com\u034f1.png", '"com\u034f1.png" is a reserved name on Windows'),
        ("clock$.png", '"clock$.png" is a reserved name on Windows'),
        ("nul.tar.png", '"nul.tar.png" is a reserved name on Windows'),
        ("a./b.png", '"a." starts with a space, or ends with a space or a dot'),
        ("a /b.png", '"a " starts with a space, or ends with a space or a dot'),
        (" a.png", '" a.png" starts with a space, or ends with a space or a dot'),
        ("a/.png", 'there is no name before ".png"'),
        (".png", 'there is no name before ".png"'),
        ("\ufe0f.png", 'there is no name before ".png"'),
        ("\u3164/a.png", '"\u3164" can\'t be part of a path'),
        (".\ufe0f/a.png", '".\ufe0f" can\'t be part of a path'),
        (".git/a.png", '".git" belongs to git'),
        ("a/.GIT/a.png", '".GIT" belongs to git'),
        ("git~1/a.png", '"git~1" belongs to git'),
        ("a\u202eb.png", "it contains invisible characters"),
        ("a\u200bb.png", "it contains invisible characters"),
        ("a\ud800b.png", "it contains invisible characters"),
        ("a" * 237 + ".png", f'"{"a" * 40}…" is longer than 240 bytes; set a shorter `output`'),
        ("猫" * 80 + ".png", f'"{"猫" * 40}…" is longer than 240 bytes; set a shorter `output`'),
        ("ab/" * 333 + "a.png", "it is longer than 1,000 bytes"),
    ],
)  # fmt: skip
def test_paths_that_are_not_safe(path: str, fault: str) -> None:
    """The message gives the reason: outside of the folder, impossible on some system, invisible, or not a PNG."""
    assert path_fault(path) == fault


_PARTS = st.text(st.sampled_from("ab.. -_+@C:conNUL1\\/\n\u202e猫") | st.characters(), max_size=12)


@given(st.lists(_PARTS, min_size=1, max_size=4).map(lambda parts: "/".join(parts) + ".png"))
def test_every_part_of_a_safe_path_can_be_made(path: str) -> None:
    """Each part of a safe path can be a folder or file on every operating system."""
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
        ("Ⅷ.png", "viii.png", True),
        ("ﬁ.png", "FI.png", True),
        ("ẞ.png", "ss.png", True),
        ("１.png", "1.png", True),
        ("Å.png", "\N{ANGSTROM SIGN}.png", True),
        ("ſ.png", "S.png", True),
        ("ς.png", "Σ.png", True),
        ("1\ufe0f\u20e3.png", "1\u20e3.png", True),
        ("a\u115fb.png", "ab.png", True),
        ("a\u0345\u0301.png", "a\u0301\u0345.png", True),
        ("DIR/x.png", "dir/X.png", True),
        ("Ⅷ.png", "Ⅶ.png", False),
        ("ı.png", "i.png", False),
        ("а.png", "a.png", False),  # Cyrillic and Latin: people confuse them, file systems don't
        ("a.png", "b.png", False),
        ("猫.png", "犬.png", False),
    ],
)
def test_paths_of_one_file_have_one_clash_key(one: str, other: str, same: bool) -> None:
    """Paths that differ only in case or Unicode form clash on macOS and Windows."""
    assert (clash_key(one) == clash_key(other)) is same


@given(st.text())
def test_unicode_forms_share_a_clash_key(text: str) -> None:
    """The composed and the decomposed form of a text have one key."""
    composed, taken_apart = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert {clash_key(composed), clash_key(taken_apart)} == {clash_key(text)}


@given(st.text(st.sampled_from("Ⅷſßẞıİﬁ\u0345\u0301\u034f\u115f\ufe0f가ᄀ") | st.characters(), max_size=12))
def test_a_clash_key_is_its_own_clash_key(text: str) -> None:
    """Folding a second time changes nothing, and the case of the text does not matter."""
    key = clash_key(text)
    assert {clash_key(key), clash_key(text.lower()), clash_key(text.swapcase().casefold())} >= {key}
    assert clash_key(key) == key
    assert clash_key(unicodedata.normalize("NFKC", text)) == key


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=8), max_size=5))
def test_many_keys_at_once_are_the_same(paths: list[str]) -> None:
    """A text beside another one does not change its key."""
    assert list(clash_keys(paths)) == [clash_key(path) for path in paths]
    assert list(clash_keys(paths * 500)) == [clash_key(path) for path in paths] * 500


def test_a_path_is_found_as_its_files_spell_it(tmp_path: Path) -> None:
    """Names that differ in their form of Unicode mean one file, unless there are two."""
    composed, decomposed = "\u00e9", "e\u0301"
    assert as_spelled(tmp_path, composed) == tmp_path / composed
    (tmp_path / decomposed).mkdir()
    (tmp_path / decomposed / "a").touch()
    assert as_spelled(tmp_path, f"{composed}/a") == tmp_path / decomposed / "a"
    assert (
        as_spelled(tmp_path, f"../{tmp_path.name}/{composed}/b") == tmp_path / ".." / tmp_path.name / decomposed / "b"
    )
    (tmp_path / composed).mkdir()
    assert as_spelled(tmp_path, composed) == tmp_path / composed
    assert as_spelled(tmp_path, f"{composed}/a/{composed}") == tmp_path / composed / "a" / composed
