"""Regular files: nothing else is read, and never more bytes than the limit."""

from __future__ import annotations

import errno
import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.files import regular
from qwenbuild.files.regular import NotRegular, TooLarge
from tests.support.trouble import put_socket


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    """A file of exactly the limit is read; one more byte is refused."""
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert regular.read(path, 5) == b"12345"
    assert list(regular.pieces(path, 5, 2)) == [b"12", b"34", b"5"]
    with pytest.raises(TooLarge, match="it has more than 4 bytes"):
        regular.read(path, 4)


@given(st.binary(max_size=200))
def test_the_digest_is_that_of_the_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A file's digest is the digest of its bytes."""
    path = tmp_path_factory.getbasetemp() / "content"
    path.write_bytes(content)
    assert regular.sha256_file(path, 200) == hashlib.sha256(content).hexdigest()


def test_a_missing_file(tmp_path: Path) -> None:
    """Reading it raises FileNotFoundError; as a place to write to it is fine."""
    with pytest.raises(FileNotFoundError):
        regular.sha256_file(tmp_path / "missing", 1)
    regular.check(tmp_path / "missing")


def test_special_files_are_refused_at_once(tmp_path: Path) -> None:
    """A pipe, a socket, a device and links to them are not opened: a pipe would wait for its writer for ever."""
    os.mkfifo(tmp_path / "pipe")
    put_socket(tmp_path / "socket")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "linked").symlink_to("pipe")
    for name in ("pipe", "socket", "zero", "linked"):
        for act in (regular.check, lambda path: regular.read(path, 10**9)):
            with pytest.raises(NotRegular, match="it is not a regular file"):
                act(tmp_path / name)
    for act in (regular.check, lambda path: regular.read(path, 10**9)):
        with pytest.raises(IsADirectoryError, match="it is a folder"):
            act(tmp_path)


def test_links_are_followed_unless_they_must_not_be(tmp_path: Path) -> None:
    """A link to a file is that file, except where a link could lead a write astray."""
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    assert regular.read(tmp_path / "link", 1) == b"x"
    regular.check(tmp_path / "link")
    regular.check(tmp_path / "a", follow=False)
    with pytest.raises(NotRegular, match="it is a link"):
        regular.check(tmp_path / "link", follow=False)


def test_a_file_without_an_end_takes_no_memory(tmp_path: Path) -> None:
    """A file that is one hole is refused by its size; a file of /proc, which states no size, by its bytes."""
    hole = tmp_path / "hole"
    with hole.open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        regular.read(hole, 10_000_000)
    with pytest.raises(TooLarge):
        regular.read("/proc/self/status", 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    """A name with NUL, which TOML can write, is an error like any other."""
    with pytest.raises(OSError, match="null") as caught:
        regular.read(f"{tmp_path}/a\0b", 1)
    assert caught.value.errno == errno.EINVAL


def test_a_file_is_opened_for_reading(tmp_path: Path) -> None:
    """Within the limit; nothing but a regular file is opened."""
    (tmp_path / "a").write_bytes(b"12345")
    with regular.opened(tmp_path / "a", 5) as file:
        file.seek(2)
        assert file.read() == b"345"
    with pytest.raises(TooLarge):
        regular.opened(tmp_path / "a", 4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotRegular):
        regular.opened(tmp_path / "pipe", 5)
