"""The build lock: one build of a project at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from qwenbuild.errors import ProjectBusy, UsageError
from qwenbuild.files import atomic, regular
from qwenbuild.state_folder import BUILD_LOCK

_TIMEOUT_S = 0.1  # `noop` holds a shared lock for a shorter time, to see whether a build is running


@contextlib.contextmanager
def hold_build_lock(folder: Path) -> Iterator[None]:
    """Hold the build lock in `folder`, the state's folder, while the context lasts. Creates a missing folder.

    Raises ProjectBusy if another process holds the lock, UsageError if the folder can't be written, or if something
    other than a file is in the lock's place.
    """
    from filelock import FileLock, Timeout

    path = folder / BUILD_LOCK
    try:
        regular.check(path, follow=False)  # locking empties the file, also one that a link leads to
        make_state_folder(folder)
        lock = FileLock(path, timeout=_TIMEOUT_S, poll_interval=0.02)
        lock.acquire()
    except Timeout:
        raise ProjectBusy(
            "another build of this project is running",
            facts=[f"lock: {path}"],
            hint="wait until it ends; the lock is released when its process ends",
        ) from None
    except (regular.NotRegular, IsADirectoryError) as error:
        raise UsageError(
            f"{path} can't be locked: {error.strerror}", hint="remove it, then build again", name="file-unwritable"
        ) from None
    except OSError as error:
        raise UsageError(f"{folder} can't be written: {error.strerror or error}", name="file-unwritable") from error
    try:
        yield
    finally:
        lock.release()


def make_state_folder(folder: Path) -> None:
    """Make the state's folder if it is missing. Git ignores what is in it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        atomic.write(ignore, b"*\n", folder / "tmp")
