"""Store faults: says why the store can't be read or written, and what the user can do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from qwenbuild.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


def failure(error: OSError, verb: str, root: Path) -> StoreError:
    """Return a StoreError with the reason and a hint. `verb` is "read" or "written"; `root` is the store's folder."""
    if error.errno in _FULL:
        reason, hint = "its disk or quota is full", "make room there, or run `qwenbuild gc`"
    elif error.errno == errno.EROFS:
        reason, hint = "its file system is read-only", "set QWENBUILD_CACHE_DIR to a folder that can be written"
    elif error.errno in _DENIED:
        reason, hint = "permission denied", "set its permissions, or QWENBUILD_CACHE_DIR to another folder"
    elif error.errno in _NO_FOLDER:
        reason, hint = "something else is in a folder's place", "move it away, or set QWENBUILD_CACHE_DIR"
    else:
        reason, hint = error.strerror or str(error), "set QWENBUILD_CACHE_DIR to use another folder"
    facts = [f"store: {root}"]
    if isinstance(error.filename, str) and error.filename != os.fspath(root):
        facts.append(f"path:  {error.filename}")
    return StoreError(
        f"the store can't be {verb}: {reason}",
        facts=facts,
        hint=hint,
        name="disk-full" if error.errno in _FULL else "store-unusable",
    )
