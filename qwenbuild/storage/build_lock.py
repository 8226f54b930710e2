"""One build at a time: the lock of a project, held in its state's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from qwenbuild.errors import ProjectBusy, UsageError
from qwenbuild.state_folder import BUILD_LOCK

_TIMEOUT_S = 0.1  # longer than `snapshot` holds the lock, shared, to see whether a build is running


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock in `folder`, which is made where it is missing, while the context lasts.

    Raises ProjectBusy where another process holds it, UsageError where the folder can't be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
        lock = FileLock(folder / BUILD_LOCK, timeout=_TIMEOUT_S, poll_interval=0.02)
        lock.acquire()
    except Timeout:
        raise ProjectBusy(
            "another build of this project is running",
            facts=[f"lock: {folder / 'lock'}"],
            hint="wait for it to end; the lock goes with its process",
        ) from None
    except OSError as error:
        raise UsageError(f"{folder} can't be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
