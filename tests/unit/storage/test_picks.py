"""The picks: the file is read with all its mistakes, and edited without losing what people wrote into it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild.errors import ProjectError, UsageError
from qwenbuild.files.text import nfc
from qwenbuild.storage import picks
from qwenbuild.storage.picks import Pick, Picks

IMAGE = 64 * "a"
HEAD = "# The starred cells. `qwenbuild pick` and the page write it; commit it.\nversion = 1\n"


def write(folder: Path, *new: Pick, without: tuple[str, ...] = ()) -> str:
    """Star cells and drop others; return the text of the file, empty if there is none."""

    def edit(present: Mapping[str, Pick]) -> Mapping[str, Pick]:
        left = {cell: it for cell, it in present.items() if cell not in without}
        return left | {it.cell: it for it in new}

    path = folder / picks.NAME
    picks.change(path, folder / ".qwenbuild", edit)
    return path.read_bytes().decode() if path.exists() else ""


def complaint(folder: Path, text: str) -> str:
    """Return the text of the error that a file with this text raises; it stays as it is."""
    path = folder / picks.NAME
    path.write_bytes(text.encode())
    with pytest.raises(ProjectError) as read:
        picks.read(path)
    with pytest.raises(ProjectError):
        write(folder, Pick("a/x"))
    assert path.read_bytes().decode() == text
    return str(read.value)


def test_a_missing_file_has_no_picks(tmp_path: Path) -> None:
    """Reading creates nothing."""
    assert len(picks.read(tmp_path / picks.NAME)) == 0
    assert os.listdir(tmp_path) == []


def test_the_file_is_sorted_and_short(tmp_path: Path) -> None:
    """It has one table for each star, and only what there is to say."""
    text = write(tmp_path, Pick("b/y", note='the "best" light'), Pick("a/x[seed=1]", IMAGE, 1))
    assert text == (
        f'{HEAD}\n[[pick]]\ncell = "a/x[seed=1]"\nimage = "{IMAGE}"\nrank = 1\n'
        '\n[[pick]]\ncell = "b/y"\nnote = "the \\"best\\" light"\n'
    )
    found = picks.read(tmp_path / picks.NAME)
    assert [*found] == [Pick("a/x[seed=1]", IMAGE, 1), Pick("b/y", "", None, 'the "best" light')]
    assert ("b/y" in found, "b/z" in found) == (True, False)


def test_the_file_goes_with_the_last_star(tmp_path: Path) -> None:
    """A file in which people wrote something stays."""
    write(tmp_path, Pick("a/x"))
    assert write(tmp_path, without=("a/x",)) == ""
    (tmp_path / picks.NAME).write_text("# ours\nversion = 1\n")
    write(tmp_path, Pick("a/x"))
    assert write(tmp_path, without=("a/x",)) == "# ours\nversion = 1\n"


WRITTEN = f"""\
# our winners
version = 1  # of the format

# the spring campaign

# approved by the client
[[pick]]
cell = "a/x"  # the poster
rank = 2

[[pick]]
note = "first"
cell = "b/y"
image = "{IMAGE}"

# the end
"""


def test_comments_stay(tmp_path: Path) -> None:
    """Each star keeps its text and its comments; only what changes is written anew."""
    (tmp_path / picks.NAME).write_text(WRITTEN)
    text = write(tmp_path, Pick("a/x", IMAGE, 3), Pick("aa/new"))
    assert text == WRITTEN.replace("rank = 2\n", f'rank = 3\nimage = "{IMAGE}"\n').replace(
        '\n[[pick]]\nnote = "first"', '\n[[pick]]\ncell = "aa/new"\n\n[[pick]]\nnote = "first"'
    )


def test_a_dropped_star_takes_only_its_own_comment(tmp_path: Path) -> None:
    """The comment directly above it goes; one that a blank line separates stays."""
    (tmp_path / picks.NAME).write_text(WRITTEN)
    text = write(tmp_path, without=("a/x",))
    own = '# approved by the client\n[[pick]]\ncell = "a/x"  # the poster\nrank = 2\n\n'
    assert text == WRITTEN.replace(own, "")
    assert write(tmp_path, without=("b/y",)) == (
        "# our winners\nversion = 1  # of the format\n\n# the spring campaign\n\n# the end\n"
    )


def test_a_table_inside_a_note_is_no_table(tmp_path: Path) -> None:
    """A note of several lines may hold anything."""
    note = '[[pick]]\ncell = "no"\n# not a comment'
    (tmp_path / picks.NAME).write_text(f"version = 1\n[[pick]]\ncell = 'b/y'\nnote = '''{note}'''\n")
    assert write(tmp_path, Pick("a/x")) == (
        f"version = 1\n\n[[pick]]\ncell = \"a/x\"\n\n[[pick]]\ncell = 'b/y'\nnote = '''{note}'''\n"
    )


def test_line_ends_stay(tmp_path: Path) -> None:
    """A file that git checked out with CRLF keeps it; a byte-order mark is read over."""
    (tmp_path / picks.NAME).write_bytes(b'\xef\xbb\xbfversion = 1\r\n[[pick]]\r\ncell = "b/y"\r\n')
    assert write(tmp_path, Pick("a/x")) == (
        'version = 1\r\n\r\n[[pick]]\r\ncell = "a/x"\r\n\r\n[[pick]]\r\ncell = "b/y"\r\n'
    )


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file that it leads to is written."""
    (tmp_path / "elsewhere.toml").write_text("version = 1\n")
    (tmp_path / picks.NAME).symlink_to("elsewhere.toml")
    write(tmp_path, Pick("a/x"))
    assert (tmp_path / picks.NAME).is_symlink()
    assert [*picks.read(tmp_path / "elsewhere.toml")] == [Pick("a/x")]


def test_equal_stars_are_one(tmp_path: Path) -> None:
    """Both sides of a merge may have added the same star. The next change writes it once."""
    (tmp_path / picks.NAME).write_text('version = 1\n[[pick]]\ncell = "b/y"\n\n[[pick]]\ncell = "b/y"\n')
    assert [*picks.read(tmp_path / picks.NAME)] == [Pick("b/y")]
    assert write(tmp_path, Pick("a/x")) == 'version = 1\n\n[[pick]]\ncell = "a/x"\n\n[[pick]]\ncell = "b/y"\n'


def test_different_stars_of_one_cell(tmp_path: Path) -> None:
    """The message names both lines."""
    text = 'version = 1\n\n[[pick]]\ncell = "b/y"\n\n[[pick]]\ncell = "b/y"\nrank = 1\n'
    assert complaint(tmp_path, text) == (
        "error: b/y is starred twice, in different ways: in lines 4 and 7\n --> picks.toml:7:8\n  |\n"
        '7 | cell = "b/y"\n  |        ^^^^^\n  = hint: delete one of the two [[pick]] tables'
    )


def test_the_marks_of_a_merge(tmp_path: Path) -> None:
    """The message names their lines, and what to do."""
    text = 'version = 1\n<<<<<<< HEAD\n[[pick]]\ncell = "a"\n=======\n[[pick]]\ncell = "b"\n>>>>>>> theirs\n'
    assert complaint(tmp_path, text) == (
        "error: picks.toml holds a merge conflict\n --> picks.toml:2:1\n  |\n2 | <<<<<<< HEAD\n"
        "  | ^^^^^^^^^^^^\n  = marks: lines 2, 5, 8\n"
        "  = hint: keep the [[pick]] tables that you want, in any order, and delete the lines 2, 5, 8"
    )


def test_a_newer_version(tmp_path: Path) -> None:
    """Nothing is changed."""
    assert complaint(tmp_path, "version = 2\n[[star]]\n") == (
        "error: picks.toml is of a newer qwenbuild\n --> picks.toml:1:11\n  |\n1 | version = 2\n  |           ^\n"
        "  = its version is 2, this qwenbuild knows 1\n  = hint: upgrade qwenbuild"
    )


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("[[pick]]\n", "picks.toml has no version"),
        ("version = 1\npicks = 3\n", 'unknown key "picks"'),
        ("version = 1\n[[pick]]\nrank = 1\n", "this star names no cell"),
        ("version = 1\n[[pick]]\ncell = 1\n", "cell must be the name of a cell"),
        ('version = 1\n[[pick]]\ncell = "a"\nimage = "A"\n', "image must be 64 lower-case hexadecimal digits"),
        ('version = 1\n[[pick]]\ncell = "a"\nrank = true\n', "rank must be a whole number from 1"),
        ('version = 1\n[[pick]]\ncell = "a"\nrank = 0\n', "rank must be a whole number from 1"),
        ('version = 1\n[[pick]]\ncell = "a"\nnote = 1\n', "note must be a text"),
        ('version = 1\n[[pick]]\ncell = "a"\nrang = 1\n', 'unknown key "rang"'),
        ('version = 1\npick = [{ cell = "a" }]\n', "the stars must be [[pick]] tables"),
        ('version = 1\n[pick]\ncell = "a"\n', "the stars must be [[pick]] tables"),
        ("version = \n", "not valid TOML: invalid value"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, claim: str) -> None:
    """Each one has its place."""
    first, place, *_ = complaint(tmp_path, text).split("\n")
    assert first == f"error: {claim}"
    assert place.strip().startswith("--> picks.toml")


def test_all_mistakes_are_told(tmp_path: Path) -> None:
    """But no more than a person reads."""
    text = "version = 1\n" + 30 * "[[pick]]\n"
    assert complaint(tmp_path, text).count("this star names no cell") == 20
    assert complaint(tmp_path, text).endswith("error: picks.toml may have more mistakes: these are the first 20")


def test_a_folder_that_cant_be_written(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / ".qwenbuild").write_text("in the way")
    with pytest.raises(UsageError, match=r"picks\.toml can't be written: File exists"):
        write(tmp_path, Pick("a/x"))


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1, max_size=12).map(nfc)
some_picks = st.dictionaries(
    names,
    st.builds(Pick, st.just(""), st.sampled_from(["", IMAGE]), st.sampled_from([None, 1, 7]), names | st.just("")),
    max_size=5,
).map(lambda found: {cell: pick._replace(cell=cell) for cell, pick in found.items()})


def _instead(wanted: Mapping[str, Pick], present: Mapping[str, Pick]) -> Mapping[str, Pick]:
    return wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(before=some_picks, after=some_picks)
def test_what_is_written_is_read(tmp_path: Path, before: dict[str, Pick], after: dict[str, Pick]) -> None:
    """Whatever the cells and notes are, the file says what it should after each change."""
    path = tmp_path / picks.NAME
    path.unlink(missing_ok=True)
    for wanted in (before, after, {**before, **after}):
        result = picks.change(path, tmp_path / ".qwenbuild", partial(_instead, wanted))
        assert result == picks.read(path) == Picks(dict(sorted(wanted.items())))
