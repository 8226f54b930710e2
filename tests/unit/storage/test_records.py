"""Records of outputs: a record can be used as the status of its file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from qwenbuild.storage.outputs import is_untouched
from qwenbuild.storage.records import Output


def test_a_record_stands_for_the_status_of_its_file(tmp_path: Path) -> None:
    """The record of a file has the fields of its status, and the type of a regular file."""
    path = tmp_path / "a.png"
    path.write_bytes(b"image")
    seen = os.lstat(path)
    record = Output("a.png", "k", "i", seen.st_size, seen.st_mtime_ns, seen.st_ino, "s/a")
    assert (is_untouched(record, seen), is_untouched(record, record)) == (True, True)
    assert stat.S_ISREG(record.st_mode)
    assert not is_untouched(record._replace(st_ino=seen.st_ino + 1), seen)
