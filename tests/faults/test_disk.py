"""The model of the disk: what it keeps, and what a power cut may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from .disk import FOLDER, Disk
from .injector import Call

TOP = "/nowhere/top"


def after(*calls: tuple[str, str, str | bytes]) -> Disk:
    """Return the disk after these calls: name, path, and data or a second path."""
    disk = Disk([Path(TOP)])
    for name, path, rest in calls:
        data, second = (rest, "") if isinstance(rest, bytes) else (b"", rest and f"{TOP}/{rest}")
        disk.do(Call(1, name, 0, 0, data, f"{TOP}/{path}".rstrip("/"), second))
    return disk


def seen(disk: Disk, name: str) -> set[bytes | str | None]:
    """Return what the states have at a path; "nothing" if the name is missing."""
    return {state.get(f"{TOP}/{name}", "nothing") for state in disk.states()}


CREATED = (("create", "a", ""), ("write", "a", b"1234"))


@pytest.mark.parametrize(
    ("calls", "left"),
    [
        (CREATED, {"nothing", b"", b"12", b"1234"}),
        ((*CREATED, ("fsync", "a", "")), {"nothing", b"1234"}),
        ((*CREATED, ("fsync", "", "")), {b"", b"12", b"1234"}),
        ((*CREATED, ("fsync", "a", ""), ("fsync", "", "")), {b"1234"}),
        ((*CREATED, ("syncfs", "", "")), {b"1234"}),
        ((*CREATED, ("syncfs", "", ""), ("unlink", "a", "")), {b"1234", "nothing"}),
        ((*CREATED, ("syncfs", "", ""), ("unlink", "a", ""), ("fsync", "", "")), {"nothing"}),
        ((*CREATED, ("syncfs", "", ""), ("write", "a", b"56")), {b"1234", b"56", b"5634"}),
    ],
)
def test_what_a_power_cut_leaves(calls: tuple[tuple[str, str, str | bytes], ...], left: set[bytes | str]) -> None:
    """Bytes are safe after a sync of the file, names after a sync of the folder."""
    assert seen(after(*calls), "a") == left


def test_a_rename_between_folders_is_two_names() -> None:
    """After a sync of the new name's folder, the old name may still be there."""
    moved = (("mkdir", "f", ""), *CREATED, ("syncfs", "", ""), ("rename", "a", "f/b"), ("fsync", "f", ""))
    disk = after(*moved)
    assert (seen(disk, "f/b"), seen(disk, "a")) == ({b"1234"}, {b"1234", "nothing"})


def test_a_file_is_lost_with_its_folder() -> None:
    """A name in a folder whose own name is not safe is not safe."""
    disk = after(("mkdir", "f", ""), ("create", "f/a", ""), ("fsync", "f", ""))
    assert seen(disk, "f/a") == {"nothing", b""}
    assert f"{TOP}/f" not in disk.least
    assert disk.everything[f"{TOP}/f"] is FOLDER
