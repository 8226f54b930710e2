"""The answers of the no-op fast path: what each command prints about a project in which nothing has changed.

The slow path prints the same, and takes some of its lines from here. This module loads nothing heavy.
"""

from __future__ import annotations

from .state_folder import LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    from datetime import datetime

    return f"last build {datetime.fromtimestamp(started_at_s).astimezone().isoformat(' ', 'seconds')}: {ends}"


def build_events(found: Found, seconds: float) -> str:
    """Return what `build --json` prints."""
    from _json import encode_basestring as quoted  # the whole package `json` takes as long as all the rest

    started, name, path, after, finished, end = found.json
    cells = [f"{name}{quoted(cell)}{path}{quoted(output)}{after}\n" for cell, output in found.cells]
    return "".join([started, "\n", *cells, finished, str(round(seconds, 3)), end, "\n"])


def shown(asked: Asked, found: Found, *, coloured: bool) -> str:
    """Return what a command that changes nothing prints. `coloured`: its reader is a terminal that may be coloured."""
    if asked.command == "lock":
        return f"{LOCK_UP_TO_DATE}\n"
    if asked.command == "plan":
        return f"{found.count:,} up to date\n"
    events, started_at_s, ends, *images = found.status
    if asked.as_json:
        return events
    dim, plain = ("\x1b[2m", "\x1b[0m") if coloured else ("", "")
    names, counts = images[::2], list(map(int, images[1::2]))
    width = max(map(len, names))
    lines = [f"{name:<{width}}  {dim}{count:,} up to date{plain}" for name, count in zip(names, counts, strict=True)]
    if found.orphans:
        lines.append(orphaned(found.orphans))
    if started_at_s:
        lines.append(last_build(float(started_at_s), ends))
    return "".join([f"{line}\n" for line in lines])
