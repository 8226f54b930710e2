"""Pipes, devices and sockets in a project: each command ends at once, and nothing outside is read or written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.trouble import put_socket

from .harness import Sandbox

SPEC = """
[image.a]
template = "a.j2"
matrix.row = { file = "rows.csv" }
"""
FILES = {
    "qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC, "specs/rows.csv": "id,what\none,sea\n",
    "templates/a.j2": "a {{ row.what }}",
}  # fmt: skip
PLACES = (
    "qwenbuild.toml", "specs/s.toml", "specs/rows.csv", "templates/a.j2", "qwenbuild.lock", "out/s/a-one.png",
    ".qwenbuild/state.sqlite3", ".qwenbuild/state.sqlite3-wal", ".qwenbuild/state.sqlite3-journal",
    ".qwenbuild/state.sqlite3-checked", ".qwenbuild/snapshot", ".qwenbuild/snapshot.tmp", ".qwenbuild/lock",
)  # fmt: skip


def put(place: Path, kind: str) -> None:
    """Put a special file into the place of another one."""
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        put_socket(place)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
@pytest.mark.parametrize("place", PLACES)
def test_a_special_file_hangs_no_command(tmp_path: Path, place: str, kind: str) -> None:
    """A pipe waits for its writer, and a device has no end: both are refused, or replaced by what belongs there."""
    sandbox = Sandbox(tmp_path / "p", tmp_path / "store", {"QWENBUILD_TRUST_PROJECT": "1"}).write(FILES)
    assert sandbox.here("build").code == 0
    put(sandbox.root / place, kind)
    for command in (["build"], ["plan"]):  # in processes of their own, so that a hang is a failure
        ran = sandbox.run(*command, timeout_s=60)
        assert ran.code in (0, 1, 2), ran.err
        if ran.code:
            assert place.rpartition("/")[2].removesuffix("-wal").removesuffix("-journal") in ran.err + ran.out


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_show_reads_only_regular_files(tmp_path: Path, kind: str) -> None:
    """The message names the file and the reason."""
    sandbox = Sandbox(tmp_path / "p", tmp_path / "store").write(FILES)
    put(sandbox.root / "a.png", kind)
    ran = sandbox.here("show", "a.png")
    assert ran.code == 2
    assert ran.err == (
        "error: a.png can't be read: it is not a regular file\n\n"
        "`qwenbuild explain-error file-unreadable` says more about it\n"
    )


def test_show_tells_of_a_million_chunks(tmp_path: Path) -> None:
    """The limit is a count, so it is the same on every machine."""
    sandbox = Sandbox(tmp_path / "p", tmp_path / "store").write(FILES)
    (sandbox.root / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0aaaa\0\0\0\0" * 1_000_000)
    ran = sandbox.here("show", "a.png")
    assert ran.code == 1
    assert ran.err.startswith("error: the PNG is not an image that anybody draws\n  = it has more than 50,000 chunks")
