from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.files.text import find_token, line_of, lines_from, read_text, whole_line
from qwenbuild.problems import Place


def reading(path: Path) -> str:
    with pytest.raises(ProjectError) as caught:
        read_text(path, "specs/a.toml")
    return str(caught.value)


def test_a_text_loses_its_byte_order_mark(tmp_path: Path) -> None:
    """Editors on Windows write a byte-order mark; it is not part of the text."""
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfmodel = 1\r\n")
    assert read_text(tmp_path / "a", "a") == "model = 1\r\n"


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_a_text_of_windows_is_named(tmp_path: Path, order: str) -> None:
    """UTF-16 has a mark of its own; the message shows no bytes, and names the choice of Excel for a data file."""
    (tmp_path / "a.csv").write_bytes("\ufeffid,title\n".encode(order))
    with pytest.raises(ProjectError) as caught:
        read_text(tmp_path / "a.csv", "a.csv")
    assert str(caught.value) == (
        'error: a.csv is UTF-16, not UTF-8\n  = hint: save the file as UTF-8; Excel calls that "CSV UTF-8"'
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message names the file as `shown`."""
    assert reading(tmp_path / "a.toml") == "error: no such file: specs/a.toml"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The message for a folder differs from the message for a missing file."""
    assert reading(tmp_path) == "error: specs/a.toml is a folder; a file was expected"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """A pipe is refused, because reading would wait for its writer."""
    os.mkfifo(tmp_path / "a.toml")
    assert reading(tmp_path / "a.toml") == "error: specs/a.toml is not a regular file; a file was expected"


def test_a_circle_of_links_can_not_be_read(tmp_path: Path) -> None:
    """The message shows the system's reason."""
    (tmp_path / "a.toml").symlink_to("a.toml")
    assert reading(tmp_path / "a.toml") == "error: specs/a.toml can't be read: Too many levels of symbolic links"


def test_a_file_without_permission_can_not_be_read(tmp_path: Path) -> None:
    """The message says "permission denied"; only root can read any file."""
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
    """The message shows the wrong byte's line and column, also after characters of several bytes."""
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
    """In `sizes size`, the token `size` is the second word. Without a whole word, a part of a word is found."""
    assert find_token("f", 1, "sizes size", "size") == Place("f", 1, 7, 4, "sizes size")
    assert find_token("f", 1, "sizes", "size") == Place("f", 1, 1, 4, "sizes")
    assert find_token("f", 1, "size", "size", 1) is None
    assert find_token("f", 1, "size", "") is None


def test_a_whole_line_is_its_text() -> None:
    """White space at both ends is left out, and an empty line has one caret."""
    assert whole_line("f", 3, "  ab ") == Place("f", 3, 3, 2, "  ab ")
    assert whole_line("f", 3, "") == Place("f", 3, 1, 1, "")


def test_lines_count_from_one() -> None:
    """A line outside of the text is empty, and a line does not contain its carriage return."""
    assert [line_of("a\r\nb", number) for number in (0, 1, 2, 3)] == ["", "a", "b", ""]


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    """A hole of a terabyte takes no disk, but would take all memory."""
    with (tmp_path / "a.toml").open("wb") as file:
        file.truncate(1 << 40)
    assert reading(tmp_path / "a.toml").startswith(
        "error: specs/a.toml is too large: it has more than 268,435,456 bytes"
    )


def test_lines_are_found_in_a_moment() -> None:
    """A text is split once, although a file may have thousands of problems."""
    text = "line\n" * 200_000
    assert {line_of(text, number) for number in range(1, 20_000)} == {"line"}
    assert list(lines_from("a\nb\r\nc", 2)) == ["b\r", "c"]
