"""Tests of claimants: alive exactly as long as their process, whatever becomes of it."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qwenbuild.storage import claimant as claimants
from qwenbuild.storage.claimant import Claimant, file_system, is_alive, lock_fault

HOLD = """
import sys
from pathlib import Path
from qwenbuild.storage.claimant import Claimant
claimant = Claimant(Path(sys.argv[1]))
print(claimant.name, flush=True)
sys.stdin.read()
"""

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /home rw,relatime shared:13 - nfs4 server:/home rw,vers=4.2
31 30 0:27 / /home/ann/my\\040disk rw,relatime shared:14 - xfs /dev/sdb1 rw
32 22 0:28 / /homes rw,relatime - tmpfs tmpfs rw
"""


def test_a_claimant_is_alive_until_it_is_closed(tmp_path: Path) -> None:
    """Also within its own process; afterwards nothing of it is left."""
    claimant = Claimant(tmp_path / "claimants")
    assert is_alive(tmp_path / "claimants", claimant.name) is True
    claimant.close()
    assert is_alive(tmp_path / "claimants", claimant.name) is False
    assert list((tmp_path / "claimants").iterdir()) == []


def test_a_killed_process_is_dead(tmp_path: Path) -> None:
    """Its lock goes with it, and its file is removed by whoever looks."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert is_alive(tmp_path, name) is True
        process.kill()
        process.wait()
        assert is_alive(tmp_path, name) is False
        assert list(tmp_path.iterdir()) == []


def test_a_restored_file_proves_nothing(tmp_path: Path) -> None:
    """A cache brings back the file of a claimant, but not its lock."""
    (tmp_path / ("0" * 32)).write_text("")
    assert is_alive(tmp_path, "0" * 32) is False


@pytest.mark.parametrize("name", ["", "..", "../x", "A" * 32, "0" * 31])
def test_other_names_are_nobody(tmp_path: Path, name: str) -> None:
    """A name that no claimant can have is never looked up."""
    assert is_alive(tmp_path, name) is False


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/etc", "ext4"), ("/home/ann", "nfs4"), ("/home/ann/my disk/x", "xfs"), ("/homes/x", "tmpfs"), ("/home", "nfs4")],
)
def test_the_file_system_of_a_folder(folder: str, kind: str) -> None:
    """The deepest mount point above the folder tells."""
    assert file_system(Path(folder), MOUNTS) == kind


def test_a_network_file_system_is_refused() -> None:
    """SQLite's WAL mode needs memory that hosts share."""
    assert lock_fault(Path("/home/ann"), MOUNTS) == "it is on a network file system (nfs4)"


def test_a_local_folder_has_locks(tmp_path: Path) -> None:
    """Two attempts at one file: the second is refused, and nothing is left behind."""
    assert lock_fault(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("fuse.sshfs", "it is on a network file system (fuse.sshfs)"),
        ("fuse.rclone", "it is on a network file system (fuse.rclone)"),
        ("virtiofs", "it is on a network file system (virtiofs)"),
        ("fuse.fuse-overlayfs", None),
        ("fuseblk", None),
        ("overlay", None),
    ],
)
def test_which_file_systems_are_refused(tmp_path: Path, kind: str, fault: str | None) -> None:
    """File systems behind FUSE count as network file systems, except known local ones."""
    assert lock_fault(tmp_path, f"36 25 0:32 / {tmp_path} rw - {kind} none rw") == fault


def test_lines_of_mounts_that_say_nothing_are_passed_over() -> None:
    """A cut line is ignored, and without any line the file system is unknown."""
    assert file_system(Path("/home"), "1 2 3 / - ext4\n1 2 0:3 / /home rw\n" + MOUNTS) == "nfs4"
    assert file_system(Path("/home"), "") == ""


def test_a_claimant_whose_file_can_not_be_made() -> None:
    """It never counts as alive without its lock."""
    with pytest.raises(OSError, match=r"^/proc/self/fdinfo/[0-9a-f]{32} can't be made$"):
        Claimant(Path("/proc/self/fdinfo"))


def test_folders_in_which_nothing_can_be_locked(tmp_path: Path) -> None:
    """The fault says what is wrong."""
    (tmp_path / "file").touch()
    assert lock_fault(Path("/proc/self/fdinfo"), "") == "no file can be made there"
    assert lock_fault(tmp_path / "file", "") == "no file can be locked there: File exists"


def test_a_claimant_whose_lock_can_not_be_tried_is_alive(tmp_path: Path) -> None:
    """A claim is never taken away on a guess."""
    (tmp_path / ("0" * 32)).mkdir()
    assert is_alive(tmp_path, "0" * 32) is True
    assert (tmp_path / ("0" * 32)).is_dir()


def test_a_claimant_makes_its_folder(tmp_path: Path) -> None:
    """Also the folders above it."""
    claimant = Claimant(tmp_path / "a" / "b")
    assert is_alive(tmp_path / "a" / "b", claimant.name)
    claimant.close()


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_claimant_whose_file_was_removed_ends_all_the_same(tmp_path: Path, is_folder: bool) -> None:
    """Whatever stands in its place is left alone."""
    claimant = Claimant(tmp_path)
    (tmp_path / claimant.name).unlink()
    if is_folder:
        (tmp_path / claimant.name).mkdir()
    claimant.close()
    assert (tmp_path / claimant.name).is_dir() is is_folder


def test_unusual_lines_of_mounts() -> None:
    """Optional fields may be missing, the device may hold a dash, and the later of two mounts at one place counts."""
    lines = "40 22 0:40 / /a - btrfs /dev/x - y rw\n41 22 0:41 / /b rw - ext4 x\n42 22 0:42 / /b rw - tmpfs x"
    assert [file_system(Path(place), lines) for place in ("/a/x", "/b", "/c")] == ["btrfs", "tmpfs", ""]


def test_names_of_mounts_are_taken_as_they_are() -> None:
    """Of a name, only the last slash is left out; spaces and line breaks of other writing systems stay in it."""
    lines = "".join(f"50 22 0:50 / {name} rw - {kind} none rw\n" for name, kind in [
        ("/", "ext4"), ("/mnt/X", "nfs4"), ("/共享\u3000盘", "fuse.my\u00a0drive"), ("/a\u2028b", "cifs"),
    ])  # fmt: skip
    places = ("/mnt/Y", "/mnt/X/Y", "/共享\u3000盘/x", "/共享", "/a\u2028b/x", "/a")
    found = [file_system(Path(place), lines) for place in places]
    assert found == ["ext4", "nfs4", "fuse.my\u00a0drive", "ext4", "cifs", "ext4"]


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="this system does not list its mounts there")
def test_the_mounts_of_this_system() -> None:
    """The list names the file system that it lies in."""
    assert file_system(Path("/proc/sys"), claimants._mounts()) == "proc"
    assert claimants._mounts() == os.fsdecode(Path("/proc/self/mountinfo").read_bytes())


def test_a_lock_is_released_by_any_thread(tmp_path: Path) -> None:
    """The thread that closes a claimant need not be the one that made it."""
    claimant = Claimant(tmp_path)
    os.link(tmp_path / claimant.name, tmp_path / ("0" * 32))  # the same file, so the same lock
    assert is_alive(tmp_path, "0" * 32) is True
    with ThreadPoolExecutor(1) as other:
        other.submit(claimant.close).result()
    assert is_alive(tmp_path, "0" * 32) is False


def test_a_dead_claimant_whose_file_can_not_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dead all the same, and stays so."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    name = "0" * 32
    (tmp_path / name).touch()
    with monkeypatch.context() as folder_without_write_permission:
        for call in ("unlink", "remove"):
            folder_without_write_permission.setattr(os, call, refuse)
        assert [is_alive(tmp_path, name) for _ in range(2)] == [False, False]
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (0, "its file system lets two processes lock one file"),
        (errno.ENOSYS, "no file can be locked there: Function not implemented"),
        (errno.ENOLCK, "no file can be locked there: No locks available"),
    ],
)
def test_file_systems_without_working_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fault: str
) -> None:
    """Locks that do nothing, and locks that are refused, are found out; no process number is taken for a lock."""

    def lock(file: int, operation: int) -> None:
        if number:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", lock)
    assert lock_fault(tmp_path, "") == fault
    assert os.listdir(tmp_path) == []
