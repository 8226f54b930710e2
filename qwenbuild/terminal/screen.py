"""The screen: how large a terminal is, and how texts are shortened and wrapped to fit it.

A pipe has no width: there names are whole, and no line is wrapped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

from qwenbuild.problems import columns

_SIZE = (80, 24)  # of a terminal that does not tell


def size(stream: IO[Any]) -> tuple[int, int] | None:
    """Return the columns and lines of the terminal that `stream` writes to; None if it is no terminal."""
    if not stream.isatty():
        return None
    asked = [os.environ.get(name, "") for name in ("COLUMNS", "LINES")]
    try:
        found = tuple(os.get_terminal_size(stream.fileno()))
    except (OSError, ValueError):
        found = (0, 0)
    wide, high = (
        int(text) if text.isascii() and text.isdecimal() and int(text) else told or usual
        for text, told, usual in zip(asked, found, _SIZE, strict=True)
    )
    return wide, high


def width(stream: IO[Any]) -> int | None:
    """Return how many columns a line of `stream` may have; None if it is no terminal."""
    found = size(stream)
    return found[0] if found else None


def shortened(text: str, room: int | None) -> str:
    """Return `text` in at most `room` columns: its middle becomes `…`, because both ends tell names apart."""
    if room is None or columns(text) <= room:
        return text
    if room <= 1:
        return "…"[:room]
    tail = _fitting(text[::-1], (room - 1) // 2)[::-1]
    return f"{_fitting(text, room - 1 - columns(tail))}…{tail}"


def cut(text: str, room: int | None) -> str:
    """Return `text` in at most `room` columns: its end becomes `…`."""
    if room is None or columns(text) <= room:
        return text
    return f"{_fitting(text, room - 1)}…" if room >= 1 else ""


def padded(text: str, room: int) -> str:
    """Return `text` with blanks up to `room` columns."""
    return text + " " * (room - columns(text))


def wrapped(text: str, room: int | None, *, most: int = 3) -> list[str]:
    """Return `text` as lines of at most `room` columns, broken at blanks where that is possible.

    Beyond `most` lines the rest becomes `…`.
    """
    if room is None or columns(text) <= room:
        return [text]
    lines: list[str] = []
    rest = text
    while rest and len(lines) < most - 1 and columns(rest) > room:
        part = _fitting(rest, room) or rest[0]
        at = part.rfind(" ") if len(part) < len(rest) and rest[len(part)] != " " else len(part)
        part = part[: at if at > 0 else len(part)]
        lines.append(part.rstrip(" "))
        rest = rest[len(part) :].lstrip(" ")
    return [*lines, cut(rest, room)] if rest else lines


def hanging(word: str, text: str, room: int | None, *, most: int = 3) -> Iterator[str]:
    """Yield `word`, right-aligned in 10 columns, and `text` beside it; further lines of the text stand below it."""
    first, *others = wrapped(text, room and max(room - 12, 10), most=most)
    yield f"{word:>10}  {first}"
    for line in others:
        yield f"{'':>10}  {line}"


def _fitting(text: str, room: int) -> str:
    """Return the longest beginning of `text` that has at most `room` columns."""
    if text.isascii():
        return text[: max(room, 0)]
    taken = 0
    for at, character in enumerate(text):
        taken += columns(character)
        if taken > room:
            return text[:at]
    return text
