from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenbuild import noop
from qwenbuild.errors import ProjectError, QwenbuildError
from tests.support.edits import EDITS, made

COMMANDS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["build", "-w", "seed=1"], {"where": ["seed=1"]}),
    (["build", "--overwrite", "b"], {"select": ["b"], "overwrite": True}),
    (["build", "--locked"], {"locked": True}),
]


pytest_plugins = ("tests.support.edits",)


@pytest.mark.slow
@pytest.mark.usefixtures("back_again")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    command=st.sampled_from(COMMANDS),
    below=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from([*EDITS, "build"]), st.integers(0, 10_000)), min_size=1, max_size=6),
)
def test_the_fast_path_agrees_with_the_slow_path(
    tmp_path_factory: pytest.TempPathFactory,
    command: tuple[list[str], dict[str, Any]],
    below: bool,
    steps: list[tuple[str, int]],
) -> None:
    """After any edits, the fast path returns None or the same count as the slow path."""
    place = made(tmp_path_factory.mktemp("place"), command[0], **command[1])
    if below:
        os.chdir(place.root / "specs")
        place.build()
    assert place.fast() == place.slow()
    for name, number in steps:
        if name != "build":
            EDITS[name](place, number)
        else:
            try:
                place.build()
            except QwenbuildError:
                continue
        count = place.fast()
        if count is not None:
            assert count == place.slow(), name


@pytest.mark.usefixtures("back_again")
@pytest.mark.parametrize("name", EDITS)
def test_each_edit(tmp_path: Path, name: str) -> None:
    """For the first variants of each edit, the fast path returns None or the same count as the slow path."""
    place = made(tmp_path)
    for number in range(3):
        EDITS[name](place, number)
        count = place.fast()
        assert count is None or count == place.slow()
        try:
            place.build()
        except QwenbuildError:
            continue


@pytest.mark.usefixtures("back_again")
def test_inputs_of_the_future(tmp_path: Path) -> None:
    """If the clock was set back, inputs have times in the future, and no snapshot is written."""
    place = made(tmp_path)
    path = place.root / noop.NAME
    assert path.exists()
    path.unlink()
    now = time.time_ns()
    root, inputs = str(place.root), [str(place.root / "qwenbuild.toml")]
    noop.write(root, [], inputs, [], {}, now - 3600 * 10**9)
    assert not path.exists()
    noop.write(root, [], inputs, [], {}, now)
    assert path.exists()


@pytest.mark.usefixtures("back_again")
@pytest.mark.parametrize("kind", ["pipe", "device", "hole"])
def test_a_snapshot_that_is_no_snapshot(tmp_path: Path, kind: str) -> None:
    """A pipe would be waited for, a device has no end, and a hole of a terabyte takes all memory: none is read."""
    place = made(tmp_path)
    path = place.root / noop.NAME
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    assert place.fast() is None
    if kind in ("pipe", "device"):
        with pytest.raises(ProjectError, match="neither a file nor a folder"):
            place.build()
        path.unlink()
    place.build()
    assert place.fast() == place.slow()
    assert path.is_file()


@pytest.mark.usefixtures("back_again")
def test_special_files_that_a_snapshot_leads_to(tmp_path: Path) -> None:
    """Pipes in the places of the lock and of a folder of outputs are not waited for."""
    place = made(tmp_path)
    lock, out = place.root / ".qwenbuild/lock", place.root / "out/b"
    content = (place.root / noop.NAME).read_bytes()
    assert os.fsencode(out) in content
    os.mkfifo(place.root / "pipe")
    short = os.fsencode(place.root / "pipe")
    length = int.from_bytes(content[:8], sys.byteorder) - len(os.fsencode(out)) + len(short)
    forged = length.to_bytes(8, sys.byteorder) + content[8:].replace(os.fsencode(out) + b"\0", short + b"\0")
    (place.root / noop.NAME).write_bytes(forged)
    assert place.fast() is None
    (place.root / noop.NAME).write_bytes(content)
    assert place.fast() == place.slow()
    lock.unlink()
    lock.symlink_to("../pipe")
    assert place.fast() is None


@pytest.mark.usefixtures("back_again")
def test_a_snapshot_is_written_into_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's link in the place of the temporary file is replaced, whatever the user has approved."""
    monkeypatch.setenv("QWENBUILD_TRUST_PROJECT", "1")
    place = made(tmp_path)
    victim = tmp_path / "precious"
    victim.write_bytes(b"mine")
    (place.root / f"{noop.NAME}.tmp").symlink_to(victim)
    (place.root / noop.NAME).unlink()
    place.build()
    assert place.fast() == place.slow()
    assert victim.read_bytes() == b"mine"
