"""The answers of the no-op fast path: what each command prints about a project in which nothing has changed.

The slow path prints the same, and takes some of its lines from here. This module loads nothing heavy.
"""

from __future__ import annotations

import os

from .state_folder import LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

    from .noop import Asked, Found

LOCK_UP_TO_DATE = f"up to date: {LOCK}"


def nothing_to_do(count: int, seconds: float) -> str:
    """Return the line that a build with nothing to do prints."""
    return f"nothing to do: {count:,} up to date in {max(seconds, 0.01):.2f} s\n"


def orphaned(count: int) -> str:
    """Return the line about `count` orphans, at least one."""
    outputs, are, them = ("1 output", "is", "it") if count == 1 else (f"{count:,} outputs", "are", "them")
    return f"{outputs} {are} no longer declared; `qwenbuild clean --orphans` removes {them}"


def last_build(started_at_s: float, ends: str) -> str:
    """Return the line that says when the last build began (seconds since 1970), and how its outputs ended."""
    return f"last build {local_time(started_at_s)}: {ends}"


def local_time(at_s: float) -> str:
    """Return seconds since 1970 as local time with its offset: `2026-02-03 14:05:00+01:00`."""
    from datetime import datetime

    return datetime.fromtimestamp(at_s).astimezone().isoformat(" ", "seconds")


COLOURS = ("auto", "always", "never")
"""The values of `--color`."""


def coloured(stream: IO[Any]) -> bool:
    """Return True if `stream` may be coloured: a terminal, and anything with FORCE_COLOR, but nothing with NO_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    is_forced = os.environ.get("FORCE_COLOR", "0").lower() not in ("", "0", "false")
    return is_forced or (stream.isatty() and os.environ.get("TERM") != "dumb")


def set_colour(when: str) -> None:
    """Have everything coloured or nothing, as `--color` says. The programs that this command starts do so, too."""
    if when != "auto":
        for name, value in (("NO_COLOR", "never"), ("FORCE_COLOR", "always")):
            os.environ.pop(name, None)
            if when == value:
                os.environ[name] = "1"


def build_events(found: Found, seconds: float) -> str:
    """Return what `build --json` prints."""
    from _json import encode_basestring as quoted  # the whole package `json` takes as long as all the rest

    started, name, path, after, finished, end = found.json
    cells = [f"{name}{quoted(cell)}{path}{quoted(output)}{after}\n" for cell, output in found.cells]
    return "".join([started, "\n", *cells, finished, str(round(seconds, 3)), end, "\n"])


def shown(asked: Asked, found: Found, *, in_colour: bool) -> str:
    """Return what a command that changes nothing prints."""
    if asked.command == "lock":
        return f"{LOCK_UP_TO_DATE}\n"
    if asked.command == "plan":
        return f"{found.count:,} up to date\n"
    events, started_at_s, ends, *images = found.status
    if asked.as_json:
        return events
    dim, plain = ("\x1b[2m", "\x1b[0m") if in_colour else ("", "")
    names, counts = images[::2], list(map(int, images[1::2]))
    width = max(map(len, names))
    lines = [f"{name:<{width}}  {dim}{count:,} up to date{plain}" for name, count in zip(names, counts, strict=True)]
    if found.orphans:
        lines.append(orphaned(found.orphans))
    if started_at_s:
        lines.append(last_build(float(started_at_s), ends))
    return "".join([f"{line}\n" for line in lines])
