"""Verification: outputs that differ from their pins are found, and images that no pin names are listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.errors import OutputError
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.verify import Fault, Mismatch, compare, unpinned_images


def pin(path: str, image: bytes) -> Pin:
    """Return a pin of an output with these bytes."""
    return Pin(path, "s/a", "k", sha256(image), "m", 1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder with three images and a text."""
    for name in ("a/1.png", "a/2.png", "3.png", "notes.txt"):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "out"


def test_outputs_that_differ_are_found_in_the_order_of_the_pins(out: Path) -> None:
    """A missing file, a file with other bytes, and a link instead of a file are mismatches; equal bytes are not."""
    (out / "link.png").symlink_to("3.png")
    right, gone = pin("a/1.png", b"a/1.png"), pin("gone.png", b"")
    other, link = pin("a/2.png", b"other"), pin("link.png", b"3.png")
    assert list(compare([link, right, gone, other], out)) == [
        Mismatch(link, Fault.DIFFERS), Mismatch(gone, Fault.ABSENT), Mismatch(other, Fault.DIFFERS)
    ]  # fmt: skip


def test_a_git_lfs_pointer_to_the_image_is_told_apart(out: Path) -> None:
    """`git lfs pull` mends it. A pointer to other bytes differs like any other file."""
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n"
    for name, content in (("a/1.png", b"a/1.png"), ("a/2.png", b"other")):
        (out / name).write_text(text.format(sha256(content)))
    pins = [pin("a/1.png", b"a/1.png"), pin("a/2.png", b"a/2.png")]
    assert [mismatch.fault for mismatch in compare(pins, out)] == [Fault.POINTER, Fault.DIFFERS]


def test_images_that_no_pin_names_are_listed(out: Path) -> None:
    """Only PNG files count, and their paths are sorted."""
    assert unpinned_images([pin("a/1.png", b"")], out) == ["3.png", "a/2.png"]


def test_a_missing_folder_has_no_unpinned_images(tmp_path: Path) -> None:
    """If the output folder is missing, the list is empty."""
    assert unpinned_images([], tmp_path / "out") == []


def test_a_folder_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    """If the output folder is a file, the error names it."""
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match=r"out can't be read: Not a directory"):
        unpinned_images([], tmp_path / "out")
