from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import find_token, line_of, read_text, whole_line
from qwenbuild.problems import Place


def reading(path: Path) -> str:
    with pytest.raises(ProjectError) as caught:
        read_text(path, "specs/a.toml")
    return str(caught.value)


def test_a_text_loses_its_byte_order_mark(tmp_path: Path) -> None:
    """Editors on Windows write one; it is no part of the text."""
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfmodel = 1\r\n")
    assert read_text(tmp_path / "a", "a") == "model = 1\r\n"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The name is the one that the user knows it by."""
    assert reading(tmp_path / "a.toml") == "error: no such file: specs/a.toml"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder with a file's name is told apart from a missing file."""
    assert reading(tmp_path) == "error: specs/a.toml is a folder; a file was expected"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """Reading a pipe would wait for ever for its writer."""
    os.mkfifo(tmp_path / "a.toml")
    assert reading(tmp_path / "a.toml") == "error: specs/a.toml is not a regular file; a file was expected"


def test_a_circle_of_links_can_not_be_read(tmp_path: Path) -> None:
    """The system's own reason is shown."""
    (tmp_path / "a.toml").symlink_to("a.toml")
    assert reading(tmp_path / "a.toml") == "error: specs/a.toml can't be read: Too many levels of symbolic links"


def test_a_file_without_permission_can_not_be_read(tmp_path: Path) -> None:
    """Permission denied is a message, for everybody but root, whom nothing is denied."""
    path = tmp_path / "a.toml"
    path.write_text("x = 1")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        assert reading(path) == "error: specs/a.toml can't be read: Permission denied"
    finally:
        os.seteuid(user)


def test_bytes_that_are_not_utf8_are_shown_in_their_line(tmp_path: Path) -> None:
    """The offending byte has its place, behind characters of several bytes too."""
    (tmp_path / "a.toml").write_bytes('a = 1\nb = "é\xff'.encode("latin-1").replace(b"\xe9", "é".encode()) + b'"\n')
    assert reading(tmp_path / "a.toml") == (
        "error: specs/a.toml is not UTF-8: byte 0xff\n"
        " --> specs/a.toml:2:7\n"
        "  |\n"
        '2 | b = "é\N{REPLACEMENT CHARACTER}"\n'
        "  |       ^\n"
        "  = hint: save the file as UTF-8"
    )


def test_a_token_is_found_as_a_whole_word_first() -> None:
    """`size` in `sizes size` is the second one; part of a word will do where there is no other."""
    assert find_token("f", 1, "sizes size", "size") == Place("f", 1, 7, 4, "sizes size")
    assert find_token("f", 1, "sizes", "size") == Place("f", 1, 1, 4, "sizes")
    assert find_token("f", 1, "size", "size", 1) is None
    assert find_token("f", 1, "size", "") is None


def test_a_whole_line_is_its_text() -> None:
    """White space around it is left out; an empty line has one caret."""
    assert whole_line("f", 3, "  ab ") == Place("f", 3, 3, 2, "  ab ")
    assert whole_line("f", 3, "") == Place("f", 3, 1, 1, "")


def test_lines_count_from_one() -> None:
    """Lines outside of the text are empty; a carriage return is no part of one."""
    assert [line_of("a\r\nb", number) for number in (0, 1, 2, 3)] == ["", "a", "b", ""]
