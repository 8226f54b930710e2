"""Files of a store, for tests that damage or age them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from qwenbuild.storage.store import Store

DAY_S = 86_400.0


def stored_files(store: Store) -> list[str]:
    """Return the paths of all files below the store's folder, sorted."""
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def result_path(store: Store, key: str) -> Path:
    """Return where the action result of `key` lies."""
    return store.root / "ac" / key[:2] / key


def rewrite(path: Path, content: bytes) -> None:
    """Change a read-only file in place, as a failing disk would."""
    path.chmod(0o644)
    path.write_bytes(content)


def age(path: Path, days: float) -> None:
    """Set a file's times `days` back."""
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))
