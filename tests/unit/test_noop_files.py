from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from qwenbuild import noop_files
from qwenbuild.noop_files import ABSENT, NO_DIGEST, all_same, input_digest, input_print, output_digest, output_print


def test_an_input_that_is_saved_again_has_another_fingerprint(tmp_path: Path) -> None:
    """Also if a program gives it its old modification time back."""
    path = tmp_path / "a.csv"
    path.write_text("one")
    before, times = input_print(path), path.stat()
    path.write_text("two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = input_print(path)
    assert before[:2] == after[:2]
    assert before != after
    assert input_print(tmp_path / "missing") == ABSENT


def test_the_digest_of_an_input(tmp_path: Path) -> None:
    """It is of a file's bytes, and of the names in a folder."""
    (tmp_path / "a.csv").write_text("one")
    assert input_digest(tmp_path / "a.csv") == hashlib.blake2b(b"one", digest_size=32).digest()
    assert input_digest(tmp_path / "missing") == NO_DIGEST
    folder = input_digest(tmp_path)
    (tmp_path / "b.csv").mkdir()
    assert input_digest(tmp_path) != folder


def test_an_output_is_a_regular_file(tmp_path: Path) -> None:
    """Links are not followed."""
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").symlink_to("a.png")
    assert output_digest(tmp_path / "a.png") == hashlib.sha256(b"one").digest()
    assert output_print(tmp_path / "a.png") != output_print(tmp_path / "b.png")
    for path in (tmp_path / "b.png", tmp_path, tmp_path / "missing"):
        with pytest.raises((OSError, ValueError)):
            output_digest(path)


@pytest.mark.parametrize("worth_a_fork", [1, 1000])
@pytest.mark.parametrize("changed", [None, 0, 6])
def test_files_are_compared_with_their_fingerprints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth_a_fork: int, changed: int | None
) -> None:
    """By one process or by two, a changed file is seen, wherever it is."""
    monkeypatch.setattr(noop_files, "_WORTH_A_FORK", worth_a_fork)
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for path in paths:
        path.write_bytes(b"one")
    columns = [list(column) for column in zip(*map(output_print, paths), strict=True)]
    if changed is not None:
        paths[changed].write_bytes(b"other")
    folder = os.fsencode(tmp_path), [os.fsencode(path.name) for path in paths], columns
    assert all_same([folder]) == (changed is None)
