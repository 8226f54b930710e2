"""The rows of the performance contract about projects in which nothing has changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .measure import REPOSITORY, Contender, Figure, alternate, compared, python, qwenbuild, scaled
from .places import Project, Tool, built

_IMAGE_BYTES = 200_000
_COMMANDS = (("plan",), ("status",), ("lock", "--check"))


def no_op(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A build of 10,000 outputs with nothing to do, compared with ninja, make and doit."""
    return _no_op("no-op", folder, scaled(10_000, scale), 4 * rounds, 1.0, with_doit=True)


def no_op_large(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A build of 100,000 outputs with nothing to do, compared with ninja and make."""
    return _no_op("no-op-large", folder, scaled(100_000, scale), rounds, 0.6, with_doit=False)


def _no_op(job: str, folder: Path, count: int, rounds: int, most: float, *, with_doit: bool) -> list[Figure]:
    place = built(folder, count)
    ninja, make = Tool.ninja(folder / "ninja", count), Tool.make(folder / "make", count)
    command = qwenbuild("build")
    contenders = [
        Contender("ninja", ninja.command, ninja.root),
        Contender("qwenbuild", command, place.root, place.environ),
        Contender("make", make.command, make.root),
    ]
    found = alternate(contenders, rounds)
    if with_doit:
        doit = Tool.doit(folder / "doit", count)
        found |= alternate([Contender("doit", doit.command, doit.root)], min(rounds, 3))
    return compared(f"{job}, {count:,} outputs", found, "ninja", {"qwenbuild": most})


def unchanged(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """`plan`, `status` and `lock --check` of 10,000 outputs in which nothing has changed."""
    count = scaled(10_000, scale)
    place = built(folder, count)
    found = alternate([
        Contender(" ".join(command), qwenbuild(*command), place.root, place.environ) for command in _COMMANDS
    ], 4 * rounds)  # fmt: skip
    job = f"unchanged, {count:,} outputs"
    return [Figure(job, name, one.seconds, most=0.4, peak_bytes=one.peak_bytes) for name, one in found.items()]


def restored_clone(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A build in a fresh clone with the `.qwenbuild` of another one, as in CI: all times and inodes differ.

    It is compared with a loop that reads and hashes inputs and outputs once.
    """
    count = scaled(2_000, scale)
    first = built(folder, count, os.urandom(_IMAGE_BYTES))
    clone = Project(folder / "clone", first.store)
    shutil.copytree(first.root, clone.root, copy_function=shutil.copyfile)
    snapshot = clone.root / ".qwenbuild/snapshot"
    restored = snapshot.read_bytes()
    found = alternate([
        Contender("files", python("-m", "tests.benchmarks.bare", "hashes", str(clone.root)), REPOSITORY),
        Contender("qwenbuild build", qwenbuild("build"), clone.root, clone.environ,
                  lambda: snapshot.write_bytes(restored)),
    ], rounds)  # fmt: skip
    return compared(f"restored clone, {count:,} images of 200 kB", found, "files", {"qwenbuild build": 1.3})
