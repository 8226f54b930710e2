"""Atomic writes: real files, a real limit of file size, and killed processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwenbuild.files import atomic

_WRITER = """
import itertools, sys
from pathlib import Path
from qwenbuild.files import atomic
path, staging = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
for n in itertools.count():
    atomic.write(path, bytes([n % 256]) * 300_000, staging)
"""

_TOO_LARGE = """
import resource, signal, sys
from pathlib import Path
from qwenbuild.files import atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    atomic.write(Path(sys.argv[1]), b"n" * 2000, Path(sys.argv[2]))
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_makes_the_file_and_its_folders(tmp_path: Path) -> None:
    """The file and its folders are created, and no file is left in staging."""
    path, staging = tmp_path / "a" / "b" / "image.png", tmp_path / "x" / "staging"
    atomic.write(path, b"content", staging)
    assert (path.read_bytes(), _names(path.parent), _names(staging)) == (b"content", ["image.png"], [])


def test_write_returns_the_new_files_status(tmp_path: Path) -> None:
    """The returned size, mtime, inode and mode are those of the new file."""
    path = tmp_path / "f"
    status, now = atomic.write(path, b"12345", tmp_path / "s", mtime_ns=1_234_567_890_123_456_789), path.stat()
    assert (status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode) == (
        (5, 1_234_567_890_123_456_789, now.st_ino, now.st_mode)
    )  # fmt: skip
    assert now.st_mtime_ns == 1_234_567_890_123_456_789


def test_write_replaces_a_symbolic_link_not_its_target(tmp_path: Path) -> None:
    """The target of the link is not changed."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    atomic.write(link, b"new", tmp_path / "s")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"old", b"new", False)


def test_write_honours_the_umask(tmp_path: Path) -> None:
    """A new file has the permissions that the umask allows."""
    before = os.umask(0o027)
    try:
        atomic.write(tmp_path / "f", b"", tmp_path / "s")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_a_folder_in_the_files_place_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    """The folder stays, and no temporary file is left."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        atomic.write(tmp_path / "folder", b"x", tmp_path / "s")
    assert (_names(tmp_path), _names(tmp_path / "s")) == (["folder", "s"], [])


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    """If only half of the bytes can be written, the old file stays, and no temporary file is left."""
    path, staging = tmp_path / "f", tmp_path / "s"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", _TOO_LARGE, path, staging], capture_output=True, text=True, check=True)
    assert (done.stdout.split()[0], path.read_bytes(), _names(staging)) == ("OSError", b"old", [])


def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """The file is whole, whenever its writer is killed. Leftovers are only in staging, and `sweep` removes them."""
    path, staging, moments = tmp_path / "out" / "f", tmp_path / "s", random.Random(7)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", _WRITER, path, staging], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(moments.uniform(0.002, 0.05))
            writer.send_signal(signal.SIGKILL)
        if path.exists():
            content = path.read_bytes()
            assert content == content[:1] * 300_000
    assert _names(path.parent) in ([], ["f"])
    atomic.sweep(staging)
    assert _names(staging) == []


def test_clone_gives_the_same_bytes_in_another_file(tmp_path: Path) -> None:
    """A clone has the bytes of its source, and editing the clone does not change the source."""
    source, path = tmp_path / "source", tmp_path / "out" / "f"
    source.write_bytes(b"image" * 1000)
    status = atomic.clone(source, path, b"image" * 1000, tmp_path / "s", mtime_ns=42)
    assert (status.st_size, status.st_mtime_ns, path.stat().st_mtime_ns) == (5000, 42, 42)
    path.write_bytes(b"edited")
    assert source.read_bytes() == b"image" * 1000


def test_clone_writes_the_content_when_its_source_has_gone(tmp_path: Path) -> None:
    """If the source is gone, the verified bytes are written."""
    atomic.clone(tmp_path / "gone", tmp_path / "f", b"content", tmp_path / "s")
    assert (tmp_path / "f").read_bytes() == b"content"


def test_clone_writes_the_content_when_its_source_has_another_length(tmp_path: Path) -> None:
    """A source may change after its bytes were verified."""
    (tmp_path / "source").write_bytes(b"something longer than the content")
    atomic.clone(tmp_path / "source", tmp_path / "f", b"content", tmp_path / "s")
    assert (tmp_path / "f").read_bytes() == b"content"


def test_stage_gives_a_file_with_the_mode_asked_for(tmp_path: Path) -> None:
    """A staged file holds the content, may be read-only, and has a name that `sweep` recognises."""
    staged = atomic.stage(b"content", tmp_path, mode=0o444)
    assert (staged.read_bytes(), staged.parent, staged.suffix) == (b"content", tmp_path, ".tmp")
    assert staged.stat().st_mode & 0o222 == 0


def test_make_folder_makes_all_of_the_path_once(tmp_path: Path) -> None:
    """Missing parents are created, and a second call does nothing."""
    atomic.make_folder(tmp_path / "a" / "b" / "c")
    atomic.make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_make_folder_refuses_a_file_in_its_place(tmp_path: Path) -> None:
    """If the path is a file, FileExistsError is raised."""
    (tmp_path / "f").touch()
    with pytest.raises(FileExistsError):
        atomic.make_folder(tmp_path / "f")


def test_make_folder_fails_if_the_file_system_has_no_new_folders() -> None:
    """The error names the folder."""
    with pytest.raises(OSError, match="/proc"):
        atomic.make_folder(Path("/proc/qwenbuild/cache"))


def test_sweep_removes_only_temporary_files(tmp_path: Path) -> None:
    """Files with other names stay. With an age, younger temporary files stay too."""
    for name in ("0123.tmp", "other"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "0123.tmp", (1, 1))  # still being written, with an mtime that its caller chose
    atomic.sweep(tmp_path, older_than_s=60)
    assert _names(tmp_path) == ["0123.tmp", "other"]
    atomic.sweep(tmp_path)
    assert _names(tmp_path) == ["other"]


def test_sweep_of_a_missing_folder_does_nothing(tmp_path: Path) -> None:
    """A missing folder is no error, and is not created."""
    atomic.sweep(tmp_path / "missing")
    assert _names(tmp_path) == []
