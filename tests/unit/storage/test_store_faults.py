"""Store faults: each error of the system has its own words and its own next step."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from qwenbuild.storage.store_faults import failure

ROOT = Path("/data/store")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "its disk or quota is full"),
        (errno.EDQUOT, "its disk or quota is full"),
        (errno.EROFS, "its file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_each_error_of_the_system_has_its_own_message(number: int, reason: str) -> None:
    """Each error of the system has its own message, with the path and a hint."""
    error = failure(OSError(number, os.strerror(number), f"{ROOT}/tmp/x"), "written", ROOT)
    assert (error.claim, error.facts) == (
        f"the store can't be written: {reason}", (f"store: {ROOT}", f"path:  {ROOT}/tmp/x"),
    )  # fmt: skip
    assert error.hint


def test_an_error_of_the_stores_own_folder_is_named_once() -> None:
    """The path of the error is shown only if it says more than the store's folder."""
    for name in (None, str(ROOT)):
        error = failure(OSError(errno.EIO, "no luck", name), "read", ROOT)
        assert (error.claim, error.facts) == ("the store can't be read: no luck", (f"store: {ROOT}",))


def test_each_error_has_its_own_next_step() -> None:
    """The hint fits the cause."""
    hints = {
        errno.EFBIG: "make room there, or run `qwenbuild gc`",
        errno.EROFS: "set QWENBUILD_CACHE_DIR to a folder that can be written",
        errno.EPERM: "set its permissions, or QWENBUILD_CACHE_DIR to another folder",
        errno.EISDIR: "move it away, or set QWENBUILD_CACHE_DIR",
        errno.EIO: "set QWENBUILD_CACHE_DIR to use another folder",
    }
    assert {number: failure(OSError(number, "x"), "read", ROOT).hint for number in hints} == hints
    assert failure(OSError("only text"), "read", ROOT).claim == "the store can't be read: only text"
