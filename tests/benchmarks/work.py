"""The work of a command, counted without a clock: lines of Python, calls of C functions, characters given to them.

A function whose work grows faster than the project is found at a few dozen cells, on any machine, however busy it is.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from qwenbuild.cli.main import run

from .dimensions import Dimension
from .places import Project

_SLACK = 400  # lines or calls: caches, chunks and first uses
_SLACK_CHARACTERS = 100_000  # texts that are read in chunks
_MOST = 2.7  # twice the things: linear work doubles its growth, that of each pair quadruples it
_SIZES = (20, 40, 80)
_WHOLE = frozenset(
    {
        "casefold",
        "copy",
        "count",
        "decode",
        "encode",
        "expandtabs",
        "lower",
        "replace",
        "reverse",
        "rsplit",
        "sort",
        "split",
        "splitlines",
        "translate",
        "upper",
    }
)  # fmt: skip - methods that read all of a text or a list


def faster_than_linear(dimension: Dimension, folder: Path) -> list[str]:
    """Return the functions whose work grows faster than the dimension, with what they did at each size."""
    found: list[Counter[str]] = []
    for size in (_SIZES[0], *_SIZES):  # the first run fills the caches of the process
        place = Project(folder / f"{len(found)}" / "project", folder / f"{len(found)}" / "store")
        dimension.write(place, size)
        found.append(measured(place, dimension.command(size), dimension.exits))
    few, some, many = found[1:]
    return sorted(
        f"{name}: {few[name]:,}, {some[name]:,}, {many[name]:,}"
        for name in many
        if many[name] - some[name] > _MOST * max(0, some[name] - few[name]) + _slack(name)
    )


def _slack(name: str) -> int:
    return _SLACK_CHARACTERS if name.endswith("characters") else _SLACK


def measured(place: Project, arguments: Sequence[str], exits: int) -> Counter[str]:
    """Run a command in this process, and return its work by function and kind of work."""
    counted: Counter[str] = Counter()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == threading.__file__:  # waits as often as the machine is slow
            return None
        if event == "line":
            counted[f"{_name(frame)}: lines"] += 1
        return line

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            called = f"{_name(frame)}: {function.__qualname__}"
            counted[f"{called}, calls"] += 1
            owner = getattr(function, "__self__", None)
            if isinstance(owner, str | bytes | list) and function.__name__ in _WHOLE:
                counted[f"{called}, characters"] += len(owner)

    with (
        patch.dict(os.environ, place.environ),
        chdir(place.root),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()) as said,
    ):
        sys.settrace(line)
        sys.setprofile(profile)
        try:
            code = run(list(arguments))
        finally:
            sys.setprofile(None)
            sys.settrace(None)
    assert code == exits, said.getvalue()
    return counted


def _name(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"
