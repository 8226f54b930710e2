"""Real trouble for tests: a full disk, a folder without permissions, another file system."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest


@contextmanager
def most_bytes(count: int) -> Iterator[None]:
    """Let this process write no file beyond `count` bytes: the system refuses the rest, as a full disk does."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))  # Python ignores the signal SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def other_file_system(than: Path) -> Iterator[Path]:
    """Yield a temporary folder on another file system than `than`; skip the test if there is none."""
    places = [Path("/dev/shm"), Path("/var/tmp"), Path.home()]
    others = [it for it in places if it.is_dir() and os.stat(it).st_dev != os.stat(than).st_dev]
    if not others:
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir=others[0]) as folder:
        yield Path(folder)


def put_socket(path: Path) -> None:
    """Put a socket at `path`. The address of a socket may have a hundred characters, so it is relative."""
    with socket.socket(socket.AF_UNIX) as listener, chdir(path.parent):
        listener.bind(path.name)


@contextmanager
def public_folder() -> Iterator[Path]:
    """Yield a temporary folder below folders that every user may search."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def nobody() -> Iterator[None]:
    """Take root's rights from this process; other users have none to lose."""
    if os.getuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
