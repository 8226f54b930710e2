"""Atomic writes: real files, a real limit of file size, and killed processes."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qwenbuild.files import atomic
from tests.faults import injector
from tests.support.trouble import most_bytes, other_file_system

pytest_plugins = ("tests.support.injected",)

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
    before = os.umask(0o026)
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


def test_make_folder_by_several_at_once(tmp_path: Path) -> None:
    """Whoever comes second uses what the first one makes, at each level of the path."""
    with ThreadPoolExecutor(4) as pool:
        for number in range(50):
            folder = tmp_path / str(number) / "a" / "b" / "c"
            made = [*pool.map(atomic.make_folder, [folder, folder.parent, folder / "d", folder])]
            assert made[2]
            assert made.count(True) <= 3
            assert (folder / "d").is_dir()


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


def test_a_full_disk_leaves_no_temporary_file(tmp_path: Path) -> None:
    """Whatever was staged half is removed, and the error says that there is no room."""
    (tmp_path / "source").write_bytes(b"n" * 2000)
    with most_bytes(1000):
        with pytest.raises(OSError, match="too large"):
            atomic.stage(b"n" * 2000, tmp_path)
        with pytest.raises(OSError, match="too large"):
            atomic.stage_clone(tmp_path / "source", b"n" * 2000, tmp_path, mtime_ns=1)
        with pytest.raises(OSError, match="too large"):
            atomic.write(tmp_path / "f", b"n" * 2000, tmp_path)
    assert _names(tmp_path) == ["source"]


def test_a_staged_clone_waits_to_be_renamed(tmp_path: Path) -> None:
    """It has the source's bytes, the time asked for, the mode of a new file, and a name that `sweep` recognises."""
    (tmp_path / "source").write_bytes(b"content")
    (tmp_path / "source").chmod(0o600)
    before = os.umask(0o026)
    try:
        temporary, seen = atomic.stage_clone(tmp_path / "source", b"content", tmp_path, mtime_ns=42)
    finally:
        os.umask(before)
    path = Path(temporary)
    assert (path.read_bytes(), path.parent, path.suffix) == (b"content", tmp_path, ".tmp")
    assert (seen.st_mtime_ns, seen.st_ino, seen.st_size) == (42, path.stat().st_ino, 7)
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_is_staged_has_the_mode_of_a_new_file(tmp_path: Path) -> None:
    """The umask applies to it."""
    before = os.umask(0o026)
    try:
        staged = atomic.stage(b"content", tmp_path)
    finally:
        os.umask(before)
    assert staged.stat().st_mode & 0o777 == 0o640


def test_staging_on_another_file_system(tmp_path: Path) -> None:
    """The file is written beside its place, and nothing is left, neither there nor in staging."""
    with other_file_system(tmp_path) as staging:
        atomic.write(tmp_path / "out" / "f", b"content", staging, mtime_ns=7)
        assert _names(staging) == []
    assert (_names(tmp_path / "out"), (tmp_path / "out" / "f").read_bytes()) == (["f"], b"content")
    assert (tmp_path / "out" / "f").stat().st_mtime_ns == 7


@pytest.mark.parametrize("count", [1, 8, 9, 20])
def test_many_files_are_synced_together(tmp_path: Path, count: int) -> None:
    """Files and folders are waited for; one that is missing is an error."""
    paths = [str(tmp_path / str(number)) for number in range(count)]
    for path in paths:
        Path(path).touch()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    atomic.sync([*paths, str(tmp_path)])
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
    with pytest.raises(FileNotFoundError):
        atomic.sync([*paths, str(tmp_path / "missing")])


def test_what_can_not_be_synced_is_no_error() -> None:
    """Some file systems, and devices, have nothing to wait for."""
    atomic.sync_folder(Path("/dev/null"))
    atomic.sync(["/dev/null"])


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs(2) is Linux's")
def test_a_file_system_that_can_not_be_synced_is_an_error() -> None:
    """The system's reason is in the message."""
    syncfs = atomic._syncfs()
    assert syncfs is not None
    ctypes.set_errno(0)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        syncfs(-1)
    assert caught.value.errno == errno.EBADF


def test_two_file_systems_share_nothing(tmp_path: Path) -> None:
    """A copy from one to the other never shares extents, and the attempt leaves nothing behind."""
    with other_file_system(tmp_path) as there:
        assert atomic.shares(tmp_path, there) is False
        assert (_names(tmp_path), _names(there)) == ([], [])
    with pytest.raises(FileNotFoundError):
        atomic.shares(tmp_path / "missing", tmp_path)
    with pytest.raises(FileNotFoundError):
        atomic.shares(tmp_path, tmp_path / "missing")


def test_extents_of_another_size_are_dropped(tmp_path: Path) -> None:
    """The source may have changed after its bytes were verified."""
    with (tmp_path / "f").open("w+b") as file:
        file.write(b"12345")
        file.flush()
        assert atomic._is_whole(file.fileno(), 5) is True
        assert atomic._is_whole(file.fileno(), 6) is False
        assert os.fstat(file.fileno()).st_size == 0


def test_make_folder_needs_no_permission_for_what_is_there(tmp_path: Path) -> None:
    """A link to a folder counts as the folder; the error of a missing parent's parent names the first one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    atomic.make_folder(tmp_path / "link")
    atomic.make_folder(tmp_path / "link" / "inner")
    assert (tmp_path / "real" / "inner").is_dir()


def test_sweep_goes_on_after_a_failure(tmp_path: Path) -> None:
    """A temporary name that can't be removed stays, and the others go."""
    for number in range(5):
        (tmp_path / f"{number}.tmp").touch()
    (tmp_path / "folder.tmp").mkdir()
    (tmp_path / "link.tmp").symlink_to("nowhere")
    atomic.sweep(tmp_path)
    assert _names(tmp_path) == ["folder.tmp"]


def test_sweep_of_old_files_spares_the_young(tmp_path: Path) -> None:
    """The age counts in seconds since the file last changed."""
    (tmp_path / "a.tmp").touch()
    age_s = time.time() - (tmp_path / "a.tmp").stat().st_ctime
    atomic.sweep(tmp_path, older_than_s=age_s + 1000)
    assert _names(tmp_path) == ["a.tmp"]
    atomic.sweep(tmp_path, older_than_s=-1000)
    assert _names(tmp_path) == []


# --- the order in which files, and their names, reach the disk ---


_SCRIPT = """
import sys
from pathlib import Path
from qwenbuild.files import atomic
here, there = map(Path, sys.argv[1:])
{}
"""


def calls(library: Path, here: Path, there: Path, script: str) -> list[tuple[str, str, str]]:
    """Run a script that writes in the folders `here` and `there`; return its calls: name, path, second path."""
    arming = injector.Arming(here.parent / "log", (here, there))
    command = [sys.executable, "-c", _SCRIPT.format(script), str(here), str(there)]
    subprocess.run(command, env={**os.environ, **arming.environment(library)}, check=True)
    with tempfile.TemporaryDirectory() as folder:  # in this process, too: coverage and mutmut look only here
        exec(script, {"atomic": atomic, "here": Path(folder), "there": there})
    return [(call.name, call.path, call.second) for call in injector.read(arming.log)]


@pytest.mark.parametrize(
    "script",
    [
        'atomic.write(here / "f", b"content", here)',
        'atomic.clone(here / "source", here / "f", b"content", here)',
        'atomic.stage(b"content", here).rename(here / "f")',
    ],
)
def test_bytes_are_on_the_disk_before_their_name(tmp_path: Path, library: Path, script: str) -> None:
    """The temporary file is synced, and then renamed."""
    (tmp_path / "here").mkdir()
    made = calls(library, tmp_path / "here", tmp_path / "here", script)
    [(_, temporary, path)] = [call for call in made if call[0] == "rename"]
    assert Path(path).name == "f"
    assert re.fullmatch(r"[0-9a-f]{16}\.tmp", Path(temporary).name)
    names = [name for name, there, _ in made if there == temporary]
    assert names[-2:] == ["fsync", "rename"]


def test_beside_its_place_a_temporary_file_is_hidden(tmp_path: Path, library: Path) -> None:
    """Where staging is on another file system, the name begins with a dot, and the bytes are synced, too."""
    (tmp_path / "here").mkdir()
    with other_file_system(tmp_path) as there:
        made = calls(library, tmp_path / "here", there, 'atomic.write(here / "f", b"content", there)')
    *_, (name, temporary, path) = [call for call in made if call[0] == "rename"]
    assert (name, Path(path).name) == ("rename", "f")
    assert re.fullmatch(r"\.[0-9a-f]{16}\.tmp", Path(temporary).name)
    assert ("fsync", temporary) in [call[:2] for call in made]


@pytest.mark.parametrize("count", [8, 9])
def test_many_files_wait_for_the_disk_once(tmp_path: Path, library: Path, count: int) -> None:
    """A few are synced one by one; for many, the whole file system is synced. Staging waits for nothing."""
    (tmp_path / "here").mkdir()
    made = calls(
        library, tmp_path / "here", tmp_path / "here",
        f'names = [atomic.stage_clone(here / "x", b"c", here, mtime_ns=1)[0] for _ in range({count})]\n'
        'atomic.sync(names)\natomic.sync_folder(here)',
    )  # fmt: skip
    names = [name for name, _, _ in made if name in ("fsync", "syncfs")]
    assert names == (["fsync"] * 9 if count == 8 else ["syncfs", "fsync"])


def test_new_folders_are_synced(tmp_path: Path, library: Path) -> None:
    """Each new name is on the disk, the outer one first."""
    (tmp_path / "here").mkdir()
    made = calls(library, tmp_path / "here", tmp_path / "here", 'atomic.make_folder(here / "a" / "b")')
    assert [Path(path).name for name, path, _ in made if name == "fsync"] == ["here", "a"]


def test_what_has_gone_already_is_no_error(tmp_path: Path) -> None:
    """A temporary file that somebody swept needs no removal."""
    atomic._discard(tmp_path / "gone.tmp")
