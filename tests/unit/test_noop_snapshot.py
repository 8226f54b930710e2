from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from qwenbuild import noop_snapshot
from tests.support.edits import Place, made

pytest_plugins = ("tests.support.edits",)


def moved(place: Place, top: Path) -> Place:
    """Return a copy of a project in another folder, as CI restores one: all times and inodes are others."""
    shutil.copytree(place.root, top / "project", copy_function=shutil.copyfile)
    os.chdir(top / "project")
    return Place(top, place.arguments, place.options)


@pytest.mark.usefixtures("back_again")
def test_a_restored_clone(tmp_path: Path) -> None:
    """Its contents are compared by their digests, once; then the snapshot knows its times."""
    first = made(tmp_path / "first")
    copy = moved(first, tmp_path / "second")
    assert not noop_snapshot.read(str(copy.root)).holds()
    assert (copy.fast(), copy.slow()) == (6, 6)
    for path in copy.root.rglob("*"):  # as old as any file that nobody saved just now
        os.utime(path, (1e9, 1e9))
    assert copy.fast() == 6


@pytest.mark.parametrize(
    "changed",
    [
        "out/b/y.png",
        "specs/a.toml",
        "templates/base.j2",
        "specs/rows.csv",
        "qwenbuild.lock",
        ".qwenbuild/state.sqlite3",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("back_again")
def test_a_restored_clone_with_another_file(tmp_path: Path, changed: str) -> None:
    """A changed byte in any file of the same size is seen."""
    copy = moved(made(tmp_path / "first"), tmp_path / "second")
    content = bytearray((copy.root / changed).read_bytes())
    content[-1] ^= 1
    (copy.root / changed).write_bytes(content)
    assert copy.fast() is None


@pytest.mark.usefixtures("back_again")
def test_a_restored_clone_with_another_list_of_files(tmp_path: Path) -> None:
    """A new spec, and a folder in the place of a file, are seen."""
    copy = moved(made(tmp_path / "first"), tmp_path / "second")
    (copy.root / "specs/c.toml").write_text("")
    assert copy.fast() is None
    (copy.root / "specs/c.toml").unlink()
    assert copy.fast() == 6


@pytest.mark.usefixtures("back_again")
def test_an_output_that_became_a_link(tmp_path: Path) -> None:
    """A link is no output, whatever it leads to."""
    copy = moved(made(tmp_path / "first"), tmp_path / "second")
    path = copy.root / "out/b/y.png"
    path.rename(tmp_path / "y.png")
    path.symlink_to(tmp_path / "y.png")
    assert copy.fast() is None


@pytest.mark.usefixtures("back_again")
def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """A damaged snapshot gives no other answer: it gives none, or the files are compared by their content."""
    place = made(tmp_path)
    path = place.root / noop_snapshot.NAME
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        assert place.fast() in (None, 6)
    for size in range(0, len(content), 31):
        path.write_bytes(content[:size])
        assert place.fast() is None
